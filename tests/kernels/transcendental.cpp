#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <string>

#include "../../src/kernels/kernels.h"
#include "../../src/kernels/reference.h"
#include "arrays.h"

using namespace lookback;

namespace {

struct Function {
    std::string name;
    real (*one)(real);
    void (*many)(std::size_t, const real*, real*);
    real (*plain_one)(real);
    void (*plain_many)(std::size_t, const real*, real*);
    long double (*exact)(long double);
};

long double exact_sigmoid(long double x) { return 1 / (1 + expl(-x)); }

namespace reference = kernels::reference;
const Function functions[] = {
    {"exp", kernels::exp, kernels::exp, reference::exp, reference::exp, expl},
    {"log", kernels::log, kernels::log, reference::log, reference::log, logl},
    {"tanh", kernels::tanh, kernels::tanh, reference::tanh, reference::tanh, tanhl},
    {"sigmoid", kernels::sigmoid, kernels::sigmoid, reference::sigmoid, reference::sigmoid, exact_sigmoid},
    {"erf", kernels::erf, kernels::erf, reference::erf, reference::erf, erfl},
};

// Every 4999th of the 2^32 floats: all sizes, signs, subnormal numbers, infinities and NaNs.
std::vector<real> floats_of_all_sizes() {
    std::vector<real> x;
    for (std::uint64_t bits = 0; bits < (1ull << 32); bits += 4999) x.push_back(real(std::bit_cast<float>(std::uint32_t(bits))));
    return x;
}

// |y - exact| in units of the last place of y's type at exact.
long double units_in_last_place(real y, long double exact) {
    using Limits = std::numeric_limits<real>;
    const int exponent = std::max(exact == 0 ? Limits::min_exponent - 1 : std::ilogb(exact), Limits::min_exponent - 1);
    return fabsl(y - exact) / ldexpl(1, exponent - (Limits::digits - 1));
}

}    // namespace

TEST_CASE("exp, log, tanh, sigmoid and erf are within 2 units in the last place") {
    // double: about 1e-15 of the value, and the smallest numbers, which lose digits, are left out
    const long double most = sizeof(real) == 4 ? 2 : 5;
    for (const Function& f : functions) {
        long double worst = 0;
        real worst_at = 0;
        for (const real x : floats_of_all_sizes()) {
            const long double exact = f.exact(x);
            if (exact != exact || fabsl(exact) > std::numeric_limits<real>::max()) continue;
            const long double error = units_in_last_place(f.one(x), exact);
            if (!(error <= worst)) worst = error, worst_at = x;
        }
        INFO(f.name << " at " << worst_at);
        CHECK(double(worst) <= double(most));
    }
}

TEST_CASE("one number, many numbers and the reference loops give the same bits") {
    std::vector<real> x = floats_of_all_sizes();
    for (const Function& f : functions) {
        INFO(f.name);
        std::vector<real> one(x.size()), many(x.size()), plain(x.size()), in_place = x;
        for (std::size_t i = 0; i < x.size(); ++i) one[i] = f.one(x[i]);
        f.many(x.size(), x.data(), many.data());
        f.plain_many(x.size(), x.data(), plain.data());
        f.many(x.size(), in_place.data(), in_place.data());
        CHECK(test::same(one, many));
        CHECK(test::same(one, plain));
        CHECK(test::same(one, in_place));
        CHECK(test::same(f.one(real(0.7)), f.plain_one(real(0.7))));
        for (std::size_t n = 0; n < 40; ++n) {
            std::vector<real> row(40, real(7));
            f.many(n, x.data() + 200000, row.data());
            for (std::size_t i = 0; i < 40; ++i) CHECK(test::same(row[i], i < n ? one[200000 + i] : real(7)));
        }
    }
}

