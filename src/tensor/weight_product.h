#pragma once

#include "lookback/tensor/tensor.h"
#include "memory.h"

namespace lookback {

// y (M, N) = start + x (M, K) W^T for the block W (N, K) of a weight that begins at (row, column): gemm_nt to the bit, but with what is
// kept of the weight: its copy in PackedWeights or under Frozen.
void times_weight_transposed(int M, int N, int K, const real* x, const Tensor& weight, real* y, const real* start, int row = 0,
                             int column = 0);

// dW (N, K) += dy^T x for rows dy (M, N) and x (M, K), where dW is the block at (row, column) of the gradient of a weight that is an
// input of `op`; nothing where nobody asked for it.
void add_to_weight_grad(const Node& op, std::size_t input, int M, int N, int K, const real* dy, const real* x, int row = 0,
                        int column = 0);

// Few rows, such as those of one step of a sentence, would cost more in reading and writing dW than in multiplying. So they are kept,
// and multiplied many at a time, in the same order and thus to the same bits; until then they are not part of the gradient.
struct GradRows {
    int row, column, N, K;    // the block
    int count = 0;
    Buffer dy, x;
};

// While one lives, this thread gathers rows. Who reads a gradient must finish it: Node::finish_grad().
class GatherGradRows {
  public:
    explicit GatherGradRows(bool gather);
    ~GatherGradRows();
    GatherGradRows(const GatherGradRows&) = delete;
    GatherGradRows& operator=(const GatherGradRows&) = delete;

  private:
    bool before;
};

// While one lives, this thread's products read no copies, of PackedWeights or Frozen: for who changes weights on the way.
class Unpacked {
  public:
    Unpacked();
    ~Unpacked();
    Unpacked(const Unpacked&) = delete;
    Unpacked& operator=(const Unpacked&) = delete;

  private:
    bool before;
};

}    // namespace lookback
