#include <doctest/doctest.h>
#include <pthread.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "lookback/ops/attention.h"
#include "lookback/ops/elementwise.h"
#include "lookback/ops/matmul.h"
#include "lookback/ops/recurrent.h"
#include "lookback/ops/shape.h"
#include "lookback/ops/softmax.h"
#include "lookback/tensor/debugger.h"
#include "lookback/tensor/gradient_check.h"
#include "lookback/tensor/node.h"
#include "lookback/tensor/scope.h"

using namespace lookback;
using Values = std::vector<real>;

namespace {

Values gradient(const Tensor& x) { return Values(x.grad(), x.grad() + x.size()); }

// y = x, and something happens on the way back
struct DuringBackward final : Node {
    std::function<void()> action;

    void forward() override { std::copy_n(inputs[0].data(), size, data); }
    void backward() override {
        action();
        add_to_grad_of(0, grad);
    }
};
Tensor during_backward(const Tensor& x, std::function<void()> action, Where where = Where::current()) {
    auto* node = new DuringBackward;
    node->action = std::move(action);
    return record(node, "during_backward", x.shape(), {x}, where);
}

}    // namespace

TEST_CASE("gradients of leaves add up until zero_grad, and keep their address") {
    Tensor x = Tensor({2}, {3, 4}).requires_grad();
    CHECK(x.grad() == nullptr);
    backward(sum(x * x));
    const real* address = x.grad();
    CHECK(gradient(x) == Values{6, 8});
    backward(sum(x * x));
    CHECK(gradient(x) == Values{12, 16});
    x.zero_grad();
    CHECK(gradient(x) == Values{0, 0});
    backward(sum(x));
    CHECK(gradient(x) == Values{1, 1});
    CHECK(x.grad() == address);
}

TEST_CASE("gradients of what is no leaf start afresh at each backward, at the same address") {
    Tensor x = Tensor({2}, {3, 4}).requires_grad();
    const Tensor y = x * x, loss = sum(y * y);
    backward(loss);
    const real* address = y.grad();
    CHECK(gradient(y) == Values{18, 32});
    backward(loss);
    CHECK(gradient(y) == Values{18, 32});
    CHECK(y.grad() == address);
    CHECK(loss.grad()[0] == 1);
}

TEST_CASE("a second backward through the same graph exactly doubles the leaves' gradients") {
    Tensor x = Tensor({2, 2}, {1, 2, 3, -4}).requires_grad(), weight = Tensor({2, 2}, {2, 0, -1, 5}).requires_grad();
    const Tensor loss = sum(relu(linear(x, weight)) * x);
    backward(loss);
    const Values dx = gradient(x), dw = gradient(weight);
    backward(loss);
    for (int i = 0; i < 4; ++i) {
        CHECK(x.grad()[i] == 2 * dx[i]);
        CHECK(weight.grad()[i] == 2 * dw[i]);
    }
}

TEST_CASE("a backward that releases the graph gives the same gradients, and the graph is gone") {
    Tensor x = Tensor({2}, {3, 4}).requires_grad();
    const auto loss_of = [&](Tensor* kept) {
        const Tensor y = x * x, z = y * y + y;
        if (kept) *kept = z;
        return sum(z * x);
    };
    backward(loss_of(nullptr));
    const Values expected = gradient(x);
    x.zero_grad();
    Tensor kept;
    const Tensor loss = loss_of(&kept);
    backward(loss, Graph::release);
    CHECK(gradient(x) == expected);
    CHECK(kept.values() == Values{90, 272});    // what somebody holds stays
    CHECK(graph_of(loss).size() == 1);
    CHECK_THROWS_WITH_AS(backward(loss), doctest::Contains("was released by an earlier backward"), std::invalid_argument);
    CHECK_THROWS_WITH_AS(backward(sum(kept * x)), doctest::Contains("was released by an earlier backward"),
                         std::invalid_argument);
    CHECK(gradient(x) == expected);    // and the refusal has changed nothing
}

TEST_CASE("two losses that share a part of their graph give the sum of their gradients") {
    Tensor x = Tensor({2}, {3, 4}).requires_grad();
    const Tensor shared = x * x;
    backward(sum(shared));
    backward(sum(shared * 10));
    CHECK(gradient(x) == Values{66, 88});
}

