#pragma once

#include <optional>

#include "lookback/tensor/tensor.h"

namespace lookback {

// The shape of a broadcast: aligned at the last dimension, sizes equal or 1. Nothing where the two do not fit.
std::optional<Shape> broadcast_shape(const Shape& a, const Shape& b);

// Walks over the rows (last dimension) of `shape` in order, and says for each where in a tensor of the smaller shape
// `source` its elements come from: element j of row r is source[offset + j * step].
class BroadcastRows {
  public:
    BroadcastRows(const Shape& source, const Shape& shape);

    int rows = 1, columns = 1;
    int step = 1;    // 0 where the last dimension is repeated
    std::size_t offset = 0;
    void next();    // to the row after

  private:
    struct Dimension {
        int size, index;
        std::size_t stride;
    };
    std::vector<Dimension> outer;    // all dimensions but the last, innermost first
};

}    // namespace lookback
