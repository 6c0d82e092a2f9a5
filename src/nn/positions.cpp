#include "lookback/nn/positions.h"

#include <fmt/format.h>

#include "kernels/kernels.h"
#include "lookback/ops/shape.h"
#include "lookback/tensor/node.h"

namespace lookback {

namespace {

// 10000^-x in basic arithmetic, since std::pow differs between C libraries: e^-y = (e^{-y/1024})^1024, y = x ln 10000.
double wavelength_power(double x) {
    const double y = -x * 9.210340371976183 / 1024;
    double power = 1 + y * (1 + y / 2 * (1 + y / 3 * (1 + y / 4 * (1 + y / 5))));
    for (int i = 0; i < 10; ++i) power *= power;
    return power;
}

}    // namespace

Tensor sinusoidal_positions(int length, int size, int start) {
    Tensor positions({length, size});
    real* p = positions.data();
    for (int i = 0; i < size; ++i) {
        const double frequency = wavelength_power(static_cast<double>(i - i % 2) / size);
        for (int t = 0; t < length; ++t) {
            const double angle = (start + t) * frequency;
            p[t * size + i] = static_cast<real>(i % 2 == 0 ? kernels::sin(angle) : kernels::cos(angle));
        }
    }
    return positions;
}

LearnedPositions::LearnedPositions(int longest, int size, Random& random)
    : weight(Tensor::normal({longest, size}, 0.02, random).requires_grad()) {}

Tensor LearnedPositions::operator()(int length, int start, Where where) const {
    if (start + length > weight.size(0))
        reject(fmt::format("learned positions: position {} was never learned; the table ends at {}", start + length - 1,
                           weight.size(0) - 1),
               where);
    return slice(weight, 0, start, start + length, where);
}

void LearnedPositions::parameters(const Visit& visit) { visit("weight", weight); }

}    // namespace lookback
