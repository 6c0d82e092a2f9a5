#include <bit>
#include <limits>

#include "elementary.h"
#include "kernels.h"
#include "reference.h"

namespace lookback::kernels {

real exp(real x) { return use_reference() ? reference::exp(x) : elementary::exp(x); }
real log(real x) { return use_reference() ? reference::log(x) : elementary::log(x); }
real tanh(real x) { return use_reference() ? reference::tanh(x) : elementary::tanh(x); }
real sigmoid(real x) { return use_reference() ? reference::sigmoid(x) : elementary::sigmoid(x); }
real erf(real x) { return use_reference() ? reference::erf(x) : elementary::erf(x); }

void exp(std::size_t n, const real* x, real* y) {
    if (use_reference()) return reference::exp(n, x, y);
    each(n, [=](std::size_t i, auto part) { store(y + i, part, elementary::exp(load(x + i, part))); });
}

void log(std::size_t n, const real* x, real* y) {
    if (use_reference()) return reference::log(n, x, y);
    each(n, [=](std::size_t i, auto part) { store(y + i, part, elementary::log(load(x + i, part))); });
}

void tanh(std::size_t n, const real* x, real* y) {
    if (use_reference()) return reference::tanh(n, x, y);
    each(n, [=](std::size_t i, auto part) { store(y + i, part, elementary::tanh(load(x + i, part))); });
}

void sigmoid(std::size_t n, const real* x, real* y) {
    if (use_reference()) return reference::sigmoid(n, x, y);
    each(n, [=](std::size_t i, auto part) { store(y + i, part, elementary::sigmoid(load(x + i, part))); });
}

void erf(std::size_t n, const real* x, real* y) {
    if (use_reference()) return reference::erf(n, x, y);
    each(n, [=](std::size_t i, auto part) { store(y + i, part, elementary::erf(load(x + i, part))); });
}

// ---- sin and cos: x = n pi/2 + r, |r| <= pi/4, and the polynomial of the quadrant n mod 4. ----

namespace {

struct Angle {
    double sin, cos;
    unsigned quadrant;
};

// Taylor-like series in r^2, made as those of elementary.h.
Angle reduce(double x) {
    constexpr double two_over_pi = 0.63661977236758138, shift = 1.5 * (1ll << 52);
    constexpr double half_pi[] = {1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33};
    constexpr double sin_terms[] = {-0.16666666666666666,   0.0083333333333333315,   -0.00019841269841265063,
                                    2.7557319219337312e-06, -2.5052106231802837e-08, 1.6058531516797758e-10,
                                    -7.5866910941979582e-13};
    constexpr double cos_terms[] = {0.041666666666666664,    -0.0013888888888888887, 2.4801587301584645e-05,
                                    -2.7557319221401792e-07, 2.0876755790721963e-09, -1.1470460830795304e-11,
                                    4.7458685530816656e-14};
    if (!(x >= -1e9 && x <= 1e9)) x = std::numeric_limits<double>::quiet_NaN();
    const double shifted = std::fma(x, two_over_pi, shift);
    const double n = shifted - shift;
    const double r = std::fma(-n, half_pi[2], std::fma(-n, half_pi[1], std::fma(-n, half_pi[0], x)));
    const double square = r * r;
    double s = sin_terms[6], c = cos_terms[6];
    for (int i = 5; i >= 0; --i) {
        s = std::fma(s, square, sin_terms[i]);
        c = std::fma(c, square, cos_terms[i]);
    }
    return {std::fma(square * r, s, r), std::fma(square * square, c, std::fma(square, -0.5, 1.0)),
            unsigned(std::bit_cast<std::uint64_t>(shifted) & 3)};
}

}    // namespace

double sin(double x) {
    const Angle a = reduce(x);
    const double size = a.quadrant % 2 == 0 ? a.sin : a.cos;
    return a.quadrant < 2 ? size : -size;
}

double cos(double x) {
    const Angle a = reduce(x);
    const double size = a.quadrant % 2 == 0 ? a.cos : a.sin;
    return a.quadrant == 0 || a.quadrant == 3 ? size : -size;
}

}    // namespace lookback::kernels
