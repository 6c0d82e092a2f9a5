#include "lookback/tensor/debugger.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <thread>

#include "lookback/ops/elementwise.h"
#include "lookback/ops/matmul.h"
#include "lookback/ops/shape.h"
#include "lookback/ops/softmax.h"
#include "lookback/tensor/gradient_check.h"
#include "lookback/tensor/node.h"
#include "lookback/tensor/scope.h"
#include "program/child.h"

namespace lookback::kernels {
bool use_reference();    // kernels/kernels.h
}

using namespace lookback;
using Values = std::vector<real>;

namespace {

constexpr real infinity = std::numeric_limits<real>::infinity();

// Sets a switch for one test.
struct With {
    bool& flag;
    const bool before;
    With(bool& which, bool value) : flag(which), before(which) { flag = value; }
    ~With() { flag = before; }
};

template <class Function>
std::string message_of(Function function) {
    const With check(checking, true);
    try {
        function();
    } catch (const std::runtime_error& error) {
        return error.what();
    }
    return "";
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

template <class Function>
std::string stderr_of(Function function) {
    std::fflush(stderr);
    std::FILE* file = std::tmpfile();
    const int before = dup(2);
    dup2(fileno(file), 2);
    function();
    std::fflush(stderr);
    dup2(before, 2);
    close(before);
    std::rewind(file);
    std::string text(10'000, '\0');
    text.resize(std::fread(text.data(), 1, text.size(), file));
    std::fclose(file);
    return text;
}

namespace op {

// y = x^2                  dx = 2 x dy, or without the 2, as somebody might write it
struct Square final : Node {
    real factor;
    const Node* seen_at_work = nullptr;

    void forward() override {
        for (std::size_t i = 0; i < size; ++i) data[i] = inputs[0].data()[i] * inputs[0].data()[i];
    }
    void backward() override {
        seen_at_work = newest_backward ? newest_backward->node : nullptr;
        for (std::size_t i = 0; i < size; ++i) grad_of(0)[i] += factor * inputs[0].data()[i] * grad[i];
    }
};

}    // namespace op

Tensor square(const Tensor& x, real factor = 2, Where where = Where::current()) {
    auto* node = new op::Square;
    node->factor = factor;
    return record(node, "square", x.shape(), {x}, where);
}

}    // namespace

TEST_CASE("checked mode stops at the op that makes the first NaN, and says which element, of what inputs, and where") {
    Tensor x = Tensor({2, 2}, {1, 2, 3, -4}).requires_grad().named("logits");
    restart_node_ids();
    const std::string message = message_of([&] {
        const Scope scope("head");
        const Tensor y = sqrt(x);
        exp(y);    // not reached
    });
    CHECK(contains(message,
                   "sqrt: the first NaN is element (1, 1) of #1 sqrt (2, 2); inputs: logits (2, 2) in -4 .. 3 [tests/tensor/"
                   "debugger.cpp:"));
    CHECK(contains(message, " in head]"));
    CHECK(message_of([&] { log(Tensor({2}, {1, 0})); }) != "");
    CHECK(message_of([&] { exp(Tensor({2}, {1, 2})); }) == "");
}

TEST_CASE("checked mode lets an inf in, as of a mask, but no NaN, and says where the NaN came in") {
    const Tensor mask = Tensor({1, 2}, {0, -infinity}).named("mask"), x = Tensor({1, 2}, {1, 2}).requires_grad();
    CHECK(message_of([&] { backward(sum(softmax(x + mask))); }) == "");
    CHECK(contains(message_of([&] { x + mask - mask; }), "subtract: the first NaN is element (0, 1) of #"));
    const Tensor gap = Tensor({1, 2}, {0, std::numeric_limits<real>::quiet_NaN()}).named("gap");
    CHECK(contains(message_of([&] { x + gap; }), "add: the first NaN is element (0, 1) of its input gap (1, 2); inputs: "));
    const Unchecked unchecked;
    CHECK_NOTHROW(x + gap);
}

TEST_CASE("checked mode stops at the backward pass that makes the first inf") {
    Tensor x = Tensor({3}, {4, 0, 1}).requires_grad().named("x");
    const std::string message = message_of([&] { backward(sum(sqrt(x))); });
    CHECK(contains(message, "sqrt: the first inf is element (1) of the gradient of x (3); inputs: d#"));
    CHECK(contains(message, "(3) in 1 .. 1, x (3) in 0 .. 4 ["));
    CHECK(newest_backward == nullptr);
    const Unchecked unchecked;
    CHECK_NOTHROW(backward(sum(sqrt(x))));
}

TEST_CASE("a trace has one line for each op, forward and backward, with the norms of what goes in and out") {
    Tensor x = Tensor({2}, {3, 4}).requires_grad().named("x");
    const With trace(tracing, true);
    restart_node_ids();
    const std::string text = stderr_of([&] { backward(sum(x * x)); });
    CHECK(text.starts_with("forward  #1   multiply          |#1|=18.36 (2) <- |x|=5 |x|=5  tests/tensor/debugger.cpp:"));
    CHECK(contains(text, "backward #2   sum               |d#2|=1 () -> |d#1|=1.414  "));
    CHECK(contains(text, "backward #1   multiply          |d#1|=1.414 (2) -> |dx|=10 |dx|=10  "));
    CHECK(std::count(text.begin(), text.end(), '\n') == 4);
}

TEST_CASE("scopes nest, and belong to a thread") {
    Tensor x = Tensor({1}, {1}).requires_grad();
    CHECK(Scope::current() == std::string());
    {
        const Scope encoder("encoder");
        const Scope layer("layers", 2);
        CHECK((Scope("self_attn"), exp(x)).node->scope == std::string("encoder.layers.2.self_attn"));
        CHECK(exp(x).node->scope == std::string("encoder.layers.2"));
        std::thread([&] { CHECK(exp(x).node->scope == std::string()); }).join();
    }
    CHECK(exp(x).node->scope == std::string());
}

TEST_CASE("a backward pass under way can be seen, with the node at work") {
    Tensor x = Tensor({2}, {3, 4}).requires_grad();
    const Tensor y = square(x), loss = sum(y);
    backward(loss, Graph::release);
    CHECK(static_cast<const op::Square*>(y.node)->seen_at_work == y.node);
    CHECK(newest_backward == nullptr);
}

TEST_CASE("all tensors that are alive are in the chain of the thread that made them, also when another one frees them") {
    const std::size_t before = live_nodes();
    {
        const Tensor x({2}), y = x + x;
        CHECK(live_nodes() == before + 2);
        CHECK(node_chains[y.node->chain].newest == y.node);
        Tensor z;
        std::thread([&] { z = exp(x); }).join();
        CHECK(z.node->chain != y.node->chain);
        CHECK(node_chains[z.node->chain].newest == z.node);
        CHECK(node_chains[y.node->chain].newest == y.node);
        CHECK(live_nodes() == before + 3);
        z = {};
        CHECK(live_nodes() == before + 2);
    }
    CHECK(live_nodes() == before);
}

TEST_CASE("two threads may free neighbours in a chain at once") {
    const std::size_t before = live_nodes();
    const Tensor x({2});
    std::vector<Tensor> nodes;
    for (int i = 0; i < 200'000; ++i) nodes.push_back(exp(x));
    std::atomic<int> ready = 0;
    const auto free_every_second = [&](std::size_t first) {
        for (++ready; ready < 2;) {
        }    // both begin at once
        for (std::size_t i = first; i < nodes.size(); i += 2) nodes[i] = {};
    };
    std::thread even(free_every_second, 0);
    free_every_second(1);
    even.join();
    CHECK(live_nodes() == before + 1);
}

TEST_CASE("a node can be asked whether its backward is right, and is as before afterwards") {
    Tensor x = Tensor({2, 3}, {1, 2, 3, -4, 5, 6}).requires_grad().named("x");
    const Tensor right = square(x), wrong = square(x, 1), loss = sum(right * wrong);
    CHECK(lookback_check_node(x.node) == std::string("x (2, 3): a leaf has no backward"));
    CHECK(contains(lookback_check_node(right.node), "right, 6 elements"));    // before there is any gradient
    CHECK(x.grad() == nullptr);
    backward(loss);
    const Values y = right.values(), dx(x.grad(), x.grad() + 6), dy(right.grad(), right.grad() + 6);
    CHECK(contains(lookback_check_node(right.node), "right, 6 elements"));
    CHECK(contains(lookback_check_node(wrong.node), "WRONG, element "));
    CHECK(contains(lookback_check_node(wrong.node), " of dx (2, 3): backward says "));
    CHECK(right.values() == y);
    CHECK(Values(x.grad(), x.grad() + 6) == dx);
    CHECK(Values(right.grad(), right.grad() + 6) == dy);
}

TEST_CASE("a node is not called wrong for what differences cannot know") {
    const Unchecked unchecked;
    Tensor x = Tensor({2, 2}, {1, 2, 3, 4}).requires_grad();
    const Tensor y = tanh(x);
    const Values values = y.values();
    std::fill_n(y.data(), 4, real(-7));    // as if its forward had not run yet
    CHECK(contains(lookback_check_node(y.node), "right, 4 elements"));
    CHECK(y.values() == Values(4, -7));
    std::ranges::copy(values, y.data());
    CHECK(contains(lookback_check_node((x * 1e38 * 1e38).node), ": its value is not finite, so there are no differences"));
    CHECK(contains(lookback_check_node((Tensor({2}) + 1).node), ": nobody asked for its gradient"));

    const Tensor rounded = x + 3e4;    // to multiples of 0.002, and a step is 0.01
    CHECK(contains(lookback_check_node(rounded.node), ": right, "));
}

TEST_CASE("every op passes the check of a single node; a kink is left out") {
    Random random(5);
    const auto leaf = [&](Shape shape) { return Tensor::normal(std::move(shape), 1, random).requires_grad(); };
    const Tensor x = leaf({2, 4, 3}), w = leaf({5, 3}), row = leaf({3});
    for (const Tensor& y : {x + row, x * x, softmax(x), tanh(x), linear(x, w), layer_norm(x, row, row), transpose(x), sum(x, 1)})
        for (const Node* node : graph_of(y))
            if (node->id != 0) CHECK(contains(lookback_check_node(const_cast<Node*>(node)), ": right, "));
    const Tensor at_zero = relu(Tensor({3}, {1, 0, -1}).requires_grad());
    CHECK(contains(lookback_check_node(at_zero.node), "right, 2 elements, 1 left out where the slope changes within a step"));
    const Unchecked unchecked;
    const Tensor at_edge = log(Tensor({3}, {real(1e-6), 1, 2}).requires_grad());    // a step below it there is no log
    CHECK(contains(lookback_check_node(at_edge.node), "right, 2 elements, 1 left out"));
}

TEST_CASE("a graph can be run again, and one element's slope be measured, in the middle of a backward pass") {
    Tensor x = Tensor({2}, {3, 4}).requires_grad();
    const Tensor y = square(x), loss = sum(y * y);    // x^4: 4 x^3
    CHECK(std::abs(lookback_numeric_gradient(loss.node, x.node, 0) / 108 - 1) < 1e-3);
    CHECK(std::abs(lookback_numeric_gradient(loss.node, y.node, 1) / 32 - 1) < 1e-3);
    CHECK(loss.item() == 81 + 256);
    x.data()[1] = 1;
    CHECK(lookback_replay(loss.node) == 81 + 1);
    backward(loss);
    CHECK(std::abs(x.grad()[0] / 108 - 1) < 1e-6);
}

TEST_CASE("who called the op is known in a debug build") {
    Tensor x = Tensor({1}, {1}).requires_grad();
    const Tensor y = exp(x);
    if (!y.node->callers) return;
    int depth = 0;
    while (y.node->callers[depth]) ++depth;
    CHECK(depth >= 3);    // exp, this test, main
    CHECK(depth <= 12);
}

namespace {

namespace op {

// y = x                    dx = dy, but for one element
struct WrongAt final : Node {
    std::size_t place = 0;
    real with = 0;
    void forward() override { std::copy_n(inputs[0].data(), size, data); }
    void backward() override {
        for (std::size_t i = 0; i < size; ++i) grad_of(0)[i] += i == place ? with : grad[i];
    }
};

}    // namespace op

}    // namespace

TEST_CASE("a gradient that is wrong at one element, or NaN there, is found there by both checks") {
    const Unchecked unchecked;
    const Tensor x = Tensor({3}, {1, 2, 3}).requires_grad().named("x");
    const auto wrong_at = [&x](std::size_t place, real with) {
        return [&x, place, with] {
            auto* node = new op::WrongAt;
            node->place = place;
            node->with = with;
            return record(node, "wrong_at", {3}, {x}, Where::current());
        };
    };
    const real not_a_number = std::numeric_limits<real>::quiet_NaN();
    CHECK(std::isinf(check_gradient(wrong_at(1, not_a_number), {x}).worst));
    const GradientCheck check = check_gradient(wrong_at(2, 40), {x});
    CHECK(check.worst > 0.1);
    CHECK(contains(check.where, "element 2 of x (3): analytic 40"));
    const Tensor y = wrong_at(1, not_a_number)();
    CHECK(contains(lookback_check_node(y.node), "WRONG, element 1"));
}

TEST_CASE("the environment asked for plain loops" * doctest::skip()) { CHECK(kernels::use_reference()); }
TEST_CASE("the environment asked for a trace" * doctest::skip()) { CHECK(tracing); }

TEST_CASE("LOOKBACK_REFERENCE=1 and LOOKBACK_TRACE=1 are heard, and 0 is no 1") {
    for (const auto& [name, test] : {std::pair("LOOKBACK_REFERENCE", "*plain loops"), std::pair("LOOKBACK_TRACE", "*a trace")})
        for (const char* value : {"0", "1"}) {
            const Outcome outcome = run_in_child([&, variable = name, asked = std::string("-tc=") + test] {
                setenv(variable, value, 1);
                execl("/proc/self/exe", "test", "-ns", asked.c_str(), nullptr);
                return 9;
            });
            CHECK(outcome.status == (*value == '1' ? 0 : 1));
        }
}