TEST_CASE("a gradient goes only where it was asked for") {
    Tensor x = Tensor({2}, {3, 4}).requires_grad();
    const Tensor constant({2}, {5, 6});
    backward(sum(x * constant));
    CHECK(gradient(x) == Values{5, 6});
    CHECK(constant.grad() == nullptr);
}

TEST_CASE("a leaf can be its own loss") {
    Tensor x = Tensor::scalar(3).requires_grad();
    backward(x);
    backward(x);
    CHECK(x.grad()[0] == 2);
}

TEST_CASE("the first op to add to a gradient gives the bits of one that finds zeros there") {
    Random random(1);
    const auto leaf = [&](Shape shape) { return Tensor::normal(std::move(shape), 1, random).requires_grad(); };
    struct Case {
        std::string name;
        std::vector<Tensor> leaves;
        std::function<Tensor(const std::vector<Tensor>&)> loss;
    };
    const std::vector<Case> cases = {
        {"linear", {leaf({5, 3}), leaf({4, 3}), leaf({4})}, [](auto& x) { return sum(linear(x[0], x[1], x[2]) * 3); }},
        {"a block", {leaf({5, 3}), leaf({4, 7})}, [](auto& x) { return sum(linear(x[0], x[1], {}, {.row = 1, .columns = 3})); }},
        {"matmul", {leaf({2, 5, 3}), leaf({2, 3, 4})}, [](auto& x) { return sum(matmul(x[0], x[1]) * 3); }},
        {"a square", {leaf({2, 4, 4})}, [](auto& x) { return sum(matmul(x[0], x[0]) * 3); }},
        {"linear of itself", {leaf({4, 4})}, [](auto& x) { return sum(linear(x[0], x[0]) * 3); }},
        {"wide", {leaf({2, 5000}), leaf({3, 5000})}, [](auto& x) { return sum(linear(x[0], x[1])); }},
        {"attention",
         {leaf({2, 3, 8}), leaf({2, 5, 8}), leaf({2, 5, 8})},
         [](auto& x) { return sum(attention_context(attention_weights(x[0], x[1], 2), x[2]) * 3); }},
        {"self-attention",
         {leaf({2, 4, 8})},
         [](auto& x) { return sum(attention_context(attention_weights(x[0], x[0], 2), x[0]) * 3); }},
        {"twice", {leaf({6})}, [](auto& x) { return sum((x[0] + x[0]) * 3); }},
        {"a product that underflows to -0", {leaf({6})}, [](auto& x) { return sum((x[0] + 0) * 1e-30 * -1e-30); }},
    };
    for (const Case& one : cases) {
        INFO(one.name);
        const std::vector<Tensor>& leaves = one.leaves;
        std::vector<Values> first, onto_zeros;
        for (const Tensor& x : leaves) Tensor(x.shape(), Values(x.size(), 7e8));    // freed: what an unset gradient finds
        backward(one.loss(leaves));
        for (const Tensor& x : leaves) first.push_back(gradient(x));
        for (Tensor x : leaves) x.zero_grad();
        backward(one.loss(leaves));
        for (const Tensor& x : leaves) onto_zeros.push_back(gradient(x));
        for (std::size_t i = 0; i < leaves.size(); ++i)
            CHECK(std::memcmp(first[i].data(), onto_zeros[i].data(), leaves[i].size() * sizeof(real)) == 0);
    }
}

// Steps of a sentence with few rows each, and all else that may be done to the same weights on the way.
Tensor steps_with(const std::vector<Tensor>& leaves, int count, int rows) {
    const Tensor &weight = leaves[0], &gru = leaves[1], &lstm = leaves[2], &bias = leaves[3], &in_blocks = leaves[4];
    const Tensor halved = weight * 0.5;    // a weight that is no leaf
    Random random(2);
    const auto constant = [&](Shape shape) { return Tensor::normal(std::move(shape), 1, random); };
    Tensor h = constant({rows, 64}), state = constant({rows, 128}), loss = sum(weight * weight);
    for (int step = 0; step < count; ++step) {
        h = gru_cell(constant({rows, 192}), tanh(linear(h, weight)), gru, slice(bias, 0, 0, 192));
        state = lstm_cell(constant({rows, 256}), slice(state, 1, 0, 64), slice(state, 1, 64, 128), lstm, bias);
        h = h + linear(slice(state, 1, 0, 64), halved);
        h = h + linear(h, in_blocks, {}, {.row = step / 2 % 3, .rows = 64, .column = step / 3 % 3, .columns = 64});
        if (step % 5 == 2) loss = loss + sum(matmul(h, weight));
        if (step % 9 == 4) loss = loss + sum(linear(constant({rows * 40, 64}), weight));    // many rows
    }
    return loss + sum(h * h) + sum(state);
}