// Ten minutes: test_kernels --no-skip -tc="every one*". The exact value is that of the double functions, whose own error is a thousand
// million times smaller than a float's last place.
TEST_CASE("every one of the 2^32 floats: registers and reference loops give the same bits, within 2 units in the last place" *
          doctest::skip()) {
    constexpr std::size_t block = 1 << 16;
    double (*const exact[])(double) = {std::exp, std::log, std::tanh, [](double x) { return 1 / (1 + std::exp(-x)); }, std::erf};
    std::vector<real> x(block), many(block), plain(block);
    for (std::size_t function = 0; function < std::size(functions); ++function) {
        const Function& f = functions[function];
        double worst = 0;
        real worst_at = 0;
        std::size_t different = 0;
        for (std::uint64_t begin = 0; begin < (1ull << 32); begin += block) {
            for (std::size_t i = 0; i < block; ++i) x[i] = real(std::bit_cast<float>(std::uint32_t(begin + i)));
            f.many(block, x.data(), many.data());
            f.plain_many(block, x.data(), plain.data());
            different += !test::same(many, plain);
            for (std::size_t i = 0; i < block; ++i) {
                const double y = exact[function](double(x[i]));
                if (y != y || std::abs(y) > double(std::numeric_limits<real>::max())) continue;
                const double error = double(units_in_last_place(many[i], y));
                if (!(error <= worst)) worst = error, worst_at = x[i];
            }
        }
        MESSAGE(f.name << ": at most " << worst << " units in the last place, at " << worst_at);
        CHECK(different == 0);
        CHECK(worst <= 2);
    }
}

TEST_CASE("at the ends of their range the functions are exact") {
    const real infinity = std::numeric_limits<real>::infinity(), nan = std::numeric_limits<real>::quiet_NaN();
    for (const Function& f : functions) CHECK(std::isnan(f.one(nan)));
    CHECK(kernels::exp(-infinity) == 0);
    CHECK(kernels::exp(infinity) == infinity);
    CHECK(kernels::exp(real(0)) == 1);
    if (sizeof(real) == 4) {
        CHECK(kernels::exp(real(88.73)) == infinity);
        CHECK(kernels::exp(real(88.72)) < infinity);
        CHECK(kernels::exp(real(-103)) > 0);
        CHECK(kernels::exp(real(-104)) == 0);
    }
    CHECK(kernels::log(real(0)) == -infinity);
    CHECK(kernels::log(real(1)) == 0);
    CHECK(kernels::log(infinity) == infinity);
    CHECK(std::isnan(kernels::log(real(-1))));
    CHECK(std::isnan(kernels::log(-infinity)));
    CHECK(kernels::tanh(infinity) == 1);
    CHECK(kernels::tanh(-infinity) == -1);
    CHECK(test::same(kernels::tanh(real(-0.0)), real(-0.0)));
    CHECK(kernels::sigmoid(infinity) == 1);
    CHECK(kernels::sigmoid(-infinity) == 0);
    CHECK(kernels::sigmoid(real(0)) == real(0.5));
    CHECK(kernels::erf(infinity) == 1);
    CHECK(kernels::erf(-infinity) == -1);
}

TEST_CASE("sin and cos are within 2.5e-16, and NaN where they are not defined") {
    test::Numbers numbers(6);
    double worst = 0;
    for (int i = 0; i < 300000; ++i) {
        const double unit = double(numbers.bits()) / 4294967296.0 * 2 - 1;
        const double x = unit * (i % 3 == 0 ? 4 : i % 3 == 1 ? 3e4 : 1e9);
        worst = std::max(worst, double(fabsl(kernels::sin(x) - sinl(x))));
        worst = std::max(worst, double(fabsl(kernels::cos(x) - cosl(x))));
    }
    CHECK(worst < 2.5e-16);
    CHECK(kernels::sin(0) == 0);
    CHECK(kernels::cos(0) == 1);
    CHECK(std::isnan(kernels::sin(std::numeric_limits<double>::infinity())));
    CHECK(std::isnan(kernels::cos(2e9)));
}
