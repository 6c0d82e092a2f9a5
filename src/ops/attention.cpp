#include "lookback/ops/attention.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/kernels.h"
#include "lookback/tensor/node.h"
#include "ops/broadcast.h"
#include "tensor/memory.h"

namespace lookback {

namespace op {

// y_ts = sum_a v_a h_tsa,  h_tsa = tanh(q_ta + k_sa)
// dpre_tsa = dy_ts v_a (1 - h_tsa^2)            dq_ta = sum_s dpre_tsa          dk_sa = sum_t dpre_tsa          dv_a = sum_ts dy_ts h_tsa
struct AdditiveScores final : Node {    // h would be (B, T, S, A), more than all else: backward computes it anew
    int B, T, S, A;

    void forward() override {
        const real *q = inputs[0].data(), *k = inputs[1].data(), *v = inputs[2].data();
        for (int b = 0; b < B; ++b)
            for (int t = 0; t < T; ++t) {
                const int row = b * T + t;
                kernels::additive_score(S, A, q + row * A, k + b * S * A, v, data + row * S);
            }
    }
    void backward() override {
        const real *q = inputs[0].data(), *k = inputs[1].data(), *v = inputs[2].data(), *dy = grad;
        // The kernel fills all three, each in an array of its own: what nobody asked for is thrown away, and where query and
        // key are one tensor, dq is added to it afterwards.
        Buffer unwanted, separate;
        real* waste = unwanted.resize(std::max({inputs[0].size(), inputs[1].size(), inputs[2].size()}));
        real *dq = grad_of(0), *dk = grad_of(1), *dv = grad_of(2);
        const bool one_tensor = dq && dq == dk;
        if (one_tensor) std::fill_n(dq = separate.resize(inputs[0].size()), inputs[0].size(), real(0));
        if (!dq) dq = waste;
        if (!dk) dk = waste;
        if (!dv) dv = waste;
        for (int b = 0; b < B; ++b)
            for (int t = 0; t < T; ++t) {
                const int row = b * T + t;
                kernels::additive_score_backward(S, A, dy + row * S, q + row * A, k + b * S * A, v, dq + row * A, dk + b * S * A,
                                                 dv);
            }
        if (one_tensor) kernels::accumulate(inputs[0].size(), dq, dk);
    }
};

// y_hts = softmax_s(x_hts),  x_hts = sum_k q_thk k_shk / sqrt K, over the s that query t may attend to; 0 for the others
// dx = softmax's          dq_thk = sum_s dx_hts k_shk / sqrt K          dk_shk = sum_t dx_hts q_thk / sqrt K
struct AttentionWeights final : Node {
    int B, heads, T, S, C, K;
    bool causal;

    void forward() override {
        const real *q = inputs[0].data(), *k = inputs[1].data();
        const real* mask = inputs.size() > 2 ? inputs[2].data() : nullptr;
        BroadcastRows mask_row(mask ? inputs[2].shape() : Shape{}, shape);
        const real scale = 1 / std::sqrt(static_cast<real>(std::max(K, 1)));
        const Zeros zeros(S);
        Buffer scores;    // of one head: they stay in the first cache
        real *x = scores.resize(static_cast<std::size_t>(T) * S), *y = data;
        for (int b = 0; b < B; ++b)
            for (int head = 0; head < heads; ++head) {
                kernels::gemm_nt(T, S, K, q + b * T * C + head * K, C, k + b * S * C + head * K, C, x, S, zeros.data());
                for (int t = 0; t < T; ++t, y += S) {
                    real* row = x + t * S;
                    const int visible = causal ? t + S - T + 1 : S;
                    if (mask) {
                        for (int s = 0; s < visible; ++s)
                            if (mask[mask_row.offset + s * mask_row.step] == 0) row[s] = -std::numeric_limits<real>::infinity();
                        mask_row.next();
                    }
                    kernels::softmax(visible, scale, row, y);
                    std::fill(y + visible, y + S, real(0));
                }
            }
    }
    void backward() override {
        const real *q = inputs[0].data(), *k = inputs[1].data(), *y = data, *dy = grad;
        const auto [dq, dq_start] = growing_grad_of(0, K);
        const auto [dk, dk_start] = growing_grad_of(1, K);
        const real scale = 1 / std::sqrt(static_cast<real>(std::max(K, 1)));
        Buffer gradient_of_x;
        real* dx = gradient_of_x.resize(static_cast<std::size_t>(T) * S);
        for (int b = 0; b < B; ++b)
            for (int head = 0; head < heads; ++head) {
                std::fill_n(dx, T * S, real(0));
                for (int t = 0; t < T; ++t, y += S, dy += S) kernels::softmax_backward(S, y, dy, dx + t * S);
                for (int i = 0; i < T * S; ++i) dx[i] *= scale;
                const int q_head = b * T * C + head * K, k_head = b * S * C + head * K;
                if (dq) kernels::gemm_nn(T, K, S, dx, S, k + k_head, C, dq + q_head, C, dq_start);
                if (dk) kernels::gemm_tn(S, K, T, dx, S, q + q_head, C, dk + k_head, C, dk_start);
            }
    }
};

// y_thk = sum_s w_hts v_shk          dw_hts = sum_k dy_thk v_shk          dv_shk = sum_t w_hts dy_thk
struct AttentionContext final : Node {
    int B, heads, T, S, C, K;

