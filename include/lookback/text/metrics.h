#pragma once

#include <span>
#include <vector>

#include "lookback/real.h"
#include "lookback/text/corpus.h"

namespace lookback {

// Sentences of token ids without specials, hypothesis i beside reference i. All scores are shares, from 0 to 1, and 0
// if there is nothing to count. std::invalid_argument if there are not as many of one as of the other.

// The share of sentences that are right from the first token to the last.
double exact_match(std::span<const std::vector<int>> hypotheses, std::span<const std::vector<int>> references);

// The share of positions with the right token, counted over all sentences. Of each pair the longer sentence gives the
// number of positions, so that a token too many is as wrong as one too few; one token left out shifts all after it.
double token_accuracy(std::span<const std::vector<int>> hypotheses, std::span<const std::vector<int>> references);

// Where a model looked as it wrote one sentence: a row for each target token, a column for each source token.
struct AttentionWeights {
    int rows = 0, columns = 0;
    std::vector<real> weights;    // (rows, columns), row-major

    real at(int row, int column) const { return weights[row * columns + column]; }
};

// Of the target tokens that have gold links, the share whose most attended source token (of equals the first) is one of
// those linked. Rows and columns beyond the links, such as those of </s>, may be there: a look at a column for </s> is
// a miss, its row does not count. std::invalid_argument if a link points outside its map: draw the map while the model
// reads the reference.
double alignment_accuracy(std::span<const AttentionWeights> maps, std::span<const Alignment> gold);

}    // namespace lookback
