#include "lookback/tensor/random.h"

#include <doctest/doctest.h>
#include <stdexcept>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <vector>

using namespace lookback;

TEST_CASE("the generator is xoshiro256** seeded by splitmix64") {
    // Computed by an independent program in Python's integers; 0x99ec... is the published first number for seed 0.
    Random zero(0), one(1), many(1234567);
    for (const std::uint64_t expected : std::vector<std::uint64_t>{0x99ec5f36cb75f2b4, 0xbf6e1f784956452a, 0x1a5f849d4933e6e0,
                                                                   0x6aa594f1262d2d2c, 0xbba5ad4a1f842e59})
        CHECK(zero.next() == expected);
    for (const std::uint64_t expected : std::vector<std::uint64_t>{0xb3f2af6d0fc710c5, 0x853b559647364cea, 0x92f89756082a4514,
                                                                   0x642e1c7bc266a3a7, 0xb27a48e29a233673})
        CHECK(one.next() == expected);
    for (const std::uint64_t expected : std::vector<std::uint64_t>{0x30a3a1c363600467, 0x19405f0f579929ca, 0x115beaac046ddbd9,
                                                                   0xeb17caf48f27d7f6, 0xa0c94fe1cce9d136})
        CHECK(many.next() == expected);
}

TEST_CASE("below() stays in range and favours nobody") {
    Random random(1);
    std::array<int, 7> counts{};
    for (int i = 0; i < 70'000; ++i) ++counts.at(random.below(7));
    for (const int count : counts) CHECK(std::abs(count - 10'000) < 4 * 93);    // deviation: sqrt(70000 6/49) = 93
    for (int i = 0; i < 100; ++i) CHECK(random.below(1) == 0);
}

TEST_CASE("no number is below 0") {
    Random random(1);
    CHECK_THROWS_WITH_AS(random.below(0), "random: no number is below 0", std::invalid_argument);
}

TEST_CASE("below() rejects the excess: with a bound of 3/4 of the range, halves come as often as they should") {
    // bits % bound without rejection would give the lower third twice as often: 1/2 instead of 1/3.
    const std::uint64_t bound = std::uint64_t{3} << 62;
    Random random(1);
    int low = 0;
    for (int i = 0; i < 30'000; ++i) {
        const std::uint64_t drawn = random.below(bound);
        CHECK_FALSE(drawn >= bound);
        low += drawn < bound / 3;
    }
    CHECK(std::abs(low - 10'000) < 4 * 82);
}

TEST_CASE("uniform() fills [0, 1) evenly") {
    Random random(2);
    double sum = 0, squares = 0, low = 1, high = 0;
    constexpr int n = 100'000;
    for (int i = 0; i < n; ++i) {
        const double x = random.uniform();
        sum += x, squares += x * x, low = std::min(low, x), high = std::max(high, x);
    }
    CHECK(low >= 0);
    CHECK(low < 1e-4);
    CHECK(high < 1);
    CHECK(high > 1 - 1e-4);
    CHECK(std::abs(sum / n - 0.5) < 4 * std::sqrt(1.0 / 12 / n));
    CHECK(std::abs(squares / n - 1.0 / 3) < 4 * std::sqrt(4.0 / 45 / n));
}

TEST_CASE("normal() has mean 0, variance 1, no skew and the right tails") {
    Random random(3);
    constexpr int n = 200'000;
    double sum = 0, squares = 0, cubes = 0, fourths = 0;
    int beyond_two = 0;
    for (int i = 0; i < n; ++i) {
        const double x = random.normal();
        sum += x, squares += x * x, cubes += x * x * x, fourths += x * x * x * x;
        beyond_two += std::abs(x) > 2;
    }
    CHECK(std::abs(sum / n) < 4 * std::sqrt(1.0 / n));
    CHECK(std::abs(squares / n - 1) < 4 * std::sqrt(2.0 / n));
    CHECK(std::abs(cubes / n) < 4 * std::sqrt(15.0 / n));
    CHECK(std::abs(fourths / n - 3) < 4 * std::sqrt(96.0 / n));
    CHECK(std::abs(beyond_two - 0.0455003 * n) < 4 * std::sqrt(0.0455 * 0.9545 * n));
}

TEST_CASE("permutation() is one, and every order is as likely") {
    Random random(4);
    std::vector<int> order = random.permutation(1000);
    std::vector<int> sorted = order;
    std::ranges::sort(sorted);
    for (int i = 0; i < 1000; ++i) CHECK(sorted[i] == i);
    CHECK(order != sorted);
    CHECK(random.permutation(0).empty());
    CHECK(random.permutation(1) == std::vector<int>{0});
    std::array<int, 27> counts{};
    for (int i = 0; i < 12'000; ++i) {
        const std::vector<int> p = random.permutation(3);
        ++counts.at(p[0] * 9 + p[1] * 3 + p[2]);
    }
    CHECK(std::ranges::count(counts, 0) == 21);
    for (const int count : counts)
        if (count) CHECK(std::abs(count - 2000) < 4 * 41);    // deviation: sqrt(12000 5/36) = 41
}

TEST_CASE("the same seed and key give the same stream, others give others") {
    std::set<std::uint64_t> firsts;
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
        const Random random(seed);
        firsts.insert(Random(seed).next());
        for (std::uint64_t key = 0; key < 100; ++key) {
            CHECK_FALSE(random.split(key).next() != random.split(key).next());
            firsts.insert(random.split(key).next());
        }
    }
    CHECK(firsts.size() == 100 * 101);
}

TEST_CASE("split() leaves its generator as it was, and depends on how far that one has come") {
    Random random(1), untouched(1);
    const std::uint64_t before = random.split(5).next();
    CHECK(random.next() == untouched.next());
    CHECK(random.split(5).next() != before);
}

TEST_CASE("split streams do not walk together") {
    Random a = Random(1).split(0), b = Random(1).split(1);
    double product = 0;
    constexpr int n = 10'000;
    for (int i = 0; i < n; ++i) product += (a.uniform() - 0.5) * (b.uniform() - 0.5);
    CHECK(std::abs(product / n) < 4.0 / 12 / std::sqrt(n));
}
