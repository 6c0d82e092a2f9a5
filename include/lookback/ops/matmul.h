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

// The same with a block of a larger weight and its rows of the bias, where several weights are stored as one: the queries, keys
// and values of in_proj_weight, or the columns that read the word and those that read the context.
struct Block {
    int row = 0, rows = 0, column = 0, columns = 0;    // rows or columns 0: all that follow
};
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, Block block, Where where = Where::current());

}    // namespace lookback
