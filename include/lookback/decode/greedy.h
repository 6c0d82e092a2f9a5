#pragma once

#include <algorithm>

#include "lookback/text/batch.h"
#include "lookback/text/metrics.h"

namespace lookback {

// A translation: tokens without specials, and where the model looked for each of them (</s> last) if it looks at all.
struct Translation {
    std::vector<int> tokens;
    AttentionWeights attention;    // (tokens + 1, source tokens with </s>), or empty
};

// The most likely token of each row, the lowest id of equals.
std::vector<int> argmax_rows(const Tensor& logits);    // (B, V) -> B

// Translates by taking the most likely token at each step until </s>, at most `longest` tokens: greedy search. The model keeps
// its state (and the Transformer its keys and values), so each step costs one token. Records no graph.
// Row b of the result belongs to row b of the source; a row's translation does not depend on the other rows.
template <class Model>
std::vector<Translation> greedy(const Model& model, const Ids& source, const std::vector<int>& lengths, int longest) {
    const NoGrad no_grad;
    const int B = source.shape[0], S = source.shape[1];
    std::vector<Translation> translations(B);
    std::vector<bool> done(B);
    std::vector<int> tokens(B, Vocabulary::begin);
    auto state = model.start(source, lengths);
    for (int t = 0; t < longest && std::ranges::find(done, false) != done.end(); ++t) {
        tokens = argmax_rows(model.step(tokens, state));
        for (int b = 0; b < B; ++b) {
            if (done[b]) continue;
            if constexpr (requires { state.weights; }) {
                AttentionWeights& map = translations[b].attention;
                const real* row = state.weights.data() + b * S;
                map.columns = lengths[b];
                map.weights.insert(map.weights.end(), row, row + lengths[b]);
                ++map.rows;
            }
            if (tokens[b] == Vocabulary::end)
                done[b] = true;
            else
                translations[b].tokens.push_back(tokens[b]);
        }
    }
    return translations;
}

}    // namespace lookback
