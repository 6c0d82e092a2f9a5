// 01 chain_rule: How does a program differentiate itself?  (about 1 s)
//
// A program that computes a number leaves a graph behind: each value was made from others by +, - or *, and each of these steps
// knows its own slope. The chain rule does the rest: multiply the slopes along a way, add up over all ways. Here that is
// written out on single numbers, in some 50 lines. The rest of the course does nothing else, only on larger ones.
//
// What you will see   a graph with the gradient at each value, beside the same by hand, by small steps and from lookback; a
//                     recursion that gives 8 where 4 is right; what `=` in place of `+=` breaks; three descents on a curve
// Shapes              none: each value is one number (02 gives it a shape)
// Predict             b = a + a and c = b + b, so dc/da = 4. A recursion from c down, in which each value tells its inputs what
//                     they owe to it, finds 8. What does it count twice? Does `=` in place of `+=` break a b, a + a, or both?
// Break on            add_share: each share of a gradient as it arrives; lookback::run_backward_of
// Papers              Baydin et al. 2018, arXiv:1502.05767, section 3.2; Rumelhart et al. 1986, Nature 323, pages 533-536

#include <fmt/format.h>

#include <cmath>
#include <map>
#include <memory>
#include <set>

#include "lookback/draw/svg.h"
#include "lookback/draw/terminal.h"
#include "lookback/ops/elementwise.h"
#include "lookback/program/claims.h"
#include "lookback/program/file.h"
#include "lookback/program/options.h"
#include "lookback/program/stopwatch.h"
#include "lookback/tensor/node.h"

using namespace lookback;

namespace {

constexpr double learning_rate = 0.02;

// ---- 1. Values that remember how they were made ----------------------------------------------------------------------------

struct Scalar {
    struct Input {
        std::shared_ptr<Scalar> from;
        double slope;    // dvalue/dfrom
    };
    std::string name;    // of a leaf
    char op;             // what made it; of a leaf ' '
    double value;
    std::vector<Input> inputs;
    double gradient = 0;        // dloss/dvalue
    int number = ++how_many;    // the order in which values are made, leaves too
    inline static int how_many = 0;
};

// A handle: copies share one Scalar. A plain number becomes a leaf.
struct Value {
    std::shared_ptr<Scalar> scalar;

