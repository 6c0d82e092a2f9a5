#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "lookback/real.h"

namespace lookback {

// Random numbers that are the same on every machine: the generator and the distributions are our own, because those of the
// standard library differ between implementations. xoshiro256** (Blackman & Vigna 2018, arXiv:1805.01407), seeded by splitmix64.
class Random {
  public:
    explicit Random(std::uint64_t seed);

    std::uint64_t next();                        // 64 random bits
    std::uint64_t below(std::uint64_t bound);    // uniform in 0 .. bound-1, unbiased; bound > 0
    double uniform();                            // uniform in [0, 1), 53 bits
    double normal();                             // mean 0, variance 1 (Marsaglia's polar method)
    void shuffle(std::span<int> order);          // puts it in random order (Fisher-Yates)
    std::vector<int> permutation(int n);         // 0 .. n-1, shuffled

    // An independent generator for one purpose, such as one shard of one step: the same key gives the same stream.
    Random split(std::uint64_t key) const;

    std::array<std::uint64_t, 4> state;    // all there is: a checkpoint keeps it. Never all 0
};

}    // namespace lookback
