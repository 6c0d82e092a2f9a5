#pragma once

#include "lookback/tensor/tensor.h"

namespace lookback {

// The transpose of a weight (N, K), row-major, kept as long as the thread's outermost Frozen lives; null where there is none, or if
// the tensor was computed: it is made anew at each step.
const real* frozen_transpose(const Tensor& weight);

}    // namespace lookback
