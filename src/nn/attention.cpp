#include "lookback/nn/attention.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "lookback/ops/attention.h"
#include "lookback/ops/elementwise.h"
#include "lookback/ops/matmul.h"
#include "lookback/ops/shape.h"
#include "lookback/ops/softmax.h"
#include "lookback/tensor/node.h"

namespace lookback {

namespace {

// scores (B, T, S) -> weights over the real tokens, and the weighted sum of memory (B, S, M)
Attended attend(const Tensor& scores, const Tensor& memory, const Tensor& key_padding) {
    const Tensor weights = key_padding
                               ? masked_softmax(scores, reshape(key_padding, {key_padding.size(0), 1, key_padding.size(1)}))
                               : softmax(scores);
    return {matmul(weights, memory), weights};
}

Tensor as_vector(const Linear& energy) { return reshape(energy.weight, {energy.weight.size(1)}); }

}    // namespace

AdditiveAttention::AdditiveAttention(int query_size, int memory_size, int hidden, Random& random)
    : query(query_size, hidden, random, false), key(memory_size, hidden, random, false), energy(hidden, 1, random, false) {}

Tensor AdditiveAttention::prepare(const Tensor& memory) const { return key(memory); }

Attended AdditiveAttention::operator()(const Tensor& q, const Tensor& prepared, const Tensor& memory,
                                       const Tensor& key_padding) const {
    const Tensor asked = query(q), v = as_vector(energy);
    return attend(additive_scores(asked, prepared, v), memory, key_padding);
}

void AdditiveAttention::parameters(const Visit& visit) {
    query.parameters(within("query", visit));
    key.parameters(within("key", visit));
    energy.parameters(within("energy", visit));
}

Attended DotAttention::operator()(const Tensor& q, const Tensor& prepared, const Tensor& memory,
                                  const Tensor& key_padding) const {
    return attend(matmul(q, transpose(prepared)), memory, key_padding);
}

GeneralAttention::GeneralAttention(int query_size, int memory_size, Random& random)
    : key(memory_size, query_size, random, false) {}

Tensor GeneralAttention::prepare(const Tensor& memory) const { return key(memory); }

Attended GeneralAttention::operator()(const Tensor& q, const Tensor& prepared, const Tensor& memory,
                                      const Tensor& key_padding) const {
    return attend(matmul(q, transpose(prepared)), memory, key_padding);
}

void GeneralAttention::parameters(const Visit& visit) { key.parameters(within("key", visit)); }

ConcatAttention::ConcatAttention(int query_width, int memory_size, int hidden_size, Random& random)
    : hidden(query_width + memory_size, hidden_size, random, false),
      energy(hidden_size, 1, random, false),
      query_size(query_width) {}

Tensor ConcatAttention::prepare(const Tensor& memory) const { return linear(memory, hidden.weight, {}, {.column = query_size}); }

Attended ConcatAttention::operator()(const Tensor& q, const Tensor& prepared, const Tensor& memory,
                                     const Tensor& key_padding) const {
    const Tensor query = linear(q, hidden.weight, {}, {.columns = query_size});
    return attend(additive_scores(query, prepared, as_vector(energy)), memory, key_padding);
}

void ConcatAttention::parameters(const Visit& visit) {
    hidden.parameters(within("hidden", visit));
    energy.parameters(within("energy", visit));
}

Attended scaled_dot_product_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask) {
    const Tensor scores = matmul(q, transpose(k)) * (1 / std::sqrt(static_cast<double>(std::max(q.size(-1), 1))));
    const Tensor weights = mask ? masked_softmax(scores, mask) : softmax(scores);
    return {matmul(weights, v), weights};
}

Tensor causal_mask(int size) {
    Tensor mask({size, size});
    for (int t = 0; t < size; ++t)
        for (int s = 0; s <= t; ++s) mask.data()[t * size + s] = 1;
    return mask;
}

MultiheadAttention::MultiheadAttention(int size, int head_count, Random& random, Where where)
    : in_proj_bias(constant_parameter({3 * size}, 0)), out_proj(size, size, random), heads(head_count) {
    if (heads < 1 || size % heads != 0)
        reject(fmt::format("multi-head attention: a width of {} cannot be cut into {} heads", size, heads), where);
    // Xavier (Glorot & Bengio 2010, eq. 16): in 4C, since the three parts are one matrix, as torch.nn does it.
    in_proj_weight = uniform_parameter({3 * size, size}, std::sqrt(6.0 / (4 * size)), random);
    out_proj.bias = constant_parameter({size}, 0);
}

Tensor MultiheadAttention::project(const Tensor& x, int part) const {
    const int C = in_proj_weight.size(1);
    return linear(x, in_proj_weight, in_proj_bias, {.row = part * C, .rows = C});
}

MultiheadAttention::Memory MultiheadAttention::project_memory(const Tensor& memory) const {
    return {project(memory, 1), project(memory, 2)};
}

Attended MultiheadAttention::operator()(const Tensor& x, const Memory& memory, const Tensor& mask, bool causal) const {
    const Tensor weights = attention_weights(project(x, 0), memory.keys, heads, mask, causal);
    return {out_proj(attention_context(weights, memory.values)), weights};
}

void MultiheadAttention::parameters(const Visit& visit) {
    visit("in_proj_weight", in_proj_weight);
    visit("in_proj_bias", in_proj_bias);
    out_proj.parameters(within("out_proj", visit));
}

}    // namespace lookback
