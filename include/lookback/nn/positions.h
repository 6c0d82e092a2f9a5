#pragma once

#include "lookback/nn/module.h"

namespace lookback {

// p_{t,2i} = sin(t / 10000^{2i/C}), p_{t,2i+1} = cos(t / 10000^{2i/C}): (length, C), positions from `start` on. An odd C ends
// with a sine. Vaswani et al. 2017, arXiv:1706.03762, section 3.5.
Tensor sinusoidal_positions(int length, int size, int start = 0);

// A learned vector for each position: (length, C); std::invalid_argument beyond the last. The alternative of the same section;
// starts normal with deviation 0.02, as in GPT (Radford et al. 2018, section 4.1).
struct LearnedPositions {
    Tensor weight;    // (longest, C)

    LearnedPositions() = default;
    LearnedPositions(int longest, int size, Random& random);
    Tensor operator()(int length, int start = 0, Where where = Where::current()) const;
    void parameters(const Visit& visit);
};

}    // namespace lookback
