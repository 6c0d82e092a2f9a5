#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>

#include "../../src/kernels/kernels.h"
#include "../../src/kernels/reference.h"
#include "arrays.h"

using namespace lookback;
using test::Numbers;
namespace reference = kernels::reference;

namespace {

const real nan_value = std::numeric_limits<real>::quiet_NaN(), infinity = std::numeric_limits<real>::infinity();
const real tiny_number = std::numeric_limits<real>::min();

// Random numbers with a zero of each sign, and some with an infinity and a NaN.
std::vector<real> row(std::size_t n, Numbers& numbers, bool special) {
    std::vector<real> x = numbers.array(n);
    const auto anywhere = [&]() -> real& { return x[std::size_t(numbers.below(int(n)))]; };
    if (n > 4) anywhere() = 0, anywhere() = real(-0.0);
    if (n > 4 && special) anywhere() = nan_value, anywhere() = -infinity;
    return x;
}

// fast and plain change copies of `arrays` into the same bits, for every length up to 70 and some beyond.
template <class Call>
void same_for_every_length(const std::string& name, int count, Call call) {
    Numbers numbers(7);
    for (int n = 0; n < 300; n += n < 70 ? 1 : 37)
        for (const bool special : {false, true}) {
            std::vector<std::vector<real>> fast;
            for (int i = 0; i < count; ++i) fast.push_back(row(std::size_t(n), numbers, special));
            std::vector<std::vector<real>> plain = fast;
            call(true, std::size_t(n), fast);
            call(false, std::size_t(n), plain);
            INFO(name << " of " << n);
            for (int i = 0; i < count; ++i) CHECK(test::same(fast[i], plain[i]));
        }
}

}    // namespace

TEST_CASE("sums take sixteen lanes and fold them in a fixed order") {
    Numbers numbers(8);
    for (int n = 0; n < 100; ++n) {
        const std::vector<real> a = numbers.array(std::size_t(n)), b = numbers.array(std::size_t(n));
        real lane[16] = {}, product_lane[16] = {};
        for (int i = 0; i < n; ++i) lane[i % 16] += a[i];
        for (int i = 0; i < n; ++i) product_lane[i % 16] = std::fma(a[i], b[i], product_lane[i % 16]);
        const auto folded = [](const real* l) {
            real x[8], y[4], z[2];
            for (int i = 0; i < 8; ++i) x[i] = l[i] + l[i + 8];
            for (int i = 0; i < 4; ++i) y[i] = x[i] + x[i + 4];
            for (int i = 0; i < 2; ++i) z[i] = y[i] + y[i + 2];
            return z[0] + z[1];
        };
        CHECK(test::same(kernels::sum(std::size_t(n), a.data()), folded(lane)));
        CHECK(test::same(kernels::dot(std::size_t(n), a.data(), b.data()), folded(product_lane)));
        CHECK(test::same(reference::sum(std::size_t(n), a.data()), folded(lane)));
        CHECK(test::same(reference::dot(std::size_t(n), a.data(), b.data()), folded(product_lane)));
    }
}

TEST_CASE("the first NaN or inf is found wherever it stands, and finite extremes are not taken for one") {
    const real bad[] = {std::numeric_limits<real>::quiet_NaN(), infinity, -infinity};
    for (const std::size_t n : {1, 7, 511, 512, 513, 1500})
        for (std::size_t i = 0; i<n; i += n> 10 ? n / 7 : 1) {
            std::vector<real> x(n, i % 2 ? std::numeric_limits<real>::max() : -std::numeric_limits<real>::denorm_min());
            CHECK(kernels::first_not_finite(n, x.data()) == n);
            x[i] = bad[i % 3];
            if (i + 1 < n) x[n - 1] = bad[0];
            CHECK(kernels::first_not_finite(n, x.data()) == i);
        }
    CHECK(kernels::first_not_finite(0, nullptr) == 0);
}

