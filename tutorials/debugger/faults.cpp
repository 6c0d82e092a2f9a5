// Four small programs, each with a fault that is planted, to be found in a debugger: README.md beside this file is the guide.
//
//     sh tutorials/run.sh faults --debug --fault wrong        an op whose backward is wrong, and the net learns all the same
//     sh tutorials/run.sh faults --debug --fault nan          a loss that is NaN
//     sh tutorials/run.sh faults --debug --fault vanishing    a gradient that does not arrive
//     sh tutorials/run.sh faults --debug --fault leak         memory that grows

#include <fmt/format.h>

#include <cmath>

#include "lookback/nn/layers.h"
#include "lookback/ops/elementwise.h"
#include "lookback/ops/matmul.h"
#include "lookback/ops/shape.h"
#include "lookback/optim/optimizer.h"
#include "lookback/program/error.h"
#include "lookback/program/options.h"
#include "lookback/tensor/debugger.h"
#include "lookback/tensor/node.h"
#include "lookback/tensor/scope.h"

using namespace lookback;

namespace {

namespace op {

// y = x / d,  d = 1 + |x|          dx = dy / d^2
// The planted fault: dx = dy / d, as if d were a constant.
struct Softsign final : Node {
    void forward() override {
        const real* x = inputs[0].data();
        for (std::size_t i = 0; i < size; ++i) data[i] = x[i] / (1 + std::abs(x[i]));
    }
    void backward() override {
        const real *x = inputs[0].data(), *dy = grad;
        real* dx = grad_of(0);
        for (std::size_t i = 0; i < size; ++i) dx[i] += dy[i] / (1 + std::abs(x[i]));
    }
};

}    // namespace op

Tensor softsign(const Tensor& x, Where where = Where::current()) {
    return record(new op::Softsign, "softsign", x.shape(), {x}, where);
}

// Two layers that learn exclusive or. The loss falls, so nobody looks.
void wrong_backward() {
    Random random(3);
    Linear hidden(2, 4, random), out(4, 1, random);
    const Tensor x({4, 2}, {0, 0, 0, 1, 1, 0, 1, 1}), target({4, 1}, {0, 1, 1, 0});
    Adam adam({hidden.weight, hidden.bias, out.weight, out.bias}, {.lr = 0.05});
    for (int step = 0; step <= 300; ++step) {
        restart_node_ids();
        for (Tensor& w : adam.parameters) w.zero_grad();
        const Tensor pre = hidden(x), h = softsign(pre), y = out(h);
        const Tensor error = y - target, loss = mean(error * error);
        backward(loss);
        adam.step();
        if (step % 100 == 0) fmt::print("step {:3}  loss {:.4f}\n", step, loss.item());
    }
}

// A softmax as its equation says it, without taking the largest score off first: e^100 is too much for a float.
void not_a_number() {
    Tensor scores = Tensor({2, 3}, {1, 2, 3, 40, 100, 60}).requires_grad().named("scores");
    const Tensor e = exp(scores);
    const Tensor total = reshape(sum(e, 1), {2, 1});
    const Tensor weights = e / total;
    const Tensor loss = mean(weights * Tensor({2, 3}, {1, 0, 0, 0, 1, 0}));
    backward(loss);
    fmt::print("loss {}\n", std::isnan(loss.item()) ? "NaN" : std::to_string(loss.item()));
}

// A recurrent net over 20 steps whose state goes through a sigmoid each time.
void vanishing_gradient() {
    Random random(1);
    const Tensor x = Tensor::normal({20, 1, 4}, 1, random);
    Tensor W = Tensor::normal({4, 4}, 0.5, random).requires_grad().named("W");
    Tensor U = Tensor::normal({4, 4}, 0.5, random).requires_grad().named("U");
    Tensor h = Tensor({1, 4}).requires_grad().named("h0");
    const Tensor first = h;
    for (int t = 0; t < 20; ++t) {
        const Scope scope("step", t);
        const Tensor from_x = linear(select(x, 0, t), W), from_h = linear(h, U);
        h = sigmoid(from_x + from_h);
    }
    const Tensor loss = mean(h * h);
    backward(loss);
    double squares = 0;
    for (std::size_t i = 0; i < first.size(); ++i)
        squares += static_cast<double>(first.grad()[i]) * static_cast<double>(first.grad()[i]);
    fmt::print("the gradient at the first state has the norm {:.1e}\n", std::sqrt(squares));
}

// The losses are kept, to be printed at the end.
void growing_memory() {
    Random random(1);
    Linear layer(4, 4, random);
    const Tensor x = Tensor::normal({8, 4}, 1, random);
    std::vector<Tensor> history;
    for (int step = 1; step <= 30; ++step) {
        const Tensor y = tanh(layer(x));
        const Tensor loss = mean(y * y);
        backward(loss);
        history.push_back(loss);
        if (step % 10 == 0) fmt::print("step {:2}  {} tensors are alive\n", step, live_nodes());
    }
    fmt::print("loss {:.4f}, then {:.4f}\n", history.front().item(), history.back().item());
}

int faults(const Options& options) {
    const std::string& fault = options.text("fault");
    if (fault == "wrong")
        wrong_backward();
    else if (fault == "nan")
        not_a_number();
    else if (fault == "vanishing")
        vanishing_gradient();
    else if (fault == "leak")
        growing_memory();
    else
        throw BadInput(fmt::format("--fault {}: wrong, nan, vanishing or leak", fault));
    return 0;
}

}    // namespace

int main(int argc, char** argv) {
    return run_program(argc, argv,
                       {.name = "faults",
                        .question = "What is wrong here? Four faults to be found in a debugger",
                        .steps = 0,
                        .quick_steps = 0,
                        .out = {},
                        .data = {},
                        .own = {{.name = "fault", .metavar = "NAME", .value = "wrong", .help = "wrong, nan, vanishing or leak"}}},
                       faults);
}
