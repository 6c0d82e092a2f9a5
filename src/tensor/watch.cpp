#include "tensor/watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

#include "kernels/kernels.h"

namespace lookback {

namespace {

bool environment_says(const char* name, bool usual) {
    const char* value = std::getenv(name);
    return value ? std::string_view(value) == "1" : usual;
}

std::string short_label(const Node& node) {
    if (!node.name.empty()) return node.name;
    return node.id == 0 ? "leaf" : fmt::format("#{}", node.id);
}

std::string place(const Node& node) {
    return *node.scope ? fmt::format("{} in {}", to_string(node.where), node.scope) : to_string(node.where);
}

double norm(const real* x, std::size_t n) {
    double squares = 0;
    for (std::size_t i = 0; i < n; ++i) squares += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    return std::sqrt(squares);
}

// "logits (4, 2) in 266.4 .. 1174"
std::string range(const std::string& name, const Shape& shape, const real* x, std::size_t n) {
    if (n == 0) return fmt::format("{} {}", name, to_string(shape));
    const auto [low, high] = std::minmax_element(x, x + n);
    return fmt::format("{} {} in {:.4g} .. {:.4g}", name, to_string(shape), *low, *high);
}

std::string input_ranges(const Node& node) {
    std::string text;
    for (const Tensor& input : node.inputs)
        text += (text.empty() ? "" : ", ") + range(short_label(*input.node), input.shape(), input.data(), input.size());
    return text.empty() ? "no inputs are kept" : text;
}

// Element `index` of `values`, which belong to `tensor`, is the first bad one; `op` was at work.
[[noreturn]] void stop(const Node& op, const Node& tensor, const real* values, std::size_t index, const std::string& of_what,
                       const std::string& inputs) {
    const std::string what =
        fmt::format("{}: the first {} is {} {} {}; inputs: {} [{}]; LOOKBACK_CHECK=0 goes on", op.op, kind_of(values[index]),
                    element_text(tensor.shape, index), of_what, label(tensor), inputs, place(op));
    lookback_not_finite(&op, &tensor, values, index, what.c_str());
    throw std::runtime_error(what);
}

std::size_t first_nan(const real* x, std::size_t n) {
    return static_cast<std::size_t>(std::find_if(x, x + n, [](real value) { return std::isnan(value); }) - x);
}

}    // namespace

bool checking = environment_says("LOOKBACK_CHECK", LOOKBACK_DEBUGGER >= 2);
bool tracing = environment_says("LOOKBACK_TRACE", false);

const char* kind_of(real not_finite) { return std::isnan(not_finite) ? "NaN" : not_finite > 0 ? "inf" : "-inf"; }

std::string element_text(const Shape& shape, std::size_t element) {
    if (shape.empty()) return "the value";
    Shape index(shape.size());
    for (std::size_t i = shape.size(); i-- > 0; element /= static_cast<std::size_t>(shape[i]))
        index[i] = static_cast<int>(element % static_cast<std::size_t>(shape[i]));
    return "element " + to_string(index);
}

// fmt::print would throw where stderr is full or closed, and the training would end.
static void trace(const std::string& line) { std::fputs(line.c_str(), stderr); }

void watch_forward(const Node& node) {
    if (tracing) {
        std::string inputs;
        for (const Tensor& input : node.inputs)
            inputs += fmt::format(" |{}|={:.4g}", short_label(*input.node), norm(input.data(), input.size()));
        trace(fmt::format("forward  #{:<3} {:<17} |{}|={:.4g} {} <-{}  {}\n", node.id, node.op, short_label(node),
                          norm(node.data, node.size), to_string(node.shape), inputs, place(node)));
    }
    if (!checking) return;
    std::size_t bad = kernels::first_not_finite(node.size, node.data);
    if (bad == node.size) return;
    for (const Tensor& input : node.inputs)
        if (const std::size_t nan = first_nan(input.data(), input.size()); nan < input.size())
            stop(node, *input.node, input.data(), nan, "of its input", input_ranges(node));
    const bool inf_came_in = std::ranges::any_of(
        node.inputs, [](const Tensor& input) { return kernels::first_not_finite(input.size(), input.data()) < input.size(); });
    if (inf_came_in) bad = first_nan(node.data, node.size);
    if (bad < node.size) stop(node, node, node.data, bad, "of", input_ranges(node));
}

void watch_backward(const Node& node) {
    if (node.inputs.empty()) return;
    if (tracing) {
        std::string outputs;
        for (std::size_t i = 0; i < node.inputs.size(); ++i)
            if (const real* dx = node.grad_of(i))
                outputs += fmt::format(" |d{}|={:.4g}", short_label(*node.inputs[i].node), norm(dx, node.inputs[i].size()));
        trace(fmt::format("backward #{:<3} {:<17} |d{}|={:.4g} {} ->{}  {}\n", node.id, node.op, short_label(node),
                          norm(node.grad, node.size), to_string(node.shape), outputs, place(node)));
    }
    if (!checking) return;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
        const real* dx = node.grad_of(i);
        if (!dx) continue;
        const std::size_t bad = kernels::first_not_finite(node.inputs[i].size(), dx);
        if (bad == node.inputs[i].size()) continue;
        const std::string arriving = range("d" + short_label(node), node.shape, node.grad, node.size);
        stop(node, *node.inputs[i].node, dx, bad, "of the gradient of", arriving + ", " + input_ranges(node));
    }
}

}    // namespace lookback
