#pragma once

#include <array>
#include <vector>

#include "lookback/tensor/tensor.h"

namespace lookback {

struct FrozenResult {
    Tensor tensor;               // empty at first
    std::vector<bool> is_row;    // which rows are computed, where they come one by one
};

// Where to keep what is computed of these weights alone (and of this part of them) as long as the thread's outermost Frozen lives.
// Null where there is none, or if one of them was computed: it is made anew at each step.
using FrozenOf = std::array<const Tensor*, 3>;
FrozenResult* frozen_result(const FrozenOf& of, const std::array<int, 4>& part = {});

}    // namespace lookback