    Value(double value, std::string name = "") : scalar(new Scalar{std::move(name), ' ', value, {}}) {}
    Value(char op, double value, std::vector<Scalar::Input> inputs) : scalar(new Scalar{"", op, value, std::move(inputs)}) {}
    Scalar* operator->() const { return scalar.get(); }
};

// All the calculus there is: the value of each step, and its slope along each input.
Value operator+(const Value& a, const Value& b) { return {'+', a->value + b->value, {{a.scalar, 1}, {b.scalar, 1}}}; }
Value operator-(const Value& a, const Value& b) { return {'-', a->value - b->value, {{a.scalar, 1}, {b.scalar, -1}}}; }
Value operator*(const Value& a, const Value& b) {
    return {'*', a->value * b->value, {{a.scalar, b->value}, {b.scalar, a->value}}};
}

// ---- 2. The way back -------------------------------------------------------------------------------------------------------

// What a gradient does with a share that arrives.
using Receive = void(double& gradient, double share);
void add_share(double& gradient, double share) {
    gradient += share;    // a value that is used twice gets two
}
void assign_share(double& gradient, double share) {
    gradient = share;    // wrong
}

// Newest first. Whatever was made from a value was made after it, so when its turn comes, all its shares have arrived.
struct Newest {
    bool operator()(const Scalar* a, const Scalar* b) const { return a->number > b->number; }
};

// All three return how many values they visited.
long backward(const Value& loss, Receive* receive = add_share) {
    std::set<Scalar*, Newest> waiting = {loss.scalar.get()};
    long visits = 0;
    loss->gradient = 1;
    while (!waiting.empty()) {
        const Scalar& value = **waiting.begin();
        waiting.erase(waiting.begin());
        ++visits;
        for (const Scalar::Input& input : value.inputs) {
            receive(input.from->gradient, value.gradient * input.slope);    // the chain rule
            waiting.insert(input.from.get());
        }
    }
    return visits;
}

// Wrong: a value that is reached twice passes all of its gradient on twice.
long backward_recursive(Scalar& value) {
    long visits = 1;
    for (const Scalar::Input& input : value.inputs) input.from->gradient += value.gradient * input.slope;
    for (const Scalar::Input& input : value.inputs) visits += backward_recursive(*input.from);
    return visits;
}

// Right: each way is walked by itself, with the product of its slopes. But the number of ways can double at each step.
long backward_by_ways(Scalar& value, double product) {
    long visits = 1;
    value.gradient += product;
    for (const Scalar::Input& input : value.inputs) visits += backward_by_ways(*input.from, product * input.slope);
    return visits;
}

// ---- 3. One expression, four gradients -------------------------------------------------------------------------------------

// With plain numbers it computes; with Values, or with Tensors, it leaves a graph as well.
template <class Number>
Number loss_of(const Number& w, const Number& x, const Number& y) {
    const Number error = w * x - y;
    return error * error + w;
}

struct Check {
    double by_hand, numeric, tensor;
};

std::string label(const Scalar& value) { return value.op == ' ' ? value.name : fmt::format("#{}", value.number); }

// Each value stands under one that was made from it; where it is met again, it is only named.
void print_graph(const Scalar& value, const std::string& branch, const std::string& indent,
                 const std::map<std::string, Check>& checks, std::set<const Scalar*>& printed) {
    std::string text = "   " + branch + label(value);
    if (!printed.insert(&value).second) {
        fmt::print("{}, again\n", text);
        return;
    }
    const std::vector<Scalar::Input>& inputs = value.inputs;
    if (!inputs.empty()) text += fmt::format(" = {} {} {}", label(*inputs[0].from), value.op, label(*inputs[1].from));
    fmt::print("{:<26}{:>8}{:>12}", text, value.value, value.gradient);
    if (const auto found = checks.find(value.name); found != checks.end())
        fmt::print("{:>9}{:>13.6f}{:>10}", found->second.by_hand, found->second.numeric, found->second.tensor);
    fmt::print("\n");
    const bool twice = inputs.size() == 2 && inputs[0].from == inputs[1].from;
    for (std::size_t i = 0; i < inputs.size() - twice; ++i) {
        const bool last = i + 1 == inputs.size() - twice;
        print_graph(*inputs[i].from, indent + (last ? "└ " : "├ "), indent + (last ? "  " : "│ "), checks, printed);
    }
}

void show_graph(Claims& claims) {
    const double w = 2, x = 3, y = 4, h = 1e-4;
    const Value value_w(w, "w"), value_x(x, "x"), value_y(y, "y");
    const Value loss = loss_of(value_w, value_x, value_y);
    backward(loss);

    const auto tensor = [](double number) { return Tensor::scalar(static_cast<real>(number)).requires_grad(); };
    const Tensor tensor_w = tensor(w), tensor_x = tensor(x), tensor_y = tensor(y);
    const Tensor tensor_loss = loss_of(tensor_w, tensor_x, tensor_y);
    lookback::backward(tensor_loss);

    // A quotient of differences: it needs no calculus, but two runs of the program for each number.
    const double numeric_w = (loss_of(w + h, x, y) - loss_of(w - h, x, y)) / (2 * h);
    const double numeric_x = (loss_of(w, x + h, y) - loss_of(w, x - h, y)) / (2 * h);
    const double numeric_y = (loss_of(w, x, y + h) - loss_of(w, x, y - h)) / (2 * h);
    const double error = w * x - y;
    const std::map<std::string, Check> checks = {{"w", {2 * error * x + 1, numeric_w, tensor_w.grad()[0]}},
                                                 {"x", {2 * error * w, numeric_x, tensor_x.grad()[0]}},
                                                 {"y", {-2 * error, numeric_y, tensor_y.grad()[0]}}};

    fmt::print("1. loss = (w x - y)^2 + w: each value stands under one that is made from it\n{:26}{:>8}{:>12}{:>9}{:>13}{:>10}\n",
               "", "value", "gradient", "by hand", "small steps", "lookback");
    std::set<const Scalar*> printed;
    print_graph(*loss.scalar, "", "", checks, printed);
    fmt::print("   lookback numbers its ops, too:");
    for (const Node* node : graph_of(tensor_loss))
        if (node->id > 0) fmt::print("{} #{} {}", node->id > 1 ? "," : "", node->id, node->op);
    fmt::print("\n");

    for (const Value& leaf : {value_w, value_x, value_y}) {
        const Check& check = checks.at(leaf->name);
        claims.check(leaf->gradient == check.by_hand && leaf->gradient == check.tensor, "backward, hand and lookback agree");
        claims.check(std::abs(leaf->gradient - check.numeric) < 1e-6, "small steps agree to six digits");
    }
}

// ---- 4. Two mistakes -------------------------------------------------------------------------------------------------------

Value doubled(Value a, int times) {
    for (int i = 0; i < times; ++i) a = a + a;
    return a;
}

void compare_orders(Claims& claims) {
    constexpr int many = 20;
    fmt::print("\n2. b = a + a, c = b + b{:>19}{:>12}{:>24}\n", "dc/da", "visits", fmt::format("visits, {} doublings", many));
    const auto row = [&](const char* name, const auto& run, double expected, long expected_visits) {
        const Value a(1), b(1);
        const long visits = run(doubled(a, 2)), many_visits = run(doubled(b, many));
        fmt::print("   {:<31}{:>8}{:>12}{:>24}\n", name, a->gradient, visits, count_text(many_visits));
        claims.check(a->gradient == expected && many_visits == expected_visits, name);
    };
    const auto recursive = [](const Value& c) {
        c->gradient = 1;
        return backward_recursive(*c.scalar);
    };
    const long all_ways = (1L << (many + 1)) - 1;
    row("recursion", recursive, 8, all_ways);
    row(
        "each way by itself", [](const Value& c) { return backward_by_ways(*c.scalar, 1); }, 4, all_ways);
    row(
        "newest first", [](const Value& c) { return backward(c); }, 4, many + 1);
}

void compare_receivers(Claims& claims) {
    fmt::print("\n3. A gradient that takes `=` where `+=` belongs\n   {:<22}{:>11}{:>13}{:>11}{:>19}\n", "a = 3, b = 4, w = 2",
               "d(a b)/da", "d(a + a)/da", "d(a a)/da", "dloss/dw, table 1");
    const auto row = [](const char* name, Receive* receive) {
        const Value a(3), b(4), c(3), d(3), w(2);
        for (const Value& y : {a * b, c + c, d * d, loss_of(w, Value(3), Value(4))}) backward(y, receive);
        std::vector<double> gradients = {a->gradient, c->gradient, d->gradient, w->gradient};
        fmt::print("   {:<22}{:>11}{:>13}{:>11}{:>19}\n", name, gradients[0], gradients[1], gradients[2], gradients[3]);
        return gradients;
    };
    const std::vector<double> right = row("+=", add_share), wrong = row("=", assign_share);
    claims.check(right == std::vector<double>{4, 2, 6, 13}, "+= is right in all four");
    claims.check(wrong == std::vector<double>{4, 1, 3, 6}, "= is right only where each value is used once");
}

// ---- 5. Downhill -----------------------------------------------------------------------------------------------------------

template <class Number>
Number valleys(const Number& w) {
    const Number square = w * w, fourth = square * square;    // one by one: C++ leaves open which side of a - it computes first
    return fourth - 4 * square + w;
}

// What learning is, for one number: the beats of a training step. (With many numbers there is one more, clip.)
Series descend(const std::string& name, double start, int steps, Receive* receive) {
    Value w(start);
    Series way{name, {start}, {valleys(start)}};
    for (int step = 0; step < steps; ++step) {
        w->gradient = 0;                            // zero_grad
        const Value loss = valleys(w);              // loss
        backward(loss, receive);                    // backward
        w->value -= learning_rate * w->gradient;    // step
        way.xs.push_back(w->value);
        way.ys.push_back(valleys(w->value));
    }
    return way;
}

// At most 21 points of a way, and none outside the picture.
Series thinned(const Series& way, double edge) {
    Series few{way.name, {}, {}};
    const std::size_t stride = (way.xs.size() + 19) / 20;
    for (std::size_t i = 0; i < way.xs.size(); i += stride) {
        if (!(std::abs(way.xs[i]) <= edge)) continue;
        few.xs.push_back(way.xs[i]);
        few.ys.push_back(way.ys[i]);
    }
    return few;
}

void show_descents(const Options& options, Claims& claims) {
    constexpr double edge = 2;
    const Series ways[] = {descend("from 2, with =", 2, options.steps, assign_share),
                           descend("from 2", 2, options.steps, add_share), descend("from 0", 0, options.steps, add_share)};
    Series curve{"w^4 - 4 w^2 + w", {}, {}};
    for (int i = 0; i <= 120; ++i) {
        curve.xs.push_back(edge * (i - 60) / 60);
        curve.ys.push_back(valleys(curve.xs.back()));
    }
    LineChart chart{.title = "Three descents",
                    .x_label = "w",
                    .y_label = "f(w)",
                    .series = {curve},
                    .y_min = -6,
                    .y_max = 2,
                    .overlay = true};
    fmt::print("\n4. {} steps of -{} times the gradient\n", options.steps, learning_rate);
    for (const Series& way : ways) {
        chart.series.push_back(thinned(way, edge));
        const double w = way.xs.back();
        fmt::print("   {:<14} ends at w = {:6.3f}, f(w) = {:6.3f}, where the slope is {:6.3f}\n", way.name, w, way.ys.back(),
                   4 * w * w * w - 8 * w + 1);
    }
    fmt::print("{}", terminal::line_chart(chart, terminal::style_of(stdout), 9));
    if (!options.out.empty()) {
        write_file(options.out / "descents.svg", svg::line_chart(chart));
        fmt::print("   picture: {}\n", (options.out / "descents.svg").string());
    }
    if (options.usual || options.quick) {
        claims.check(std::abs(ways[1].xs.back() - 1.347) < 0.001, "from 2 it ends in the right valley");
        claims.check(std::abs(ways[2].xs.back() + 1.473) < 0.001, "from 0 it ends in the left valley");
        claims.check(ways[0].ys.back() > ways[1].ys.back() + 1, "with = it does not stay in the valley");
    }
}

int chain_rule(const Options& options) {
    Claims claims;
    show_graph(claims);
    compare_orders(claims);
    compare_receivers(claims);
    show_descents(options, claims);
    return claims.report();
}

}    // namespace

