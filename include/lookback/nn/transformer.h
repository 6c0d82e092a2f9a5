#pragma once

#include "lookback/nn/attention.h"
#include "lookback/ops/elementwise.h"

namespace lookback {

enum class Activation { relu, gelu };

struct TransformerOptions {
    int size = 64;             // C, the width of the model
    int heads = 4;             // must divide it: std::invalid_argument
    int feed_forward = 256;    // F
    int encoder_layers = 2;
    int decoder_layers = 2;
    double dropout = 0;
    // Pre-norm: x + f(norm(x)), Xiong et al. 2020, arXiv:2002.04745. False: post-norm, norm(x + f(x)), as in the paper.
    bool norm_first = true;
    Activation activation = Activation::relu;
};

// Self-attention, then F outputs of relu or gelu back to C, each added to what came in: torch.nn.TransformerEncoderLayer (but
// dropout does not reach the attention weights). Vaswani et al. 2017, section 3.1; dropout where section 5.4 has it, and between
// the two linear layers.
struct TransformerEncoderLayer {
    MultiheadAttention self_attn;
    Linear linear1, linear2;    // (F, C), (C, F)
    LayerNorm norm1, norm2;
    TransformerOptions options;

    TransformerEncoderLayer() = default;
    TransformerEncoderLayer(const TransformerOptions& options, Random& random, Where where = Where::current());
    // x (B, S, C), mask broadcast to (B, heads, S, S) or none. The weights come back for pictures.
    Tensor operator()(const Tensor& x, const Tensor& mask, Mode mode = evaluation, Tensor* weights = nullptr) const;
    void parameters(const Visit& visit);
};

// Masked self-attention, attention to the encoder's output, feed-forward: torch.nn.TransformerDecoderLayer.
struct TransformerDecoderLayer {
    MultiheadAttention self_attn, multihead_attn;
    Linear linear1, linear2;    // (F, C), (C, F)
    LayerNorm norm1, norm2, norm3;
    TransformerOptions options;

    // What a decoding step needs of the steps before: keys and values of the target so far and of the source.
    struct Cache {
        MultiheadAttention::Memory target, source;
    };

    TransformerDecoderLayer() = default;
    TransformerDecoderLayer(const TransformerOptions& options, Random& random, Where where = Where::current());
    // x (B, T, C), memory (B, S, C), memory_mask broadcast to (B, heads, T, S) or none. weights: those over memory, (B, heads, T, S).
    Tensor operator()(const Tensor& x, const Tensor& memory, const Tensor& memory_mask, Mode mode = evaluation,
                      Tensor* weights = nullptr) const;
    // The same for the next token alone, x (B, 1, C): appends its keys and values to the cache.
    Tensor step(const Tensor& x, Cache& cache, const Tensor& memory_mask, Tensor* weights = nullptr) const;
    void parameters(const Visit& visit);

  private:
    Tensor layer(const Tensor& x, Cache& cache, bool append, const Tensor& memory_mask, Mode mode, Tensor* weights) const;
};

// The stack of both, each ending in a layer norm, with the parameters of torch.nn.Transformer: what is between embeddings and
// output layer.
struct Transformer {
    std::vector<TransformerEncoderLayer> encoder;
    std::vector<TransformerDecoderLayer> decoder;
    LayerNorm encoder_norm, decoder_norm;

    Transformer() = default;
    Transformer(const TransformerOptions& options, Random& random, Where where = Where::current());
    // key_padding (B, S): 1 = real token; may be empty. weights receives one tensor a layer where given.
    Tensor encode(const Tensor& source, const Tensor& key_padding, Mode mode = evaluation,
                  std::vector<Tensor>* weights = nullptr) const;
    Tensor decode(const Tensor& target, const Tensor& memory, const Tensor& key_padding, Mode mode = evaluation,
                  std::vector<Tensor>* weights = nullptr) const;
    Tensor operator()(const Tensor& source, const Tensor& target, const Tensor& key_padding, Mode mode = evaluation) const {
        return decode(target, encode(source, key_padding, mode), key_padding, mode);
    }

    // Decoding with kept keys and values: one cache a layer, then one token (B, 1, C) at a time.
    std::vector<TransformerDecoderLayer::Cache> start(const Tensor& memory) const;
    Tensor step(const Tensor& x, std::vector<TransformerDecoderLayer::Cache>& caches, const Tensor& key_padding,
                std::vector<Tensor>* weights = nullptr) const;
    void parameters(const Visit& visit);    // encoder.layers.0.self_attn.in_proj_weight, ...
};

}    // namespace lookback
