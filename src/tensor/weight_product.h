#pragma once

#include "lookback/tensor/tensor.h"

namespace lookback {

// y (M, N) = start + x (M, K) W^T for the block W (N, K) of a weight that begins at (row, column): gemm_nt to the bit, but with what is
// kept of the weight: its copy in PackedWeights or under Frozen.
void times_weight_transposed(int M, int N, int K, const real* x, const Tensor& weight, int row, int column, real* y,
                             const real* start);

// While one lives, this thread reads no copies: for who changes weights on the way.
class Unpacked {
  public:
    Unpacked();
    ~Unpacked();
    Unpacked(const Unpacked&) = delete;
    Unpacked& operator=(const Unpacked&) = delete;

  private:
    struct Packed* before;
};

}    // namespace lookback
