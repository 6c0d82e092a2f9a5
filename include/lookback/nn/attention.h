#pragma once

#include "lookback/nn/layers.h"

namespace lookback {

// What attention gives: a weighted sum of memory for each query, and the weights, which sum to 1 over the memory.
struct Attended {
    Tensor context;    // (B, T, M)
    Tensor weights;    // (B, T, S), or (B, heads, T, S) for multi-head attention
};

// The four scores of an RNN decoder's attention. Each compares T queries with S places of memory:
//     score_ts = ...           weights = softmax_s(score) over the places that key_padding allows           context = weights memory
// query (B, T, Q), memory (B, S, M), key_padding (B, S) with 1 = may attend, or none.
// What depends on the memory alone, prepare(memory), is worked out once a sentence.

// score_ts = v . tanh(W q_t + U m_s). Bahdanau et al. 2015, arXiv:1409.0473, section 3.1 and appendix A.1.2.
struct AdditiveAttention {
    Linear query, key, energy;    // W (A, Q), U (A, M), v (1, A), no biases

    AdditiveAttention() = default;
    AdditiveAttention(int query_size, int memory_size, int hidden, Random& random);
    Tensor prepare(const Tensor& memory) const;    // U m: (B, S, A)
    Attended operator()(const Tensor& query, const Tensor& prepared, const Tensor& memory, const Tensor& key_padding) const;
    void parameters(const Visit& visit);
};

// score_ts = q_t . m_s. Luong et al. 2015, arXiv:1508.04025, section 3.1, "dot".
struct DotAttention {
    Tensor prepare(const Tensor& memory) const { return memory; }
    Attended operator()(const Tensor& query, const Tensor& prepared, const Tensor& memory, const Tensor& key_padding) const;
    void parameters(const Visit&) {}
};

// score_ts = q_t . W m_s. Luong et al. 2015, section 3.1, "general".
struct GeneralAttention {
    Linear key;    // W (Q, M)

    GeneralAttention() = default;
    GeneralAttention(int query_size, int memory_size, Random& random);
    Tensor prepare(const Tensor& memory) const;    // W m: (B, S, Q)
    Attended operator()(const Tensor& query, const Tensor& prepared, const Tensor& memory, const Tensor& key_padding) const;
    void parameters(const Visit& visit);
};

// score_ts = v . tanh(W [q_t; m_s]). Luong et al. 2015, section 3.1, "concat": additive attention, with W and U in one matrix.
struct ConcatAttention {
    Linear hidden, energy;    // W (A, Q + M), v (1, A), no biases
    int query_size = 0;

    ConcatAttention() = default;
    ConcatAttention(int query_size, int memory_size, int hidden, Random& random);
    Tensor prepare(const Tensor& memory) const;    // (B, S, A)
    Attended operator()(const Tensor& query, const Tensor& prepared, const Tensor& memory, const Tensor& key_padding) const;
    void parameters(const Visit& visit);
};

// Attention(Q, K, V) = softmax(Q K^T / sqrt(d_k)) V from primitives, for q (..., T, d_k), k (..., S, d_k), v (..., S, d_v); the mask
// is broadcast to (..., T, S), 1 = may attend, or none. Vaswani et al. 2017, arXiv:1706.03762, eq. 1.
Attended scaled_dot_product_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask = {});

// 1 where query t may see key s, that is s <= t: (T, T).
Tensor causal_mask(int size);

// MultiHead(Q, K, V) = concat(head_1 .. head_h) W_o with head_i = Attention(Q W_i^Q, K W_i^K, V W_i^V), as
// torch.nn.MultiheadAttention with batch first. Vaswani et al. 2017, section 3.2.2.
struct MultiheadAttention {
    Tensor in_proj_weight, in_proj_bias;    // (3C, C), (3C): queries | keys | values, heads side by side in each
    Linear out_proj;                        // (C, C)
    int heads = 1;

    // Keys and values of what can be attended to, kept while decoding so that no token is projected twice.
    struct Memory {
        Tensor keys, values;    // (B, S, C)
    };

    MultiheadAttention() = default;
    // std::invalid_argument where the size cannot be cut into so many heads.
    MultiheadAttention(int size, int heads, Random& random, Where where = Where::current());

    Memory project_memory(const Tensor& memory) const;    // (B, S, C)
    // x (B, T, C) attends to a projected memory; mask broadcast to (B, heads, T, S) or none; causal as in attention_weights.
    Attended operator()(const Tensor& x, const Memory& memory, const Tensor& mask = {}, bool causal = false) const;
    // To a memory of its own (cross-attention) or, where memory is x, to itself.
    Attended operator()(const Tensor& x, const Tensor& memory, const Tensor& mask = {}, bool causal = false) const {
        return (*this)(x, project_memory(memory), mask, causal);
    }
    void parameters(const Visit& visit);

  private:
    Tensor project(const Tensor& x, int part) const;
};

}    // namespace lookback
