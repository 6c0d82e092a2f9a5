#pragma once

#include "lookback/tensor/tensor.h"

namespace lookback {

// score_ts = v . tanh(q_t + k_s), fused: the sum over all pairs (t, s) is never a tensor of the graph.
// query (B, T, A), key (B, S, A), v (A) -> (B, T, S). Bahdanau et al. 2015, arXiv:1409.0473, appendix A.1.2, where q = W_a s_{t-1}
// and k = U_a h_s.
Tensor additive_scores(const Tensor& query, const Tensor& key, const Tensor& v, Where where = Where::current());

// softmax(q k^T / sqrt(d_k)) for each head, fused. The last size C of q and k is cut into `heads` parts of d_k = C / heads; with the
// mask (broadcast to (B, heads, T, S), 1 = may attend; may be empty) and, if `causal`, no weight on what comes later: query t of
// T stands at position t + S - T of the S keys. q (B, T, C), k (B, S, C) -> (B, heads, T, S). std::invalid_argument if C cannot be
// cut into so many heads, or `causal` finds more queries than keys.
// Vaswani et al. 2017, arXiv:1706.03762, eq. 1 and section 3.2.2.
Tensor attention_weights(const Tensor& q, const Tensor& k, int heads, const Tensor& mask = {}, bool causal = false,
                         Where where = Where::current());

// The weighted sum of values for each head, the heads side by side again: weights (B, heads, T, S), v (B, S, C) -> (B, T, C).
Tensor attention_context(const Tensor& weights, const Tensor& v, Where where = Where::current());

}    // namespace lookback
