#pragma once

#include "lookback/nn/module.h"
#include "lookback/ops/lookup.h"
#include "lookback/ops/matmul.h"

namespace lookback {

// y = x W^T + b over the last dimension: (..., in) -> (..., out). Starts uniform in +-1/sqrt(in), as torch.nn.Linear.
struct Linear {
    Tensor weight, bias;    // (out, in), (out) or none

    Linear() = default;
    Linear(int in, int out, Random& random, bool with_bias = true);
    Tensor operator()(const Tensor& x, Where where = Where::current()) const;
    void parameters(const Visit& visit);
};

// One row of a table for each token: ids (...) -> (..., E). Starts normal with the given deviation.
struct Embedding {
    Tensor weight;    // (V, E)

    Embedding() = default;
    Embedding(int vocabulary, int size, Random& random, double deviation = 1);
    Tensor operator()(const Ids& ids, Where where = Where::current()) const;
    void parameters(const Visit& visit);
};

// linear(embedding(ids), weight, bias), with the product of each distinct token computed once: a batch says the same words again and
// again, and under Frozen so do all that follow. Same values to the bit; ids (...) -> (..., out).
Tensor embedded_linear(const Ids& ids, const Embedding& embedding, const Tensor& weight, const Tensor& bias = {},
                       Block block = {}, Where where = Where::current());

// Mean 0 and variance 1 over the last dimension, then a learned scale and shift. Ba et al. 2016, arXiv:1607.06450.
struct LayerNorm {
    Tensor weight, bias;    // (C), (C); start at 1 and 0
    double epsilon = 1e-5;

    LayerNorm() = default;
    explicit LayerNorm(int size);
    Tensor operator()(const Tensor& x, Where where = Where::current()) const;
    void parameters(const Visit& visit);
};

}    // namespace lookback
