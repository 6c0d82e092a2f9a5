#pragma once

#include <bit>
#include <limits>

#include "simd.h"

// exp, log, tanh, sigmoid and erf, written once for V = real (the reference loops) and V = Vector (the fast ones): the same
// operations in the same order give the same bits. No branches, only ?: on values. libm is not used, for its bits
// differ between versions.
//
// The polynomials interpolate at Chebyshev nodes (computed in 60 digits); the largest error each adds to its function, in
// units of the last place, is 0.02 (exp), 0.05 (log), 0.41 (tanh), 0.11 (erf) in float.
namespace lookback::kernels::elementary {
namespace {

template <class V>
using Bits = std::conditional_t<std::is_same_v<V, real>, RealBits, VectorBits>;

#ifndef LOOKBACK_DOUBLE
constexpr int mantissa_bits = 23;
constexpr real ln2_high = 0.693147182f, ln2_low = -1.90465421e-09f;
constexpr real exp_highest = 89, exp_lowest = -104;    // beyond them e^x rounds to infinity and to 0
constexpr real erf_is_one = 4;
// (e^r - 1 - r) / r^2 for |r| <= ln(2) / 2
constexpr real exp_terms[] = {0.5f, 0.166666672f, 0.0416664667f, 0.00833331048f, 0.00139336498f, 0.000198909911f};
// (ln(1 + f) - f + f^2 / 2) / f^3 for sqrt(1/2) <= 1 + f <= sqrt(2)
constexpr real log_terms[] = {0.333333313f,  -0.24999997f, 0.200007156f,  -0.166678026f, 0.142490581f,
                              -0.124256872f, 0.116854198f, -0.114797339f, 0.0697161183f};
// (tanh(x) / x - 1) / x^2 in x^2 for |x| <= 0.625
constexpr real tanh_terms[] = {-0.333333284f, 0.133326635f, -0.0538351424f, 0.0209241491f, -0.00599296112f};
// erf(x) / x - 1 in x^2 for |x| <= 1
constexpr real erf_small_terms[] = {0.128379166f,   -0.37612626f,    0.112835944f,   -0.0268542115f,
                                    0.00518908724f, -0.00080168643f, 7.87587487e-05f};
// ln(1 - erf(x)) for 1 <= x <= erf_is_one
constexpr real erf_large_terms[] = {0.00032013806f, -1.13023341f,   -0.631826043f,    -0.110080086f, 0.0264211353f,
                                    -0.0047595962f, 0.00059680565f, -4.60580413e-05f, 1.6371514e-06f};
#else
constexpr int mantissa_bits = 52;
constexpr real ln2_high = 0.69314718055994529, ln2_low = 2.3190468138462996e-17;
constexpr real exp_highest = 710, exp_lowest = -746;
constexpr real erf_is_one = 6;
constexpr real exp_terms[] = {0.5,
                              0.16666666666666671,
                              0.041666666666666671,
                              0.0083333333333261358,
                              0.0013888888888883748,
                              0.00019841269874820627,
                              2.4801587325547743e-05,
                              2.7557255400206422e-06,
                              2.7557273643110297e-07,
                              2.5105217004720745e-08,
                              2.0914686968086876e-09};
constexpr real log_terms[] = {0.33333333333333331,  -0.25000000000000039,  0.1999999999999946,   -0.16666666666643223,
                              0.14285714285850773,  -0.12500000004323591,  0.11111111099840468,  -0.099999996347807166,
                              0.090909093716499856, -0.083333500329535876, 0.076923158900287489, -0.071424150395472022,
                              0.066660153564322699, -0.062567819457417656, 0.05898528368226226,  -0.05500704572405743,
                              0.050654096664845702, -0.051385304688066284, 0.059187907228572229, -0.053961619312197895,
                              0.023264220927877086};
constexpr real tanh_terms[] = {-0.33333333333333331,    0.13333333333332861,    -0.05396825396770339,    0.021869488510927782,
                               -0.0088632349310238841,  0.0035921196181059045,  -0.0014557589970229322,  0.00058957977411352915,
                               -0.00023733530872779266, 9.2071820738341825e-05, -3.0650442181390976e-05, 6.2234386464574268e-06};
constexpr real erf_small_terms[] = {
    0.12837916709551259,    -0.37612638903183748,    0.11283791670954879,     -0.026866170645076792,  0.0052239776248180145,
    -0.000854832698083379,  0.0001205533111164271,   -1.4925595266831182e-05, 1.6461000484121368e-06, -1.6350312701054695e-07,
    1.4659775274047436e-08, -1.1372848856791674e-09, 5.9571761477489113e-11};
constexpr real erf_large_terms[] = {
    9.5005964366364857e-08,  -1.1283802455656253,     -0.63661396090392297,    -0.10279239389853814,    0.019176278554258568,
    0.00012186485661000362,  -0.001571069019949099,   0.00044587024998188292,  0.0001100548521219971,   -0.00017015623738726225,
    9.7647090006373227e-05,  -3.9302936915434108e-05, 1.2452416583195703e-05,  -3.2349073609369935e-06, 7.0055842386676666e-07,
    -1.2716165708158861e-07, 1.9322784539874932e-08,  -2.4426218002222979e-09, 2.5400861034518639e-10,  -2.1361365767751822e-11,
    1.4164992742743795e-12,  -7.1275526013093423e-14, 2.5567825175661117e-15,  -5.8229650547904439e-17, 6.3255205887184931e-19};
#endif

constexpr real log2_e = real(1.4426950408889634);
constexpr real sqrt_half = real(0.70710678118654752);
constexpr real infinity = std::numeric_limits<real>::infinity();
constexpr RealBits sign_bit = std::numeric_limits<RealBits>::min();
constexpr RealBits one_bits = std::bit_cast<RealBits>(real(1));
constexpr RealBits exponent_of_one = one_bits >> mantissa_bits;

// Adding it rounds to an integer, which is then found in the low bits of the sum.
constexpr real round_shift = real(1.5) * real(RealBits(1) << mantissa_bits);
constexpr RealBits round_shift_bits = std::bit_cast<RealBits>(round_shift);

template <class V>
V all(real x) {
    return x - V{};    // every lane of it, -0 included
}

template <class V>
V magnitude(V x) {
    return std::bit_cast<V>(std::bit_cast<Bits<V>>(x) & ~sign_bit);
}

template <class V>
V with_sign_of(V sign, V x) {
    return std::bit_cast<V>((std::bit_cast<Bits<V>>(x) & ~sign_bit) | (std::bit_cast<Bits<V>>(sign) & sign_bit));
}

// terms[0] + terms[1] x + ..., by Horner's rule.
template <class V, std::size_t count>
V polynomial(const real (&terms)[count], V x) {
    V y = all<V>(terms[count - 1]);
    for (std::size_t i = count - 1; i-- > 0;) y = fma(y, x, all<V>(terms[i]));
    return y;
}

// 2^n for an n within the range of normal numbers.
template <class V>
V power_of_two(Bits<V> n) {
    return std::bit_cast<V>((n + exponent_of_one) << mantissa_bits);
}

// e^x = 2^n (1 + m): n the integer nearest to x / ln 2, and m = e^r - 1 for the rest |r| <= ln(2) / 2.
template <class V>
struct Exponential {
    Bits<V> n;
    V m;
};

template <class V>
Exponential<V> exponential(V x) {
    const V shifted = fma(x, all<V>(log2_e), all<V>(round_shift));
    const V n = shifted - round_shift;
    const V r = fma(n, all<V>(-ln2_low), fma(n, all<V>(-ln2_high), x));
    return {std::bit_cast<Bits<V>>(shifted) - round_shift_bits, fma(r * r, polynomial(exp_terms, r), r)};
}

template <class V>
V exp(V x) {
    const V below = x > exp_highest ? all<V>(exp_highest) : x;
    const Exponential<V> e = exponential(below < exp_lowest ? all<V>(exp_lowest) : below);
    const Bits<V> half = e.n >> 1;    // in two steps, as 2^n itself may be outside the normal numbers
    return ((e.m + 1) * power_of_two<V>(half)) * power_of_two<V>(e.n - half);
}

// x = 2^n (1 + f);  ln x = n ln 2 + ln(1 + f)
template <class V>
V log(V x) {
    constexpr real tiny = std::numeric_limits<real>::min(), lift = real(RealBits(1) << mantissa_bits);
    const V normal = x < tiny ? x * lift : x;
    const Bits<V> bits = std::bit_cast<Bits<V>>(x > 0 ? normal : all<V>(1));
    const Bits<V> n_bits = (bits - std::bit_cast<RealBits>(sqrt_half)) >> mantissa_bits;
    const V lifted_n = std::bit_cast<V>(n_bits + round_shift_bits) - round_shift;
    const V n = x < tiny ? lifted_n - mantissa_bits : lifted_n;
    const V f = std::bit_cast<V>(bits - (n_bits << mantissa_bits)) - 1;
    const V square = f * f;
    const V third = fma(n, all<V>(ln2_low), (square * f) * polynomial(log_terms, f));
    const V finite = fma(n, all<V>(ln2_high), f + fma(square, all<V>(real(-0.5)), third));
    const V positive = x == infinity ? x : finite;
    const V other = x == 0 ? all<V>(-infinity) : all<V>(std::numeric_limits<real>::quiet_NaN());
    return x > 0 ? positive : other;
}

// tanh |x| = 1 - 2 e / (1 + e) with e = e^(-2|x|); near 0, where that loses digits, a polynomial.
// (The compiler would call it, and load its constants each time.)
template <class V>
[[gnu::always_inline]] inline V tanh(V x) {
    const V size = magnitude(x), square = x * x;
    const V small = fma(x * square, polynomial(tanh_terms, square), x);
    const Exponential<V> inner = exponential(size > 32 ? all<V>(-64) : size * -2);
    const V power = power_of_two<V>(inner.n);
    const V e = fma(power, inner.m, power);
    return with_sign_of(x, size < real(0.625) ? small : 1 - (2 * e) / (e + 1));
}

// 1 - e / (1 + e) for x >= 0, e / (1 + e) = e - e^2 / (1 + e) for x < 0, with e = e^-|x|, which cannot overflow
template <class V>
V sigmoid(V x) {
    const V e = exp(-magnitude(x));
    const V other = e / (e + 1);
    return x < 0 ? fma(-e, other, e) : 1 - other;
}

// e^x - 1 = 2^n m + (2^n - 1), for -64 <= x <= 0
template <class V>
V exp_minus_one(V x) {
    const Exponential<V> e = exponential(x);
    const V power = power_of_two<V>(e.n);
    return fma(power, e.m, power - 1);
}

template <class V>
V erf(V x) {
    const V size = magnitude(x);
    const V small = fma(x, polynomial(erf_small_terms, x * x), x);
    const V large = exp_minus_one(polynomial(erf_large_terms, size > erf_is_one ? all<V>(erf_is_one) : size));
    return size < 1 ? small : with_sign_of(x, large);
}

}    // namespace
}    // namespace lookback::kernels::elementary
