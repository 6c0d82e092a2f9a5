#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <vector>

#include "kernels/simd.h"

// What the benchmarks of kernels and ops share: a clock, and what one core of this machine can do at most.
namespace lookback::bench {

inline double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Seconds a call takes, the median of each, in turn: a clock that changes and what others compute meet all of them alike.
inline std::vector<double> seconds_of(const std::vector<std::function<void()>>& calls, double budget) {
    constexpr double turn = 2e-3;
    std::vector<int> repeats(calls.size(), 1);
    std::vector<std::vector<double>> taken(calls.size());
    const auto time = [&](std::size_t c) {
        const double begin = now();
        for (int i = 0; i < repeats[c]; ++i) calls[c]();
        return now() - begin;
    };
    for (std::size_t c = 0; c < calls.size(); ++c)
        while (time(c) < turn) repeats[c] *= 2;
    const double start = now();
    do
        for (std::size_t c = 0; c < calls.size(); ++c) taken[c].push_back(time(c) / repeats[c]);
    while (now() - start < budget);
    std::vector<double> medians;
    for (std::vector<double>& seconds : taken) {
        const auto middle = seconds.begin() + seconds.size() / 2;
        std::nth_element(seconds.begin(), middle, seconds.end());
        medians.push_back(*middle);
    }
    return medians;
}

// Twelve chains of fma on registers, and nothing else: what one core can do at most.
constexpr int peak_chains = 12, peak_turns = 1 << 16;
constexpr double peak_operations = 2.0 * peak_chains * peak_turns * kernels::lanes;

inline void compute_at_peak() {
    static volatile real sink;
    kernels::Vector sum[peak_chains];
    for (int i = 0; i < peak_chains; ++i) sum[i] = kernels::Vector{} + real(i);
    const kernels::Vector a = kernels::Vector{} + real(0.5) + sink;
    for (int k = 0; k < peak_turns; ++k)
#pragma GCC unroll 12
        for (int i = 0; i < peak_chains; ++i) sum[i] = kernels::fma(a, sum[i], a);
    for (int i = 1; i < peak_chains; ++i) sum[0] = sum[0] + sum[i];
    sink = sum[0][0] * 0;
}

}    // namespace lookback::bench
