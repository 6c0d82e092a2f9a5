#pragma once

#include "lookback/tensor/tensor.h"

namespace lookback {

// y_i = e^{x_i} / sum_j e^{x_j} along one dimension; the row's maximum is subtracted first, so that nothing overflows.
// -inf gets weight exactly 0; a row of nothing but -inf gives zeros.
Tensor softmax(const Tensor& x, int dim = -1, Where where = Where::current());

// Softmax along the last dimension over the elements whose mask is not 0. The others get weight exactly 0 and gradient
// exactly 0, whatever they hold (a NaN that arrives is not stopped); a row with nothing to attend to gives zeros. The mask is
// broadcast to x: (B, 1, 1, S) for scores of (B, H, T, S).
Tensor masked_softmax(const Tensor& x, const Tensor& mask, Where where = Where::current());

// ln softmax(x) along one dimension, without the detour over numbers too small for ln.
Tensor log_softmax(const Tensor& x, int dim = -1, Where where = Where::current());

// y = (x - mean) / sqrt(variance + epsilon) * weight + bias over the last dimension, with the variance divided by n.
// x (..., C), weight (C), bias (C). Ba et al. 2016, arXiv:1607.06450, eq. 3.
Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double epsilon = 1e-5,
                  Where where = Where::current());

}    // namespace lookback