TEST_CASE("max finds a NaN wherever it stands, and is -infinity for nothing") {
    CHECK(kernels::max(0, nullptr) == -infinity);
    for (int n = 1; n < 50; ++n)
        for (int at = 0; at < n; ++at) {
            std::vector<real> x(std::size_t(n), real(-2));
            x[at] = real(3);
            CHECK(kernels::max(x.size(), x.data()) == 3);
            x[at] = nan_value;
            CHECK(std::isnan(kernels::max(x.size(), x.data())));
            CHECK(std::isnan(reference::max(x.size(), x.data())));
        }
}

TEST_CASE("every row kernel has the bits of its reference loop") {
    using Arrays = std::vector<std::vector<real>>;
#define AGAINST_REFERENCE(name, count, ...)                                       \
    same_for_every_length(#name, count, [](bool fast, std::size_t n, Arrays& x) { \
        if (fast)                                                                 \
            kernels::name(__VA_ARGS__);                                           \
        else                                                                      \
            reference::name(__VA_ARGS__);                                         \
    })
    AGAINST_REFERENCE(add, 3, n, x[0].data(), x[1].data(), x[2].data());
    AGAINST_REFERENCE(multiply, 3, n, x[0].data(), x[1].data(), x[2].data());
    AGAINST_REFERENCE(shift, 2, n, real(0.3), x[0].data(), x[1].data());
    AGAINST_REFERENCE(scale, 2, n, real(-0.3), x[0].data(), x[1].data());
    AGAINST_REFERENCE(accumulate, 2, n, x[0].data(), x[1].data());
    AGAINST_REFERENCE(accumulate_product, 3, n, x[0].data(), x[1].data(), x[2].data());
    AGAINST_REFERENCE(axpy, 2, n, real(0.7), x[0].data(), x[1].data());
    AGAINST_REFERENCE(relu, 2, n, x[0].data(), x[1].data());
    AGAINST_REFERENCE(relu, 1, n, x[0].data(), x[0].data());
    AGAINST_REFERENCE(relu_backward, 3, n, x[0].data(), x[1].data(), x[2].data());
    AGAINST_REFERENCE(tanh_backward, 3, n, x[0].data(), x[1].data(), x[2].data());
    AGAINST_REFERENCE(sigmoid_backward, 3, n, x[0].data(), x[1].data(), x[2].data());
    AGAINST_REFERENCE(softmax, 2, n, real(0.7), x[0].data(), x[1].data());
    AGAINST_REFERENCE(softmax, 1, n, real(1), x[0].data(), x[0].data());
    AGAINST_REFERENCE(softmax_backward, 3, n, x[0].data(), x[1].data(), x[2].data());
    same_for_every_length("softmax of small numbers", 2, [](bool fast, std::size_t n, Arrays& x) {
        for (real& value : x[0]) value = value * 10 - 1000;    // exp of them is 0, but for the largest taken off
        fast ? kernels::softmax(n, 1, x[0].data(), x[1].data()) : reference::softmax(n, 1, x[0].data(), x[1].data());
    });
    same_for_every_length("sum, dot and max", 2, [](bool fast, std::size_t n, Arrays& x) {
        const real *a = x[0].data(), *b = x[1].data();
        if (fast)
            x[0] = {kernels::sum(n, a), kernels::dot(n, a, b), kernels::max(n, a)};
        else
            x[0] = {reference::sum(n, a), reference::dot(n, a, b), reference::max(n, a)};
    });
    same_for_every_length("dot of what underflows", 2, [](bool fast, std::size_t n, Arrays& x) {
        const std::vector<real> tiny(n, tiny_number), below(n, -tiny_number), zeros(n);    // each chain ends in -0
        x[0] = {(fast ? kernels::dot : reference::dot)(n, tiny.data(), below.data()), 0};
        (fast ? kernels::additive_score : reference::additive_score)(1, int(n), tiny.data(), zeros.data(), below.data(),
                                                                     &x[0][1]);
    });
    const kernels::AdamStep step{.learning_rate = real(0.01), .weight_decay = real(0.1), .correction1 = 10, .correction2 = 1000};
    same_for_every_length("adam", 4, [&](bool fast, std::size_t n, Arrays& x) {
        for (real& v : x[3]) v = std::fabs(v);
        (fast ? kernels::adam : reference::adam)(n, x[0].data(), x[1].data(), x[2].data(), x[3].data(), step);
    });
}

