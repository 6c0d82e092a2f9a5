#pragma once

#include "lookback/nn/attention.h"
#include "lookback/nn/recurrent.h"
#include "lookback/nn/transformer.h"
#include "lookback/text/batch.h"

namespace lookback {

// Three models that translate, with one interface. All read a batch of sentences and learn to say, at each target position,
// the next token:
//
//     model(batch)                  logits (B, T, V) for the true target: training, "teacher forcing"
//     model.start(source, lengths)  reads the sources, before anything is said
//     model.step(tokens, state)     logits (B, V) for the token after `tokens` (B); nothing that was computed is computed again
//     state.keep(rows)              goes on with some of the sentences

// An encoder-decoder whose decoder sees the last state of the encoder and nothing else: one vector for a whole sentence.
// h = GRU(source), s_t = GRU([y_{t-1}; h], s_{t-1}), s_0 = h, logits_t = W s_t. Cho et al. 2014, arXiv:1406.1078, section 2.2
// (there the vector is a layer on h and s_0 one on that vector, and the output a maxout of s_t, y_{t-1} and it: appendix A.1).
struct FixedVector {
    Embedding source_embedding, target_embedding;    // (V, E) each
    Gru encoder;                                     // E -> H
    GruCell decoder;                                 // E + H -> H
    Linear out;                                      // H -> V

    struct State {
        Tensor h;                // (B, H)
        Tensor from_sentence;    // (B, 3H): what the sentence adds to the decoder's gates at every step
        void keep(const std::vector<int>& rows);
    };

    FixedVector() = default;
    FixedVector(int source_vocabulary, int target_vocabulary, Random& random, int embedding = 64, int hidden = 128);
    Tensor operator()(const Batch& batch) const;
    State start(const Ids& source, const std::vector<int>& lengths) const;
    Tensor step(const std::vector<int>& tokens, State& state) const;
    void parameters(const Visit& visit);
};

// A decoder that looks back: at each step it weighs all places of the source by additive attention. Besides, its encoder reads
// both ways, and its output layer sees the look and the word before. m = biGRU(source), s_0 = the last state of each way,
// c_t = attention(s_{t-1}, m), s_t = GRU([y_{t-1}; c_t], s_{t-1}), logits_t = W [s_t; c_t; y_{t-1}].
// Bahdanau et al. 2015, arXiv:1409.0473, section 3 (there s_0 is a layer on the state of the way back, and the output a maxout).
struct AttentionTranslator {
    Embedding source_embedding, target_embedding;    // (V, E) each
    Gru encoder;                                     // E -> H/2 each way
    AdditiveAttention attention;                     // H, H -> A
    GruCell decoder;                                 // E + H -> H
    Linear out;                                      // H + H + E -> V

    struct State {
        Tensor h;                                // (B, H)
        Tensor memory, prepared, key_padding;    // (B, S, H), (B, S, A), (B, S)
        Tensor weights;                          // (B, S): where the last step looked
        void keep(const std::vector<int>& rows);
    };

    AttentionTranslator() = default;
    // std::invalid_argument for an odd H: half of it reads each way.
    AttentionTranslator(int source_vocabulary, int target_vocabulary, Random& random, int embedding = 64, int hidden = 128,
                        int attention_size = 64, Where where = Where::current());
    // weights, if given, receives (B, T, S): where each target token looked.
    Tensor operator()(const Batch& batch, Tensor* weights = nullptr) const;
    Tensor look(const Batch& batch) const;    // these weights alone
    State start(const Ids& source, const std::vector<int>& lengths) const;
    Tensor step(const std::vector<int>& tokens, State& state) const;
    void parameters(const Visit& visit);
};

// The Transformer between two embeddings with sinusoidal positions and one output layer. Vaswani et al. 2017, arXiv:1706.03762.
struct TransformerTranslator {
    Embedding source_embedding, target_embedding;    // (V, C) each, multiplied by sqrt(C) (section 3.4)
    Transformer transformer;
    Linear out;          // C -> V
    Tensor positions;    // (longest, C), not learned
    TransformerOptions options;
    static constexpr int longest = 1024;    // tokens of a sentence; std::invalid_argument for more

    struct State {
        Tensor key_padding;                                    // (B, S)
        std::vector<TransformerDecoderLayer::Cache> caches;    // one a layer
        int length = 0;                                        // tokens said so far
        Tensor weights;                                        // (B, S): the last layer's look at the source, mean over its heads
        void keep(const std::vector<int>& rows);
    };

    TransformerTranslator() = default;
    // std::invalid_argument where there is no decoder layer.
    TransformerTranslator(int source_vocabulary, int target_vocabulary, Random& random, const TransformerOptions& options = {},
                          Where where = Where::current());
    // weights, if given, receives one (B, heads, T, S) a layer: where each target token looked in the source.
    Tensor operator()(const Batch& batch, Mode mode = evaluation, std::vector<Tensor>* weights = nullptr) const;
    Tensor look(const Batch& batch) const;    // (B, T, S): those of the last layer, mean over its heads
    State start(const Ids& source, const std::vector<int>& lengths) const;
    Tensor step(const std::vector<int>& tokens, State& state) const;
    void parameters(const Visit& visit);

  private:
    Tensor embed(const Embedding& embedding, const Ids& ids, int start) const;
};

}    // namespace lookback
