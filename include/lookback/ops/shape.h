#pragma once

#include "lookback/tensor/tensor.h"

namespace lookback {

// The same elements in the same order under another shape; one size may be -1 and is worked out.
Tensor reshape(const Tensor& x, Shape shape, Where where = Where::current());

// Exchanges two dimensions; negative ones count from the last. transpose(x) exchanges the last two.
Tensor transpose(const Tensor& x, int dim0 = -2, int dim1 = -1, Where where = Where::current());

// The elements start .. stop-1 along one dimension.
Tensor slice(const Tensor& x, int dim, int start, int stop, Where where = Where::current());

// The elements at one index of a dimension, which goes away: (B, T, H) -> (B, H) with dim = 1. Negative counts from the last.
Tensor select(const Tensor& x, int dim, int index, Where where = Where::current());

// Tensors one after the other along a dimension that exists already: (B, E), (B, H) -> (B, E + H).
Tensor concat(const std::vector<Tensor>& parts, int dim, Where where = Where::current());

// Equal shapes one after the other along a new dimension: T times (B, H) -> (B, T, H) with dim = 1.
Tensor stack(const std::vector<Tensor>& parts, int dim, Where where = Where::current());

// Row b of the output is row b of `yes` where rows[b] is true, of `no` elsewhere. Shapes (B, ...). What an RNN does at
// padding: keep the state where the sentence is over.
Tensor select_rows(const std::vector<bool>& rows, const Tensor& yes, const Tensor& no, Where where = Where::current());

// Sum and mean of all elements (a scalar), or along one dimension, which goes away.
Tensor sum(const Tensor& x, Where where = Where::current());
Tensor sum(const Tensor& x, int dim, Where where = Where::current());
Tensor mean(const Tensor& x, Where where = Where::current());
Tensor mean(const Tensor& x, int dim, Where where = Where::current());

}    // namespace lookback