int main(int argc, char** argv) {
    return run_program(argc, argv,
                       {.name = "01_chain_rule",
                        .question = "How does a program differentiate itself?",
                        .steps = 40,
                        .quick_steps = 40,
                        .out = {},
                        .data = {},
                        .own = {}},
                       chain_rule);
}

// Exercises (solutions/01_chain_rule.md)
//   1. Let loss_of return error * error * error + w. Work out the three gradients on paper, put them into checks, and run.
//   2. In a debugger: watch the gradient of w in the first section. Which values pay into it, how much, and in which order?
//   3. Derivatives can also be carried forward: each value takes its slope along one leaf with it. Write such a Number for
//      loss_of. How many runs does it need for the three gradients, and how many for the 94,651 weights of 00?
//
// Break it: change one line, say what will happen, run
//   a->number > b->number             a->number < b->number: oldest first. Which of the tables notices?
//   w->gradient = 0;                  leave it out: each step follows the gradients of all steps so far
//   learning_rate = 0.02              learning_rate = 0.12: steps six times as long
//   {b.scalar, -1}                    {b.scalar, 1}: a sign is wrong in the slope of a difference
//
// Questions
//   Which line sums the gradient of a value that is used twice?  gradient += share; in add_share. In lookback it is the += (or
//     the kernel accumulate) in the backward() of each op that used it.
//   Why may backward forget a value once its turn is over?  All that was made from it is newer and had its turn before: no more
//     shares can come.
//   Why is `=` right for a b?  Each of the two is used once, and a sum of one share is that share.
//   Each way by itself is right. Why does nobody do it?  There are 2^20 ways through 20 doublings, and 21 values.
//   What does one backward pass cost?  One visit a value, like the run itself, however many leaves there are. Small steps cost
//     two runs a leaf.
