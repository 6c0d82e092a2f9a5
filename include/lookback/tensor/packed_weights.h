#pragma once

#include <memory>
#include <vector>

#include "lookback/tensor/tensor.h"

namespace lookback {

// While one lives, this thread's products x W^T with these weights read copies of them, which the first product makes in the order in
// which it reads: for a weight that is used at each step of a sentence. Same bits. None of the weights may change.
class PackedWeights {
  public:
    [[nodiscard]] explicit PackedWeights(const std::vector<Tensor>& weights);
    ~PackedWeights();
    PackedWeights(const PackedWeights&) = delete;
    PackedWeights& operator=(const PackedWeights&) = delete;

  private:
    std::unique_ptr<struct Packed> packed;
};

}    // namespace lookback
