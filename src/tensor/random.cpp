#include "lookback/tensor/random.h"

#include <bit>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "kernels/kernels.h"

namespace lookback {

namespace {

std::uint64_t splitmix64(std::uint64_t& x) {
    x += 0x9e3779b97f4a7c15;
    std::uint64_t z = x;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

}    // namespace

Random::Random(std::uint64_t seed) {
    for (std::uint64_t& word : state) word = splitmix64(seed);
}

std::uint64_t Random::next() {
    const std::uint64_t result = std::rotl(state[1] * 5, 7) * 9;
    const std::uint64_t t = state[1] << 17;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= t;
    state[3] = std::rotl(state[3], 45);
    return result;
}

std::uint64_t Random::below(std::uint64_t bound) {
    if (bound == 0) throw std::invalid_argument("random: no number is below 0");
    // The first 2^64 mod bound values are rejected, so that each remainder is equally likely.
    const std::uint64_t rejected = -bound % bound;
    std::uint64_t bits = next();
    while (bits < rejected) bits = next();
    return bits % bound;
}

double Random::uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }

double Random::normal() {
    double u, v, s;
    do {
        u = 2 * uniform() - 1;
        v = 2 * uniform() - 1;
        s = u * u + v * v;
    } while (s >= 1 || s == 0);
    return u * std::sqrt(-2 * static_cast<double>(kernels::log(static_cast<real>(s))) / s);
}

std::vector<int> Random::permutation(int n) {
    std::vector<int> order(static_cast<std::size_t>(n));
    std::iota(order.begin(), order.end(), 0);
    shuffle(order);
    return order;
}

void Random::shuffle(std::span<int> order) {
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[below(i)]);
}

Random Random::split(std::uint64_t key) const {
    std::uint64_t mixed = key;
    return Random(state[0] ^ std::rotl(splitmix64(mixed), 17));
}

}    // namespace lookback
