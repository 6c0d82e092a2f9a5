#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "lookback/tensor/debugger.h"
#include "lookback/tensor/node.h"
#include "tensor/memory.h"
#include "tensor/weight_product.h"

// Derivatives by central differences, of one op or for one element: for somebody who stands in a debugger, perhaps in the middle of a
// backward pass. So everything is put back as it was, and no mark is left on a node.

namespace lookback {

namespace {

constexpr bool is_double = std::is_same_v<real, double>;
constexpr double step_size = is_double ? 1e-5 : 1e-2;    // of an element from -1 to 1; of others in proportion
constexpr double tolerance = is_double ? 1e-6 : 1e-2;    // of the relative error

// A buffer that is written to for a while.
class Borrowed {
  public:
    Borrowed(real*& buffer, std::size_t count) : place(buffer), was_there(buffer != nullptr) {
        if (was_there)
            saved.assign(buffer, buffer + count);
        else
            std::fill_n(buffer = acquire_buffer(count), count, real(0));
    }
    ~Borrowed() {
        std::ranges::copy(saved, place);
        if (!was_there) release_buffer(std::exchange(place, nullptr));
    }
    Borrowed(const Borrowed&) = delete;
    Borrowed& operator=(const Borrowed&) = delete;

  private:
    real*& place;
    bool was_there;
    std::vector<real> saved;
};

struct Slope {
    double numeric;
    bool changes;    // much within a step, as that of relu at 0, or is NaN on one side: there is nothing to compare with
};

// d value() / dx at x.
template <class Function>
Slope slope(real& x, const Function& value) {
    const Unpacked unpacked;    // x may be a weight
    const real before = x;
    const double step = step_size * std::max(1.0, std::abs(static_cast<double>(before)));
    const double here = value();
    const real above = x = static_cast<real>(before + step);
    const double high = value();
    const real below = x = static_cast<real>(before - step);
    const double low = value();
    x = before;
    const double rising = (high - here) / static_cast<double>(above - before);
    const double falling = (here - low) / static_cast<double>(before - below);
    return {(high - low) / static_cast<double>(above - below),
            !(std::abs(rising - falling) <= 0.1 * std::max(0.1, std::abs(rising) + std::abs(falling)))};
}

// Ops behind `output` and itself, as they were made. graph_of() would leave marks that a backward pass under way reads.
std::vector<Node*> ops_behind(Node* output) {
    std::set<Node*> seen{output};
    std::vector<Node*> found{output};
    for (std::size_t next = 0; next < found.size(); ++next)
        for (const Tensor& input : found[next]->inputs)
            if (seen.insert(input.node).second) found.push_back(input.node);
    std::erase_if(found, [](const Node* node) { return node->inputs.empty(); });
    std::ranges::stable_sort(found, {}, &Node::serial);
    return found;
}

double replay(const std::vector<Node*>& ops, const Node* output) {
    const Unpacked unpacked;    // a weight may have been changed by hand
    for (Node* op : ops) op->forward();
    return output->size > 0 ? static_cast<double>(output->data[0]) : 0;
}

// Below this a difference of slopes tells nothing: a slope is known to the rounding of all outputs that may move, over the step.
double smallest_told(const Node& node) {
    double squares = 0;
    for (std::size_t i = 0; i < node.size; ++i)
        squares += std::pow(static_cast<double>(node.data[i]) * static_cast<double>(node.grad[i]), 2);
    const double noise = 4 * static_cast<double>(std::numeric_limits<real>::epsilon()) * std::sqrt(squares) / step_size;
    return std::max(tolerance, noise / tolerance);
}

struct Comparison {
    std::size_t checked = 0, left_out = 0;
    double worst = -1;
    std::string where;
};

// The gradients of the inputs beside the slopes of value(), for up to 32 elements of each.
template <class Function>
Comparison compare(const std::set<Node*>& inputs, const Function& value, double smallest) {
    constexpr std::size_t most = 32;
    Comparison result;
    for (Node* input : inputs) {
        const std::size_t count = std::min(input->size, most);
        for (std::size_t k = 0; k < count; ++k) {
            const std::size_t i = k * input->size / count;
            const double analytic = static_cast<double>(input->grad[i]);
            const auto [numeric, changes] = slope(input->data[i], value);
            ++(changes ? result.left_out : result.checked);
            if (changes) continue;
            const double error = std::abs(analytic - numeric) / std::max(smallest, std::abs(analytic) + std::abs(numeric));
            if (error <= result.worst) continue;
            result.worst = std::isnan(error) ? std::numeric_limits<double>::infinity() : error;
            result.where = fmt::format("element {} of d{}: backward says {:.4g}, differences say {:.4g}", i, label(*input),
                                       analytic, numeric);
        }
    }
    return result;
}

std::string check_node(Node& node) {
    if (node.id == 0) return label(node) + ": a leaf has no backward";
    if (!node.requires_grad) return label(node) + ": nobody asked for its gradient";
    if (node.inputs.empty()) return label(node) + ": its inputs were released";
    std::set<Node*> inputs;
    for (const Tensor& input : node.inputs)
        if (input.node->requires_grad) inputs.insert(input.node);
    for (Node* input : inputs) {
        input->finish_grad();
        input->fill_grad();
    }
    const Borrowed values(node.data, node.size), arriving(node.grad, node.size);
    std::vector<std::unique_ptr<Borrowed>> gradients;
    for (Node* input : inputs) gradients.push_back(std::make_unique<Borrowed>(input->grad, input->size));

    Random random(20170612);    // one number made of all outputs, so that no mistake hides, as in check_gradient
    for (std::size_t i = 0; i < node.size; ++i) node.grad[i] = static_cast<real>(random.normal());
    for (Node* input : inputs) input->zero_grad();
    {
        const Unpacked unpacked;    // a weight may have been changed by hand
        node.forward();             // nor need it have run yet
    }
    if (std::any_of(node.data, node.data + node.size, [](real y) { return !std::isfinite(y); }))
        return label(node) + ": its value is not finite, so there are no differences";
    {
        const GatherGradRows at_once(false);
        node.backward();
    }
    const auto projected = [&] {
        node.forward();
        return std::inner_product(node.data, node.data + node.size, node.grad, 0.0, std::plus<>(),
                                  [](real y, real weight) { return static_cast<double>(y) * static_cast<double>(weight); });
    };

    const auto [checked, left_out, worst, where] = compare(inputs, projected, smallest_told(node));
    node.forward();    // what it remembers for backward
    const std::string others = left_out ? fmt::format(", {} left out where the slope changes within a step", left_out) : "";
    if (worst > tolerance) return fmt::format("{}: WRONG, {}{}", label(node), where, others);
    return fmt::format("{}: right, {} elements{}, largest relative error {:.0e}", label(node), checked, others,
                       std::max(worst, 0.0));
}

}    // namespace

}    // namespace lookback

using namespace lookback;

const char* lookback_check_node(Node* node) {
    thread_local std::string text;
    text = check_node(*node);
    return text.c_str();
}

double lookback_replay(Node* output) { return replay(ops_behind(output), output); }

double lookback_numeric_gradient(Node* output, Node* moved, std::size_t element) {
    std::vector<Node*> ops = ops_behind(output);
    std::erase(ops, moved);    // an op's output can be moved as well, and must not be computed again
    const double numeric = slope(moved->data[element], [&] { return replay(ops, output); }).numeric;
    replay(ops, output);
    return numeric;
}