    void forward() override {
        const real *w = inputs[0].data(), *v = inputs[1].data();
        const Zeros zeros(K);
        for (int b = 0; b < B; ++b)
            for (int head = 0; head < heads; ++head, w += T * S)
                kernels::gemm_nn(T, K, S, w, S, v + b * S * C + head * K, C, data + b * T * C + head * K, C, zeros.data());
    }
    void backward() override {
        const real *w = inputs[0].data(), *v = inputs[1].data(), *dy = grad;
        const auto [dw, dw_start] = growing_grad_of(0, S);
        const auto [dv, dv_start] = growing_grad_of(1, K);
        for (int b = 0; b < B; ++b)
            for (int head = 0; head < heads; ++head) {
                const int y_head = b * T * C + head * K, v_head = b * S * C + head * K, w_head = (b * heads + head) * T * S;
                if (dw) kernels::gemm_nt(T, S, K, dy + y_head, C, v + v_head, C, dw + w_head, S, dw_start);
                if (dv) kernels::gemm_tn(S, K, T, w + w_head, S, dy + y_head, C, dv + v_head, C, dv_start);
            }
    }
};

}    // namespace op

Tensor additive_scores(const Tensor& query, const Tensor& key, const Tensor& v, Where where) {
    if (query.rank() != 3 || key.rank() != 3 || query.size(0) != key.size(0) || query.size(2) != key.size(2) ||
        v.shape() != Shape{query.size(2)})
        reject(fmt::format("additive_scores: the sizes do not fit: query {}, key {}, v {}; expected (B, T, A), (B, S, A), (A)",
                           to_string(query.shape()), to_string(key.shape()), to_string(v.shape())),
               where);
    auto* node = new op::AdditiveScores;
    node->B = query.size(0);
    node->T = query.size(1);
    node->S = key.size(1);
    node->A = query.size(2);
    return record(node, "additive_scores", {node->B, node->T, node->S}, {query, key, v}, where);
}

Tensor attention_weights(const Tensor& q, const Tensor& k, int heads, const Tensor& mask, bool causal, Where where) {
    if (q.rank() != 3 || k.rank() != 3 || q.size(0) != k.size(0) || q.size(2) != k.size(2))
        reject(fmt::format("attention_weights: the sizes do not fit: q {}, k {}; expected (B, T, C), (B, S, C)",
                           to_string(q.shape()), to_string(k.shape())),
               where);
    const int B = q.size(0), T = q.size(1), S = k.size(1), C = q.size(2);
    if (heads < 1 || C % heads != 0)
        reject(fmt::format("attention_weights: a width of {} cannot be cut into {} heads", C, heads), where);
    if (causal && T > S)
        reject(fmt::format("attention_weights: causal, but there are more queries ({}) than keys ({})", T, S), where);
    const Shape shape{B, heads, T, S};
    if (mask && broadcast_shape(mask.shape(), shape) != shape)
        reject(fmt::format("attention_weights: a mask of {} does not broadcast to (B, heads, T, S) = {}", to_string(mask.shape()),
                           to_string(shape)),
               where);
    auto* node = new op::AttentionWeights;
    node->B = B;
    node->heads = heads;
    node->T = T;
    node->S = S;
    node->C = C;
    node->K = C / heads;
    node->causal = causal;
    return mask ? record(node, "attention_weights", shape, {q, k, mask}, where)
                : record(node, "attention_weights", shape, {q, k}, where);
}

Tensor attention_context(const Tensor& weights, const Tensor& v, Where where) {
    if (weights.rank() != 4 || v.rank() != 3 || weights.size(0) != v.size(0) || weights.size(3) != v.size(1) ||
        weights.size(1) == 0 || v.size(2) % weights.size(1) != 0)
        reject(fmt::format("attention_context: the sizes do not fit: weights {}, v {}; expected (B, heads, T, S), (B, S, C)",
                           to_string(weights.shape()), to_string(v.shape())),
               where);
    auto* node = new op::AttentionContext;
    node->B = v.size(0);
    node->heads = weights.size(1);
    node->T = weights.size(2);
    node->S = v.size(1);
    node->C = v.size(2);
    node->K = node->C / node->heads;
    return record(node, "attention_context", {node->B, node->T, node->C}, {weights, v}, where);
}

}    // namespace lookback
