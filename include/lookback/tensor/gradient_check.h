#pragma once

#include <functional>

#include "lookback/tensor/tensor.h"

namespace lookback {

struct GradientCheck {
    double worst = 0;     // largest |analytic - numeric| / max(1, |analytic|, |numeric|)
    std::string where;    // "element 3 of weight (2, 4): analytic 0.1, numeric 0.2"
};

// Compares backward() with central differences, (f(x + h) - f(x - h)) / 2h, for every element of the leaves. What f returns,
// of any shape, goes through a fixed random projection into one number: through a bare sum() a wrong backward can hide
// (softmax's rows sum to 1 whatever x is). f must compute the same each time it is called; the leaves must require gradients.
// A right gradient stays under 1e-6 in the double build (real = double: the library lookback_double of a Meson subproject, with tensor,
// ops and nn), and under some 1e-3 in float.
GradientCheck check_gradient(const std::function<Tensor()>& f, std::vector<Tensor> leaves);

}    // namespace lookback
