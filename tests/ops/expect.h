#pragma once

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "lookback/ops/elementwise.h"
#include "lookback/ops/shape.h"
#include "lookback/tensor/node.h"
#include "lookback/tensor/tensor.h"

// What the tests of the ops say again and again.
namespace lookback::expect {

using Values = std::vector<real>;
inline constexpr real inf = std::numeric_limits<real>::infinity();
inline constexpr real not_a_number = std::numeric_limits<real>::quiet_NaN();

// Largest |a - b| / max(1, |a|); infinite where only one is NaN or the sizes differ.
inline double distance(const Values& a, const Values& b) {
    if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
    double worst = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        if (a[i] == b[i]) continue;
        const double error = std::abs(double{a[i]} - double{b[i]}) / std::max(1.0, std::abs(double{a[i]}));
        worst = std::isnan(error) ? std::numeric_limits<double>::infinity() : std::max(worst, error);
    }
    return worst;
}

inline Values gradient(const Tensor& x) { return Values(x.grad(), x.grad() + x.size()); }

// A fixed random tensor, for leaves and as the weights of a loss.
inline Tensor random_tensor(Shape shape, std::uint64_t seed = 1) {
    Random random(seed);
    return Tensor::normal(std::move(shape), 1, random);
}

// Backward from sum(y * a fixed random projection), with the leaves' gradients at zero before.
inline void backward_through_projection(const Tensor& y, std::vector<Tensor> leaves) {
    for (Tensor& leaf : leaves) leaf.requires_grad().zero_grad();
    backward(sum(y * random_tensor(y.shape(), 2)));
}

// Two ways to compute one function agree in value and in the gradient of every leaf; a tolerance of 0 means to the bit.
inline void check_same(const std::function<Tensor()>& fused, const std::function<Tensor()>& composed, std::vector<Tensor> leaves,
                       double tolerance_of_value, double tolerance_of_gradient) {
    for (Tensor& leaf : leaves) leaf.requires_grad();
    const Tensor y = fused(), expected = composed();
    CHECK(y.shape() == expected.shape());
    CHECK(distance(y.values(), expected.values()) <= tolerance_of_value);
    backward_through_projection(y, leaves);
    std::vector<Values> gradients;
    for (const Tensor& leaf : leaves) gradients.push_back(gradient(leaf));
    backward_through_projection(expected, leaves);
    for (std::size_t i = 0; i < leaves.size(); ++i) {
        INFO("leaf " << i);
        CHECK(distance(gradients[i], gradient(leaves[i])) <= tolerance_of_gradient);
    }
}

// The call is refused with std::invalid_argument: `message`, then the file of the test and a line of this very check.
inline void check_rejected(const std::string& message, const std::function<void()>& call, Where here = Where::current()) {
    std::string what = "(no exception)";
    try {
        call();
    } catch (const std::invalid_argument& error) {
        what = error.what();
    }
    INFO(what);
    const std::size_t bracket = what.rfind(" [");
    CHECK(what.substr(0, bracket) == message);
    REQUIRE(bracket != std::string::npos);
    const std::string place = what.substr(bracket + 2, what.size() - bracket - 3), expected = to_string(here);
    const std::size_t colon = expected.rfind(':');
    CHECK(place.substr(0, colon + 1) == expected.substr(0, colon + 1));
    // Compilers differ in which line of a call over several lines is its line.
    CHECK(std::abs(std::stoi(place.substr(colon + 1)) - static_cast<int>(here.line)) <= 3);
}

}    // namespace lookback::expect
