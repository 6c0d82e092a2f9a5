#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>

#include "lookback/tensor/node.h"
#include "lookback/tensor/tensor.h"

namespace lookback {

namespace {

// All nodes that a gradient must reach. Leaves that need none are not touched: other threads may be reading them.
std::vector<Node*> collect(const Tensor& output) {
    static std::atomic<std::uint64_t> walks = 0;
    const std::uint64_t walk = ++walks;
    std::vector<Node*> found;
    const auto visit = [&](Node* node) {
        if (!node->requires_grad || node->visit == walk) return;
        node->visit = walk;
        found.push_back(node);
    };
    visit(output.node);
    for (std::size_t next = 0; next < found.size(); ++next)
        for (const Tensor& input : found[next]->inputs) visit(input.node);
    return found;
}

// "the first NaN is element 3 of #7 log (4), made at ...", or nothing if all elements are finite.
std::string describe_not_finite(const Node& node) {
    const real* found = std::find_if_not(node.data, node.data + node.size, [](real x) { return std::isfinite(x); });
    if (found == node.data + node.size) return {};
    return fmt::format("the first {} is element {} of {}, made at {}", std::isnan(*found) ? "NaN" : "inf", found - node.data,
                       label(node), to_string(node.where));
}

}  // namespace

std::vector<Node*> graph_of(const Tensor& output) {
    std::vector<Node*> nodes = collect(output);
    std::ranges::stable_sort(nodes, {}, &Node::serial);
    return nodes;
}

void run_backward_of(Node& node) { node.backward(); }

void backward(const Tensor& loss, Where where) {
    if (loss.size() != 1)
        reject(fmt::format("backward: a loss is one number, not {}; take sum() or mean() first", to_string(loss.shape())),
               where);
    if (!loss.node->requires_grad)
        reject("backward: nothing behind this loss requires a gradient; call requires_grad() on a leaf", where);
    const std::vector<Node*> order = graph_of(loss);
    for (Node* node : order)
        if (!node->inputs.empty() || !node->grad) node->zero_grad();
    loss.node->grad[0] += 1;
    for (auto position = order.rbegin(); position != order.rend(); ++position) run_backward_of(**position);
}

std::string explain_not_finite(const Tensor& output) {
    for (Node* node : graph_of(output)) {
        for (const Tensor& input : node->inputs)    // leaves that are not trained, such as pictures or masks
            if (!input.node->requires_grad)
                if (std::string found = describe_not_finite(*input.node); !found.empty()) return found;
        if (std::string found = describe_not_finite(*node); !found.empty()) return found;
    }
    return describe_not_finite(*output.node);
}

}  // namespace lookback
