#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "lookback/real.h"

namespace lookback::test {

// Numbers in (-1, 1) of many sizes, the same on every machine (a linear congruential generator: Knuth, TAOCP 3.3.4).
class Numbers {
  public:
    explicit Numbers(std::uint64_t seed) : state(seed * 2 + 1) {}
    std::uint32_t bits() {
        state = state * 6364136223846793005u + 1442695040888963407u;
        return std::uint32_t(state >> 32);
    }
    int below(int n) { return int(bits() % std::uint32_t(n)); }
    real next() { return real(bits() >> 8) / real(1 << 23) - 1; }
    std::vector<real> array(std::size_t n) {
        std::vector<real> x(n);
        for (real& element : x) element = next();
        return x;
    }

  private:
    std::uint64_t state;
};

// The same bits, where any NaN is like any other.
inline bool same(real a, real b) { return (a != a && b != b) || std::memcmp(&a, &b, sizeof a) == 0; }

inline bool same(const std::vector<real>& a, const std::vector<real>& b) {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i)
        if (!same(a[i], b[i])) return false;
    return true;
}

}    // namespace lookback::test
