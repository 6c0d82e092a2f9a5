#include "lookback/decode/greedy.h"

#include <fmt/format.h>

#include <stdexcept>

#include "kernels/kernels.h"

namespace lookback {

AttentionMap map_of(const Translation& translation, const std::vector<std::string>& source, const Vocabulary& target) {
    const AttentionWeights& attention = translation.attention;
    AttentionMap map{.title = join(source),
                     .rows = {},
                     .columns = source,
                     .weights = {attention.weights.begin(), attention.weights.end()},
                     .gold = {}};
    for (const int id : translation.tokens) map.rows.push_back(target.token(id));          // even <pad>, if that is what was said
    if (static_cast<int>(map.rows.size()) < attention.rows) map.rows.push_back("</s>");    // not where it was cut short
    map.columns.push_back("</s>");
    return map;
}

void check_sentences(const Ids& source, const std::vector<int>& lengths) {
    if (source.shape.size() != 2)
        throw std::invalid_argument("greedy: a source (B, S) is needed, not " + to_string(source.shape));
    if (static_cast<int>(lengths.size()) != source.shape[0])
        throw std::invalid_argument(fmt::format("greedy: {} lengths for {} sentences", lengths.size(), source.shape[0]));
    for (const int length : lengths)
        if (length < 1 || length > source.shape[1])
            throw std::invalid_argument(fmt::format("greedy: a length of {} is not in 1 .. {}", length, source.shape[1]));
}

std::vector<int> argmax_rows(const Tensor& logits) {
    if (logits.rank() != 2) throw std::invalid_argument("argmax: logits (B, V) are needed, not " + to_string(logits.shape()));
    const int B = logits.size(0), V = logits.size(1);
    std::vector<int> best(B);
    for (int b = 0; b < B; ++b) {
        const real* row = logits.data() + b * V;
        best[b] = static_cast<int>(std::find(row, row + V, kernels::max(V, row)) - row);
        if (best[b] == V) throw std::runtime_error(fmt::format("argmax: row {} has a NaN, or nothing to choose from", b));
    }
    return best;
}

}    // namespace lookback
