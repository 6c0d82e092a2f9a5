#pragma once

#include <algorithm>
#include <chrono>
#include <functional>

#include "kernels/simd.h"

// What the benchmarks of kernels and ops share: a clock, and what one core of this machine can do at most.
namespace lookback::bench {

inline double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// The best of many short runs, since other programs can only make a run slower.
inline double seconds_of(const std::function<void()>& call, double budget) {
    int calls = 1;
    double best = 1e9;
    for (const double start = now(); now() - start < budget;) {
        const double begin = now();
        for (int i = 0; i < calls; ++i) call();
        const double each = (now() - begin) / calls;
        best = std::min(best, each);
        if (each * calls < 1e-3) calls *= 2;
    }
    return best;
}

// Operations a second of twelve chains of fma on registers, and nothing else.
inline double peak_flops() {
    constexpr int chains = 12, turns = 4096;
    static volatile real sink;
    const double seconds = seconds_of(
        [] {
            kernels::Vector sum[chains];
            for (int i = 0; i < chains; ++i) sum[i] = kernels::Vector{} + real(i);
            const kernels::Vector a = kernels::Vector{} + real(0.5) + sink;
            for (int k = 0; k < turns; ++k)
#pragma GCC unroll 12
                for (int i = 0; i < chains; ++i) sum[i] = kernels::fma(a, sum[i], a);
            for (int i = 1; i < chains; ++i) sum[0] = sum[0] + sum[i];
            sink = sum[0][0] * 0;
        },
        1.0);
    return 2.0 * chains * turns * kernels::lanes / seconds;
}

}    // namespace lookback::bench