TEST_CASE("additive scores and their gradients have the bits of the reference loops and of the separate steps") {
    for (int S : {0, 1, 2, 7, 20})
        for (int A : {1, 5, 8, 16, 17, 64, 100}) {
            Numbers numbers(std::uint64_t(S * 1000 + A));
            const std::size_t row = std::size_t(A), all = row * S;
            const auto q = numbers.array(row), keys = numbers.array(all), v = numbers.array(row);
            const auto dscore = numbers.array(std::size_t(S)), dq = numbers.array(row), dkeys = numbers.array(all),
                       dv = numbers.array(row);
            std::vector<real> score[2], gq[2], gkeys[2], gv[2];
            for (const int plain : {0, 1}) {
                score[plain].resize(std::size_t(S));
                gq[plain] = dq, gkeys[plain] = dkeys, gv[plain] = dv;
                (plain ? reference::additive_score : kernels::additive_score)(S, A, q.data(), keys.data(), v.data(),
                                                                              score[plain].data());
                (plain ? reference::additive_score_backward : kernels::additive_score_backward)(
                    S, A, dscore.data(), q.data(), keys.data(), v.data(), gq[plain].data(), gkeys[plain].data(),
                    gv[plain].data());
            }
            INFO("S " << S << " A " << A);
            CHECK(test::same(score[0], score[1]));
            CHECK(test::same(gq[0], gq[1]));
            CHECK(test::same(gkeys[0], gkeys[1]));
            CHECK(test::same(gv[0], gv[1]));

            std::vector<real> t_steps(all), score_steps(std::size_t(S), 0), dpre(all, 0), dt(all),
                gq_steps = dq, gkeys_steps = dkeys, gv_steps = dv;
            for (int s = 0; s < S; ++s) {
                const std::size_t at = s * row;
                kernels::add(row, q.data(), keys.data() + at, t_steps.data() + at);
                kernels::tanh(row, t_steps.data() + at, t_steps.data() + at);
                score_steps[s] = kernels::dot(row, v.data(), t_steps.data() + at);
                kernels::scale(row, dscore[s], v.data(), dt.data() + at);
                kernels::tanh_backward(row, t_steps.data() + at, dt.data() + at, dpre.data() + at);
                kernels::accumulate(row, dpre.data() + at, gq_steps.data());
                kernels::axpy(row, dscore[s], t_steps.data() + at, gv_steps.data());
            }
            kernels::accumulate(all, dpre.data(), gkeys_steps.data());
            CHECK(test::same(score[0], score_steps));
            CHECK(test::same(gq[0], gq_steps));
            CHECK(test::same(gkeys[0], gkeys_steps));
            CHECK(test::same(gv[0], gv_steps));
        }
}

TEST_CASE("Adam's first step moves each parameter by the learning rate against its gradient") {
    real w[2] = {1, 1}, g[2] = {real(0.5), -8}, m[2] = {}, v[2] = {};
    kernels::AdamStep step{.learning_rate = real(0.125)};
    step.correction1 = 1 / (1 - step.beta1);
    step.correction2 = 1 / (1 - step.beta2);
    kernels::adam(2, w, g, m, v, step);
    CHECK(w[0] == doctest::Approx(0.875));
    CHECK(w[1] == doctest::Approx(1.125));
    real decayed[1] = {1}, none[1] = {}, m1[1] = {}, v1[1] = {};
    step.weight_decay = real(0.5);
    kernels::adam(1, decayed, none, m1, v1, step);
    CHECK(decayed[0] == real(0.9375));    // 1 - 0.125 * 0.5, whatever the gradient
}
