#include "lookback/nn/transformer.h"

#include <fmt/format.h>

#include <cmath>

#include "lookback/ops/shape.h"
#include "lookback/tensor/scope.h"

namespace lookback {

namespace {

Tensor activate(const Tensor& x, Activation activation) { return activation == Activation::relu ? relu(x) : gelu(x); }

Linear xavier(int in, int out, Random& random) {    // Glorot & Bengio 2010, eq. 16
    Linear layer(in, out, random);
    layer.weight = uniform_parameter({out, in}, std::sqrt(6.0 / (in + out)), random);
    return layer;
}

Tensor over_heads(const Tensor& key_padding) {    // (B, S) -> (B, 1, 1, S), which broadcasts to (B, heads, T, S)
    return key_padding ? reshape(key_padding, {key_padding.size(0), 1, 1, key_padding.size(1)}) : Tensor();
}

}    // namespace

TransformerEncoderLayer::TransformerEncoderLayer(const TransformerOptions& o, Random& random, Where where)
    : self_attn(o.size, o.heads, random, where),
      linear1(xavier(o.size, o.feed_forward, random)),
      linear2(xavier(o.feed_forward, o.size, random)),
      norm1(o.size),
      norm2(o.size),
      options(o) {}

Tensor TransformerEncoderLayer::operator()(const Tensor& input, const Tensor& mask, Mode mode, Tensor* weights) const {
    const bool pre = options.norm_first;
    const auto dropped = [&](const Tensor& y) { return dropout(y, options.dropout, mode); };

    Tensor x = input;
    {    // a block, so that without a graph this is freed before the feed-forward network takes most
        const Tensor attending = pre ? norm1(x) : x;
        const Attended attended = (Scope("self_attn"), self_attn(attending, attending, mask));
        if (weights) *weights = attended.weights;
        x = x + dropped(attended.context);
    }
    if (!pre) x = norm1(x);

    const Tensor fed = linear2(dropped(activate(linear1(pre ? norm2(x) : x), options.activation)));
    x = x + dropped(fed);
    return pre ? x : norm2(x);
}

void TransformerEncoderLayer::parameters(const Visit& visit) {
    self_attn.parameters(within("self_attn", visit));
    linear1.parameters(within("linear1", visit));
    linear2.parameters(within("linear2", visit));
    norm1.parameters(within("norm1", visit));
    norm2.parameters(within("norm2", visit));
}

TransformerDecoderLayer::TransformerDecoderLayer(const TransformerOptions& o, Random& random, Where where)
    : self_attn(o.size, o.heads, random, where),
      multihead_attn(o.size, o.heads, random, where),
      linear1(xavier(o.size, o.feed_forward, random)),
      linear2(xavier(o.feed_forward, o.size, random)),
      norm1(o.size),
      norm2(o.size),
      norm3(o.size),
      options(o) {}

Tensor TransformerDecoderLayer::operator()(const Tensor& x, const Tensor& memory, const Tensor& memory_mask, Mode mode,
                                           Tensor* weights) const {
    Cache cache{{}, (Scope("multihead_attn"), multihead_attn.project_memory(memory))};
    return layer(x, cache, false, memory_mask, mode, weights);
}

Tensor TransformerDecoderLayer::step(const Tensor& x, Cache& cache, const Tensor& memory_mask, Tensor* weights) const {
    return layer(x, cache, true, memory_mask, evaluation, weights);
}

Tensor TransformerDecoderLayer::layer(const Tensor& input, Cache& cache, bool append, const Tensor& memory_mask, Mode mode,
                                      Tensor* weights) const {
    const bool pre = options.norm_first;
    const auto dropped = [&](const Tensor& y) { return dropout(y, options.dropout, mode); };

    Tensor x = input;
    const Tensor attending = pre ? norm1(x) : x;
    MultiheadAttention::Memory target = (Scope("self_attn"), self_attn.project_memory(attending));
    if (append) {
        if (cache.target.keys) {
            target.keys = concat({cache.target.keys, target.keys}, 1);
            target.values = concat({cache.target.values, target.values}, 1);
        }
        cache.target = target;
    }
    const Attended attended_self = (Scope("self_attn"), self_attn(attending, target, {}, true));
    x = x + dropped(attended_self.context);
    if (!pre) x = norm1(x);

    const Tensor asking = pre ? norm2(x) : x;
    const Attended attended = (Scope("multihead_attn"), multihead_attn(asking, cache.source, memory_mask));
    if (weights) *weights = attended.weights;
    x = x + dropped(attended.context);
    if (!pre) x = norm2(x);

    const Tensor fed = linear2(dropped(activate(linear1(pre ? norm3(x) : x), options.activation)));
    x = x + dropped(fed);
    return pre ? x : norm3(x);
}

void TransformerDecoderLayer::parameters(const Visit& visit) {
    self_attn.parameters(within("self_attn", visit));
    multihead_attn.parameters(within("multihead_attn", visit));
    linear1.parameters(within("linear1", visit));
    linear2.parameters(within("linear2", visit));
    norm1.parameters(within("norm1", visit));
    norm2.parameters(within("norm2", visit));
    norm3.parameters(within("norm3", visit));
}

Transformer::Transformer(const TransformerOptions& options, Random& random, Where where)
    : encoder_norm(options.size), decoder_norm(options.size) {
    for (int i = 0; i < options.encoder_layers; ++i) encoder.emplace_back(options, random, where);
    for (int i = 0; i < options.decoder_layers; ++i) decoder.emplace_back(options, random, where);
}

Tensor Transformer::encode(const Tensor& source, const Tensor& key_padding, Mode mode, std::vector<Tensor>* weights) const {
    const Tensor mask = over_heads(key_padding);
    Tensor x = source;
    for (std::size_t i = 0; i < encoder.size(); ++i) {
        const Scope scope("encoder.layers", static_cast<int>(i));
        if (weights) weights->emplace_back();
        x = encoder[i](x, mask, mode, weights ? &weights->back() : nullptr);
    }
    return (Scope("encoder.norm"), encoder_norm(x));
}

Tensor Transformer::decode(const Tensor& target, const Tensor& memory, const Tensor& key_padding, Mode mode,
                           std::vector<Tensor>* weights) const {
    const Tensor mask = over_heads(key_padding);
    Tensor x = target;
    for (std::size_t i = 0; i < decoder.size(); ++i) {
        const Scope scope("decoder.layers", static_cast<int>(i));
        if (weights) weights->emplace_back();
        x = decoder[i](x, memory, mask, mode, weights ? &weights->back() : nullptr);
    }
    return (Scope("decoder.norm"), decoder_norm(x));
}

std::vector<TransformerDecoderLayer::Cache> Transformer::start(const Tensor& memory) const {
    std::vector<TransformerDecoderLayer::Cache> caches;
    for (std::size_t i = 0; i < decoder.size(); ++i) {
        const Scope scope("decoder.layers", static_cast<int>(i));
        caches.push_back({{}, (Scope("multihead_attn"), decoder[i].multihead_attn.project_memory(memory))});
    }
    return caches;
}

Tensor Transformer::step(const Tensor& token, std::vector<TransformerDecoderLayer::Cache>& caches, const Tensor& key_padding,
                         std::vector<Tensor>* weights) const {
    const Tensor mask = over_heads(key_padding);
    Tensor x = token;
    for (std::size_t i = 0; i < decoder.size(); ++i) {
        const Scope scope("decoder.layers", static_cast<int>(i));
        if (weights) weights->emplace_back();
        x = decoder[i].step(x, caches[i], mask, weights ? &weights->back() : nullptr);
    }
    return (Scope("decoder.norm"), decoder_norm(x));
}

void Transformer::parameters(const Visit& visit) {
    for (std::size_t i = 0; i < encoder.size(); ++i) encoder[i].parameters(within(fmt::format("encoder.layers.{}", i), visit));
    encoder_norm.parameters(within("encoder.norm", visit));
    for (std::size_t i = 0; i < decoder.size(); ++i) decoder[i].parameters(within(fmt::format("decoder.layers.{}", i), visit));
    decoder_norm.parameters(within("decoder.norm", visit));
}

}    // namespace lookback