TEST_CASE("few rows of a weight's gradient wait until they are many, and give the same bits") {
    Random random(1);
    const auto leaf = [&](Shape shape) { return Tensor::normal(std::move(shape), 0.05, random).requires_grad(); };
    const std::vector<Tensor> leaves = {leaf({64, 64}), leaf({192, 64}), leaf({256, 64}), leaf({256}), leaf({66, 66})};
    for (const int rows : {1, 3, 32, 33})
        for (const int count : {1, 10, 60}) {
            INFO(rows, " rows, ", count, " steps");
            std::vector<Values> at_once;
            for (const bool checked : {true, false}) {    // who checks each op wants its gradients at once
                const bool before = std::exchange(checking, checked);
                for (Tensor x : leaves) x.zero_grad();
                for (int pass = 0; pass < 2; ++pass) backward(steps_with(leaves, count, rows), Graph::release);
                checking = before;
                for (std::size_t i = 0; i < leaves.size(); ++i) {
                    CHECK(!leaves[i].node->grad_rows);
                    if (checked)
                        at_once.push_back(gradient(leaves[i]));
                    else
                        CHECK(std::memcmp(leaves[i].grad(), at_once[i].data(), leaves[i].size() * sizeof(real)) == 0);
                }
            }
        }
}

// Each row of dW where W (64, 64) makes sum(x W^T): the sum of the rows of x, times so much.
Values sum_of_rows(const Tensor& x, real times) {
    Values result;
    for (int n = 0; n < 64; ++n)
        for (int k = 0; k < 64; ++k) result.push_back(times * (x.data()[k] + x.data()[64 + k]));
    return result;
}

TEST_CASE("a node can be asked whether its backward is right while rows of its weight wait") {
    const Unchecked unchecked;
    Tensor x = Tensor({2, 64}, Values(128, 3)).requires_grad(), weight = Tensor({64, 64}, Values(64 * 64, 0.5)).requires_grad();
    const Tensor first = linear(x, weight);
    std::string answer;
    const Tensor asks = during_backward(x, [&] { answer = lookback_check_node(first.node); });
    const Tensor second = linear(x * 10, weight);
    backward(sum(first) + sum(asks) + sum(second));
    CHECK(answer.find(": right, ") != std::string::npos);
    CHECK(gradient(weight) == sum_of_rows(x, 11));
}

TEST_CASE("rows that wait when a backward pass fails are forgotten with the gradient") {
    const Unchecked unchecked;
    Tensor x = Tensor({2, 64}, Values(128, 3)).requires_grad(), weight = Tensor({64, 64}).requires_grad();
    const Tensor loss = sum(linear(during_backward(x, [] { throw std::runtime_error("no"); }), weight));
    CHECK_THROWS_AS(backward(loss), std::runtime_error);
    weight.zero_grad();
    backward(sum(linear(x, weight)));
    CHECK(gradient(weight) == sum_of_rows(x, 1));
}

TEST_CASE("a value used by many waits for all of them, whatever the order they were made in") {
    Tensor x = Tensor::scalar(2).requires_grad();
    const Tensor y = x * x, a = y * 3, b = a * y, c = y + b, d = c * a;    // d = (x^2 + 3 x^4) 3 x^2 = 3 x^4 + 9 x^6
    backward(d);
    CHECK(x.grad()[0] == 12 * 8 + 54 * 32);
}

TEST_CASE("graph_of lists nodes in the order they were made, each once") {
    Tensor x = Tensor({2}).requires_grad();
    const Tensor y = x + x, z = y * y, unrelated = tanh(x), loss = sum(z);
    CHECK(graph_of(loss) == std::vector<Node*>{x.node, y.node, z.node, loss.node});
}

TEST_CASE("backward refuses what is not one number, and what asks for no gradient") {
    Tensor x = Tensor({2}, {3, 4}).requires_grad();
    CHECK_THROWS_AS(backward(x * x), std::invalid_argument);
    try {
        backward(x * x);
    } catch (const std::invalid_argument& error) {
        const std::string message = error.what();
        CHECK(message.starts_with("backward: a loss is one number, not (2); take sum() or mean() first ["));
        CHECK(message.ends_with("tests/tensor/backward.cpp:" + std::to_string(__LINE__ - 4) + "]"));
    }
    CHECK_THROWS_AS(backward(Tensor::scalar(1)), std::invalid_argument);
}

