#include <fmt/format.h>

#include <algorithm>
#include <atomic>

#include "kernels/kernels.h"
#include "lookback/tensor/node.h"
#include "lookback/tensor/tensor.h"
#include "tensor/watch.h"
#include "tensor/weight_product.h"

namespace lookback {

namespace {

std::uint64_t new_walk() {
    static std::atomic<std::uint64_t> walks = 0;
    return ++walks;
}

// All tensors that a gradient must reach, in the order in which they were made. Leaves that need none are not touched: other
// threads may be reading them.
std::vector<Tensor> collect(const Tensor& output) {
    const std::uint64_t walk = new_walk();
    std::vector<Tensor> found;
    const auto visit = [&](const Tensor& x) {
        if (!x.node->requires_grad || x.node->visit == walk) return;
        x.node->visit = walk;
        found.push_back(x);
    };
    static_cast<void>(output.size());    // an empty one is told here
    visit(output);
    for (std::size_t next = 0; next < found.size(); ++next)
        for (const Node* node = found[next].node; const Tensor& input : node->inputs) visit(input);
    std::ranges::stable_sort(found, {}, [](const Tensor& x) { return x.node->serial; });
    return found;
}

// "the first NaN is element (3, 1) of #7 log (4, 2), made at ...", or nothing if all elements are finite.
std::string describe_not_finite(const Node& node) {
    const std::size_t bad = kernels::first_not_finite(node.size, node.data);
    if (bad == node.size) return {};
    return fmt::format("the first {} is {} of {}, made at {}", kind_of(node.data[bad]), element_text(node.shape, bad),
                       label(node), to_string(node.where));
}

}    // namespace

std::vector<Node*> graph_of(const Tensor& output) {
    std::vector<Node*> nodes;
    for (const Tensor& x : collect(output)) nodes.push_back(x.node);
    return nodes;
}

void run_backward_of(Node& node) {
    node.backward();
    for (const Tensor& input : node.inputs) input.node->fill_grad();
    if (watched()) [[unlikely]]
        watch_backward(node);
}

void backward(const Tensor& loss, Graph graph, Where where) {
    if (loss.size() != 1)
        reject(fmt::format("backward: a loss is one number, not {}; take sum() or mean() first", to_string(loss.shape())), where);
    if (!loss.node->requires_grad)
        reject(
            "backward: nothing behind this loss requires a gradient; call requires_grad() on a leaf, and compute the loss "
            "outside of NoGrad",
            where);
    std::vector<Tensor> order = collect(loss);
    for (const Tensor& x : order)
        if (x.node->id != 0 && x.node->inputs.empty())
            reject(fmt::format("backward: the graph behind {} was released by an earlier backward; let that one keep it",
                               label(*x.node)),
                   where);

    // A gradient starts when the first use of its tensor is differentiated: at 0, but where a leaf has one already.
    const std::uint64_t walk = new_walk();
    const auto start_gradient = [walk](Node& node) {
        if (!node.requires_grad || node.visit == walk) return;
        node.visit = walk;
        if (node.id != 0 || !node.grad) node.start_grad();
        if (keeps_what_is_done) node.fill_grad();    // for whoever looks before an op has added
    };
    start_gradient(*loss.node);
    loss.node->fill_grad();
    loss.node->grad[0] += 1;
    BackwardRun run{.order = order.data(), .count = order.size(), .position = order.size()};
    const Announcement announcement(run);
    const GatherGradRows gather(!keeps_what_is_done && !watched());
    const auto release = [&](std::size_t position) {
        order[position].node->inputs.clear();
        order[position] = Tensor();
    };
    while (run.position > 0) {
        Node& node = *order[--run.position].node;
        for (const Tensor& input : node.inputs) start_gradient(*input.node);
        node.finish_grad();
        run.node = &node;
        run_backward_of(node);
        if (graph == Graph::release && !keeps_what_is_done) release(run.position);
    }
    lookback_backward_done(&run);
    if (graph == Graph::release && keeps_what_is_done)
        for (std::size_t position = order.size(); position-- > 0;) release(position);
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

}    // namespace lookback
