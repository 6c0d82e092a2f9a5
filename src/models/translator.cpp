#include "lookback/models/translator.h"

#include <fmt/format.h>

#include <cmath>
#include <stdexcept>

#include "lookback/nn/positions.h"
#include "lookback/ops/matmul.h"
#include "lookback/ops/recurrent.h"
#include "lookback/ops/shape.h"
#include "lookback/tensor/node.h"
#include "lookback/tensor/packed_weights.h"
#include "lookback/tensor/scope.h"

namespace lookback {

namespace {

// A decoder's W_ih reads the embedded token with its first columns, and the context with the others. The part of the tokens is one
// product for all steps, biases included; the part of the context is added step by step.
Block token_columns(const Embedding& embedding) { return {.columns = embedding.weight.size(1)}; }
Block context_columns(const Embedding& embedding) { return {.column = embedding.weight.size(1)}; }

Ids one_token_each(const std::vector<int>& tokens) { return {{static_cast<int>(tokens.size())}, tokens}; }

}    // namespace

// Words start close together, so that what tells them apart is learned: Bahdanau et al. 2015, appendix B.1, start even closer.
constexpr double embedding_spread = 0.1;

FixedVector::FixedVector(int source_vocabulary, int target_vocabulary, Random& random, int size, int hidden)
    : source_embedding(source_vocabulary, size, random, embedding_spread),
      target_embedding(target_vocabulary, size, random, embedding_spread),
      encoder(size, hidden, random),
      decoder(size + hidden, hidden, random),
      out(hidden, target_vocabulary, random) {}

Tensor FixedVector::operator()(const Batch& batch) const {
    const State state = start(batch.source, batch.source_lengths);
    const Tensor from_tokens = embedded_linear(batch.target_in, target_embedding, decoder.weight_ih, decoder.bias_ih,
                                               token_columns(target_embedding));         // (B, T, 3H)
    const Tensor from_sentence = reshape(state.from_sentence, {batch.size(), 1, -1});    // the same at all T
    return out(gru_sequence(from_tokens + from_sentence, state.h, decoder.weight_hh, decoder.bias_hh));
}

FixedVector::State FixedVector::start(const Ids& source, const std::vector<int>& lengths) const {
    const Tensor sentence = (Scope("encoder"), encoder(source, source_embedding, lengths).state);
    return {sentence, linear(sentence, decoder.weight_ih, {}, context_columns(target_embedding))};
}

Tensor FixedVector::step(const std::vector<int>& tokens, State& state) const {
    if (static_cast<int>(tokens.size()) != state.h.size(0))
        throw std::invalid_argument(fmt::format("step: {} tokens for {} sentences", tokens.size(), state.h.size(0)));
    const Tensor from_token = embedded_linear(one_token_each(tokens), target_embedding, decoder.weight_ih, decoder.bias_ih,
                                              token_columns(target_embedding));
    state.h = decoder.step(from_token + state.from_sentence, state.h);
    return out(state.h);
}

void FixedVector::State::keep(const std::vector<int>& rows) {
    h = index_select(h, rows);
    from_sentence = index_select(from_sentence, rows);
}

void FixedVector::parameters(const Visit& visit) {
    source_embedding.parameters(within("source_embedding", visit));
    target_embedding.parameters(within("target_embedding", visit));
    encoder.parameters(within("encoder", visit));
    decoder.parameters(within("decoder", visit));
    out.parameters(within("out", visit));
}

AttentionTranslator::AttentionTranslator(int source_vocabulary, int target_vocabulary, Random& random, int size, int hidden,
                                         int attention_size, Where where)
    : source_embedding(source_vocabulary, size, random, embedding_spread),
      target_embedding(target_vocabulary, size, random, embedding_spread),
      encoder(size, hidden / 2, random, true),
      attention(hidden, hidden, attention_size, random),
      decoder(size + hidden, hidden, random),
      out(2 * hidden + size, target_vocabulary, random) {
    if (hidden % 2 != 0) reject(fmt::format("AttentionTranslator: a state of {} cannot be read half each way", hidden), where);
}

AttentionTranslator::State AttentionTranslator::start(const Ids& source, const std::vector<int>& lengths) const {
    const Gru::Output encoded = (Scope("encoder"), encoder(source, source_embedding, lengths));
    return {encoded.state, encoded.y, attention.prepare(encoded.y), key_padding(source), {}};
}

Tensor AttentionTranslator::operator()(const Batch& batch, Tensor* weights) const {
    const State state = start(batch.source, batch.source_lengths);
    const int B = batch.size(), T = batch.target_in.shape[1], H = decoder.hidden();
    const Tensor embedded = target_embedding(batch.target_in);    // (B, T, E)
    const Tensor from_tokens = embedded_linear(batch.target_in, target_embedding, decoder.weight_ih, decoder.bias_ih,
                                               token_columns(target_embedding));    // (B, T, 3H)
    std::vector<Tensor> hidden, contexts, looks;
    Tensor h = state.h;
    const PackedWeights packed({attention.query.weight, decoder.weight_ih, decoder.weight_hh});
    for (int t = 0; t < T; ++t) {
        const Scope scope("step", t);
        const Attended attended = attention(reshape(h, {B, 1, H}), state.prepared, state.memory, state.key_padding);
        const Tensor context = reshape(attended.context, {B, -1});    // (B, H)
        const Tensor from_token = select(from_tokens, 1, t);
        h = decoder.step(from_token + linear(context, decoder.weight_ih, {}, context_columns(target_embedding)), h);
        hidden.push_back(h);
        contexts.push_back(context);
        if (weights) looks.push_back(select(attended.weights, 1, 0));
    }
    if (weights) *weights = stack(looks, 1);
    return out(concat({stack(hidden, 1), stack(contexts, 1), embedded}, 2));
}

Tensor AttentionTranslator::look(const Batch& batch) const {
    Tensor weights;
    (*this)(batch, &weights);
    return weights;
}

Tensor AttentionTranslator::step(const std::vector<int>& tokens, State& state) const {
    const int B = state.h.size(0), H = decoder.hidden();
    const Ids ids = one_token_each(tokens);
    const Attended attended = attention(reshape(state.h, {B, 1, H}), state.prepared, state.memory, state.key_padding);
    const Tensor context = reshape(attended.context, {B, -1});
    const Tensor from_token =
        embedded_linear(ids, target_embedding, decoder.weight_ih, decoder.bias_ih, token_columns(target_embedding));
    state.h = decoder.step(from_token + linear(context, decoder.weight_ih, {}, context_columns(target_embedding)), state.h);
    state.weights = select(attended.weights, 1, 0);
    return out(concat({state.h, context, target_embedding(ids)}, 1));
}

void AttentionTranslator::State::keep(const std::vector<int>& rows) {
    for (Tensor* x : {&h, &memory, &prepared, &key_padding, &weights})
        if (*x) *x = index_select(*x, rows);    // before the first step there are no weights
}

void AttentionTranslator::parameters(const Visit& visit) {
    source_embedding.parameters(within("source_embedding", visit));
    target_embedding.parameters(within("target_embedding", visit));
    encoder.parameters(within("encoder", visit));
    attention.parameters(within("attention", visit));
    decoder.parameters(within("decoder", visit));
    out.parameters(within("out", visit));
}

TransformerTranslator::TransformerTranslator(int source_vocabulary, int target_vocabulary, Random& random,
                                             const TransformerOptions& o, Where where)
    : source_embedding(source_vocabulary, o.size, random, 1 / std::sqrt(o.size)),
      target_embedding(target_vocabulary, o.size, random, 1 / std::sqrt(o.size)),
      transformer(o, random, where),
      out(o.size, target_vocabulary, random),
      positions(sinusoidal_positions(longest, o.size)),
      options(o) {
    if (o.decoder_layers < 1) reject("TransformerTranslator: it has no decoder layer, and so would never see the source", where);
}

Tensor TransformerTranslator::embed(const Embedding& embedding, const Ids& ids, int start) const {
    const int length = ids.shape[1];
    if (start + length > longest)
        throw std::invalid_argument(
            fmt::format("TransformerTranslator: {} tokens: at most {} have a position", start + length, longest));
    const Tensor scaled = embedding(ids) * std::sqrt(static_cast<double>(options.size));
    return scaled + slice(positions, 0, start, start + length);
}

Tensor TransformerTranslator::operator()(const Batch& batch, Mode mode, std::vector<Tensor>* weights) const {
    const Tensor padding = key_padding(batch.source);
    const Tensor memory =
        transformer.encode(dropout(embed(source_embedding, batch.source, 0), options.dropout, mode), padding, mode);
    const Tensor target = dropout(embed(target_embedding, batch.target_in, 0), options.dropout, mode);
    return out(transformer.decode(target, memory, padding, mode, weights));
}

Tensor TransformerTranslator::look(const Batch& batch) const {
    std::vector<Tensor> weights;
    (*this)(batch, evaluation, &weights);
    return mean(weights.back(), 1);
}

TransformerTranslator::State TransformerTranslator::start(const Ids& source, const std::vector<int>&) const {
    const Tensor padding = key_padding(source);
    return {padding, transformer.start(transformer.encode(embed(source_embedding, source, 0), padding)), 0, {}};
}

Tensor TransformerTranslator::step(const std::vector<int>& tokens, State& state) const {
    const int B = static_cast<int>(tokens.size());
    const Tensor x = embed(target_embedding, {{B, 1}, tokens}, state.length++);
    std::vector<Tensor> weights;
    const Tensor y = transformer.step(x, state.caches, state.key_padding, &weights);
    state.weights = mean(select(weights.back(), 2, 0), 1);    // (B, heads, 1, S) -> (B, S)
    return out(reshape(y, {B, options.size}));
}

void TransformerTranslator::State::keep(const std::vector<int>& rows) {
    std::vector<Tensor*> all = {&key_padding, &weights};
    for (TransformerDecoderLayer::Cache& cache : caches)
        all.insert(all.end(), {&cache.target.keys, &cache.target.values, &cache.source.keys, &cache.source.values});
    for (Tensor* x : all)
        if (*x) *x = index_select(*x, rows);    // before the first step nothing is said
}

void TransformerTranslator::parameters(const Visit& visit) {
    source_embedding.parameters(within("source_embedding", visit));
    target_embedding.parameters(within("target_embedding", visit));
    transformer.parameters(within("transformer", visit));
    out.parameters(within("out", visit));
}

}    // namespace lookback