TEST_CASE("a graph of 1,000,000 chained nodes is built, differentiated and freed on a stack of 8 MiB") {
    struct Result {
        real value = 0, gradient = 0;
    } result;
    const auto work = [](void* out) -> void* {
        auto* r = static_cast<Result*>(out);
        Tensor x = Tensor::scalar(1).requires_grad();
        {
            Tensor y = x;
            for (int i = 0; i < 1'000'000; ++i) y = -y;
            r->value = y.item();
            backward(y);
        }
        r->gradient = x.grad()[0];
        return nullptr;
    };
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 8 << 20);
    pthread_t thread;
    REQUIRE(pthread_create(&thread, &attributes, work, &result) == 0);
    pthread_join(thread, nullptr);
    pthread_attr_destroy(&attributes);
    CHECK(result.value == 1);
    CHECK(result.gradient == 1);
}

TEST_CASE("a graph with 2^1,000 paths is walked once a node") {
    Tensor x = Tensor::scalar(1).requires_grad(), y = x;
    for (int i = 0; i < 1000; ++i) y = (y + y) * 0.5;
    backward(y);
    CHECK(x.grad()[0] == 1);
}

TEST_CASE("a graph may be made by several threads, one after the other") {
    const Tensor x = Tensor({2}, {1, 2}).requires_grad();
    for (int i = 0; i < 5; ++i) tanh(x);    // this thread has made more nodes than the others ever will
    const Tensor y = x * x;
    Tensor z;
    std::thread([&] { z = y * 2; }).join();
    backward(sum(z) + sum(y));
    CHECK(x.grad()[0] == 6);
    CHECK(x.grad()[1] == 12);
}

TEST_CASE("a place is told relative to the source tree, and with the scope") {
    for (const char* file : {"../../src/nn/a.cpp", "/home/me/lookback/.build/release/../../src/nn/a.cpp", "src/nn/a.cpp"})
        CHECK(to_string(Where::current(file, "", 7)) == "src/nn/a.cpp:7");
    const Scope scope("layers", 2);
    CHECK_THROWS_WITH_AS(reject("no", Where::current("a.cpp", "", 7)), "no [a.cpp:7 in layers.2]", std::invalid_argument);
}

TEST_CASE("an empty tensor is an error, not a crash") {
    const Tensor none, some({2});
    CHECK_THROWS_AS(none.shape(), std::invalid_argument);
    CHECK_THROWS_AS(none.item(), std::invalid_argument);
    CHECK_THROWS_AS(none + some, std::invalid_argument);
    CHECK_THROWS_AS(some * none, std::invalid_argument);
    CHECK_THROWS_AS(tanh(none), std::invalid_argument);
    CHECK_THROWS_AS(linear(some, none), std::invalid_argument);
    CHECK_THROWS_AS(sum(none), std::invalid_argument);
    CHECK_THROWS_AS(backward(none), std::invalid_argument);
    CHECK_THROWS_AS(Tensor().requires_grad(), std::invalid_argument);
    CHECK_THROWS_AS(Tensor().named("none"), std::invalid_argument);
    CHECK_THROWS_AS(Tensor().zero_grad(), std::invalid_argument);
    const Tensor nothing;
    CHECK_THROWS_AS(graph_of(nothing), std::invalid_argument);
    CHECK_THROWS_AS(explain_not_finite(Tensor()), std::invalid_argument);
    CHECK_THROWS_AS(shared_weights(Tensor()), std::invalid_argument);
}

TEST_CASE("what was computed becomes a leaf when it is asked for a gradient") {
    const Tensor a({2}, {1, 2});
    Tensor w = (a * 0.5).named("w").requires_grad();
    backward(sum(w * w));
    CHECK(w.grad()[1] == 2);
    CHECK(label(*w.node) == "w (2)");
    CHECK(w.node->id == 0);
    Tensor y = (w * 1).requires_grad();    // is no leaf, and passes its gradient on
    backward(sum(y));
    CHECK(w.grad()[1] == 3);
}

