#pragma once

#include <array>

#include "lookback/tensor/tensor.h"

namespace lookback {

// Where to keep what is computed of these weights alone (and of this part of them) as long as the thread's outermost Frozen lives: an
// empty tensor at first. Null where there is none, or if one of them was computed: it is made anew at each step.
using FrozenOf = std::array<const Tensor*, 3>;
Tensor* frozen_result(const FrozenOf& of, const std::array<int, 4>& part = {});

}    // namespace lookback
