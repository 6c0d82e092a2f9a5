#pragma once

#include <algorithm>
#include <numeric>

#include "lookback/draw/figure.h"
#include "lookback/text/batch.h"
#include "lookback/text/metrics.h"

namespace lookback {

// A translation: the tokens that the model said before </s>, and where it looked for each of them if it looks at all.
struct Translation {
    std::vector<int> tokens;
    AttentionWeights attention;    // (tokens, and </s> unless it was cut short; source tokens with </s>), or empty
};

// The same to be drawn: rows are the words of the translation, columns those of the source, </s> last in each.
AttentionMap map_of(const Translation& translation, const std::vector<std::string>& source, const Vocabulary& target);

// The most likely token of each row, the lowest id of equals. std::runtime_error for a row with a NaN.
std::vector<int> argmax_rows(const Tensor& logits);    // (B, V) -> B

// std::invalid_argument unless the source is (B, S), with B lengths from 1 to S.
void check_sentences(const Ids& source, const std::vector<int>& lengths);

// Translates by taking the most likely token at each step until </s>, at most `longest` tokens (and no more than a model with
// Model::longest can say): greedy search. The model keeps its state (and the Transformer its keys and values), so each step costs
// one token, and a state with keep(rows) drops the sentences that are over. Records no graph. Translation b belongs to row b of the
// source, of as many tokens as its length, and does not depend on the other rows.
template <class Model>
std::vector<Translation> greedy(const Model& model, const Ids& source, const std::vector<int>& lengths, int longest) {
    const Frozen frozen;
    check_sentences(source, lengths);
    const int B = source.shape[0], S = source.shape[1];
    if constexpr (requires { Model::longest; }) longest = std::min(longest, Model::longest);
    std::vector<Translation> translations(B);
    std::vector<int> tokens(B, Vocabulary::begin), sentences(B);    // of each row of the state
    std::iota(sentences.begin(), sentences.end(), 0);
    std::vector<bool> done(B);
    auto state = model.start(source, lengths);
    for (int t = 0; t < longest && std::ranges::find(done, false) != done.end(); ++t) {
        tokens = argmax_rows(model.step(tokens, state));
        std::vector<int> going;    // rows of sentences that are not over
        for (int row = 0; row < static_cast<int>(tokens.size()); ++row) {
            const int b = sentences[row];
            if (done[b]) continue;
            if constexpr (requires { state.weights; }) {
                AttentionWeights& map = translations[b].attention;
                const real* weights = state.weights.data() + row * S;
                map.columns = lengths[b];
                map.weights.insert(map.weights.end(), weights, weights + lengths[b]);
                ++map.rows;
            }
            done[b] = tokens[row] == Vocabulary::end;
            if (done[b]) continue;
            translations[b].tokens.push_back(tokens[row]);
            going.push_back(row);
        }
        if constexpr (requires { state.keep(going); })
            if (!going.empty() && 4 * going.size() <= 3 * tokens.size()) {    // else the copy would cost more than it spares
                state.keep(going);
                for (std::size_t i = 0; i < going.size(); ++i) {
                    tokens[i] = tokens[going[i]];
                    sentences[i] = sentences[going[i]];
                }
                tokens.resize(going.size());
            }
    }
    return translations;
}

}    // namespace lookback