TEST_CASE("threads work on graphs of their own and read the same constants") {
    const Tensor constant({4, 4}, Values(16, 0.25));
    Tensor weight = Tensor({4, 4}, Values(16, 0.5)).requires_grad();
    std::vector<Values> gradients(2);
    std::vector<std::thread> threads;
    for (Values& result : gradients)
        threads.emplace_back([&] {
            Tensor mine = shared_weights(weight);
            mine.zero_grad();
            for (int step = 0; step < 50; ++step) {
                restart_node_ids();
                Tensor h = constant;
                for (int i = 0; i < 5; ++i) h = softmax(tanh(matmul(h, mine)) + constant);
                backward(sum(h * h));
                const NoGrad no_grad;
                const Tensor unused = exp(constant);
            }
            result = gradient(mine);
        });
    for (std::thread& thread : threads) thread.join();
    CHECK(gradients[0] == gradients[1]);
    CHECK(weight.grad() == nullptr);
}

TEST_CASE("a tensor may be freed by another thread than the one that made it") {
    Tensor made;
    std::thread([&] { made = tanh(Tensor({100}, Values(100, 1)).requires_grad()); }).join();
    backward(sum(made));
    CHECK(made.grad()[0] == 1);
    std::thread([last = std::move(made)]() mutable { last = Tensor(); }).join();
}

TEST_CASE("explain_not_finite names the op that made the first NaN or inf, its element and its line") {
    const Unchecked unchecked;
    restart_node_ids();
    Tensor x = Tensor({3}, {1, 0, 2}).requires_grad();
    const Tensor fine = x * x;
    CHECK(explain_not_finite(fine).empty());
    const Tensor y = log(fine);
    const unsigned line = __LINE__ - 1;
    const Tensor loss = sum(y - y);
    CHECK(std::isnan(loss.item()));
    const std::string message = explain_not_finite(loss);
    CHECK(message.starts_with("the first -inf is element (1) of #2 log (3), made at "));
    CHECK(message.ends_with("tests/tensor/backward.cpp:" + std::to_string(line)));
}

TEST_CASE("explain_not_finite names a leaf that held the first NaN, trained or not") {
    const Unchecked unchecked;
    constexpr real not_a_number = std::numeric_limits<real>::quiet_NaN();
    Tensor weight = Tensor({2}, {1, not_a_number}).requires_grad().named("weight");
    const Tensor bad = sum(weight * 2);
    CHECK(explain_not_finite(bad).starts_with("the first NaN is element (1) of weight (2), made at "));
    Tensor good = Tensor({2}, {1, 2}).requires_grad(), input = Tensor({2}, {not_a_number, 1}).named("input");
    CHECK(explain_not_finite(sum(good * input)).starts_with("the first NaN is element (0) of input (2), made at "));
}

TEST_CASE("explain_not_finite looks at a value without a graph, too") {
    const Unchecked unchecked;
    const Tensor x = log(Tensor({2}, {1, -1}));
    CHECK(explain_not_finite(x).starts_with("the first NaN is element (1) of #"));
}

namespace lookback::op {

// y = x^2, with a wrong backward: 3 x instead of 2 x
struct WrongSquare final : Node {
    void forward() override {
        for (std::size_t i = 0; i < size; ++i) data[i] = inputs[0].data()[i] * inputs[0].data()[i];
    }
    void backward() override {
        for (std::size_t i = 0; i < size; ++i) grad_of(0)[i] += 3 * grad[i] * inputs[0].data()[i];
    }
};

}    // namespace lookback::op

TEST_CASE("check_gradient finds a wrong backward pass and says where") {
    Tensor x = Tensor({2}, {0.5, 1}).requires_grad().named("x");
    const auto wrong = [&] { return record(new op::WrongSquare, "wrong_square", x.shape(), {x}, Where::current()); };
    const GradientCheck bad = check_gradient(wrong, {x}), good = check_gradient([&] { return x * x; }, {x});
    CHECK(bad.worst > 0.1);
    CHECK(bad.where.starts_with("element "));
    CHECK(bad.where.find("of x (2): analytic ") != std::string::npos);
    CHECK(good.worst < 1e-3);    // with float; the double build is held to 1e-6
    CHECK(x.values() == Values{0.5, 1});
}

TEST_CASE("an op of an empty handle is refused, and leaves nothing behind") {
    const std::size_t before = live_nodes();
    CHECK_THROWS_WITH_AS(record(new op::WrongSquare, "square", {1}, {Tensor()}, Where::current()),
                         doctest::Contains("this tensor is empty"), std::invalid_argument);
    CHECK(live_nodes() == before);
}
