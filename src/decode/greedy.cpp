#include "lookback/decode/greedy.h"

namespace lookback {

std::vector<int> argmax_rows(const Tensor& logits) {
    const int B = logits.size(0), V = logits.size(1);
    std::vector<int> best(B);
    for (int b = 0; b < B; ++b) {
        const real* row = logits.data() + b * V;
        best[b] = static_cast<int>(std::max_element(row, row + V) - row);
    }
    return best;
}

}    // namespace lookback
