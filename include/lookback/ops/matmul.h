#pragma once

#include "lookback/tensor/tensor.h"

namespace lookback {

// Matrix product over the last two dimensions: (..., M, K) x (..., K, N) -> (..., M, N). The leading dimensions are equal
// (a batch of products), or b has none and is shared by all: (..., M, K) x (K, N).
// y_mn = sum_k a_mk b_kn          da = dy b^T          db = a^T dy
// std::invalid_argument where sizes differ.
Tensor matmul(const Tensor& a, const Tensor& b, Where where = Where::current());

// y = x W^T + b over the last dimension: x (..., in), weight (out, in), bias (out) or none -> (..., out).
// One product over all rows; equal in value to matmul(x, transpose(weight)) + bias.
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {}, Where where = Where::current());

}    // namespace lookback
