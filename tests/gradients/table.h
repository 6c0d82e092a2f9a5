#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "lookback/ops/elementwise.h"
#include "lookback/ops/shape.h"
#include "lookback/tensor/gradient_check.h"
#include "lookback/tensor/node.h"

// The gradient table: rows of a name, the leaves, and a function of them. check_rows() holds each row to four laws that every
// op must obey. It is compiled with real = double, where a right gradient agrees with central differences to some nine digits.
namespace lookback::gradients {

// Random numbers with 0.3 <= |x| <= 1.5, both signs: far from the kink of relu and the pole of 1 / x. `positive` is for log
// and sqrt.
struct Leaf {
    Shape shape;
    bool positive = false;
    Leaf(std::initializer_list<int> sizes) : shape(sizes) {}
    Leaf(Shape sizes, bool only_positive) : shape(std::move(sizes)), positive(only_positive) {}
};

inline Leaf positive(Shape shape) { return {std::move(shape), true}; }

using Leaves = const std::vector<Tensor>&;

struct Row {
    std::string name;
    std::vector<Leaf> leaves;
    std::function<Tensor(Leaves)> f;
};

inline std::vector<Tensor> make_leaves(const Row& row) {
    Random random(1706'03762);
    std::vector<Tensor> leaves;
    for (const Leaf& leaf : row.leaves) {
        Tensor x = Tensor::uniform(leaf.shape, 0.3, 1.5, random);
        for (std::size_t i = 0; i < x.size(); ++i)
            if (!leaf.positive && random.below(2)) x.data()[i] = -x.data()[i];
        leaves.push_back(x);
    }
    return leaves;
}

// What backward leaves in the leaves that ask for it; empty for the others. A second call adds to the first.
inline std::vector<std::vector<real>> gradients_of(const Row& row, Leaves leaves) {
    const Tensor y = row.f(leaves);
    Random random(1409'0473);
    backward(sum(y * Tensor::normal(y.shape(), 1, random)));
    std::vector<std::vector<real>> all;
    for (const Tensor& leaf : leaves)
        all.push_back(leaf.node->requires_grad ? std::vector<real>(leaf.grad(), leaf.grad() + leaf.size()) : std::vector<real>());
    return all;
}

inline void check_rows(const std::vector<Row>& rows) {
    for (const Row& row : rows) {
        INFO(row.name);
        std::vector<Tensor> leaves = make_leaves(row);
        for (Tensor& leaf : leaves) leaf.requires_grad();

        // 1. backward() is the derivative of forward().
        const GradientCheck check = check_gradient([&] { return row.f(leaves); }, leaves);
        CHECK_MESSAGE(check.worst < 1e-6, check.where);

        // 2. forward() computes from the inputs alone, and can run again.
        const Tensor y = row.f(leaves);
        const std::vector<real> before = y.values();
        for (Node* node : graph_of(y)) node->forward();
        CHECK(y.values() == before);

        // 3. backward() adds to what a gradient holds already.
        for (Tensor& leaf : leaves) leaf.zero_grad();
        const auto once = gradients_of(row, leaves), twice = gradients_of(row, leaves);
        for (std::size_t i = 0; i < leaves.size(); ++i)
            for (std::size_t j = 0; j < once[i].size(); ++j)
                CHECK(std::abs(twice[i][j] - 2 * once[i][j]) <= 1e-12 * std::max(real(1), std::abs(once[i][j])));

        // 4. A gradient is the same whether or not the other inputs ask for theirs.
        for (std::size_t i = 0; i < leaves.size(); ++i) {
            std::vector<Tensor> others = make_leaves(row);
            others[i].requires_grad();
            CHECK(gradients_of(row, others)[i] == once[i]);
        }
    }
}

}    // namespace lookback::gradients
