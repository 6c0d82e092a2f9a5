// 03 backward_by_hand: What would I write without the engine?  (about 2 s)
//
// A net of two layers, its loss and its gradient, written three times: by hand, as loops over plain arrays without a graph, the
// way one does it in C; from the primitive ops of 02; and from the library's layers. The three must give the same numbers.
//
// What you will see   how little the three differ; what the loops of one step cost, counted, and what is saved by going back
//                     through logarithm and softmax at once; a heart that is learned from 512 points
// Shapes              B points, D = 2 coordinates, H hidden numbers, V = 2 answers (outside, inside)
//                     x (B, D), W1 (H, D), b1 (H), pre and hidden (B, H), W2 (V, H), b2 (V), logits and p (B, V)
// Predict             For each multiplication on the way forward, how many are there on the way back, in the first layer, and in
//                     the second? And is the way back through cross entropy cheaper than that through ln and softmax in turn?
// Break on            linear_backward, lookback::op::Linear::backward, lookback::op::CrossEntropy::backward
// Papers              Rumelhart et al. 1986, Nature 323, pages 533-536; Goodfellow et al. 2016, Deep Learning, section 6.5

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "lookback/draw/svg.h"
#include "lookback/nn/layers.h"
#include "lookback/ops/elementwise.h"
#include "lookback/ops/matmul.h"
#include "lookback/ops/shape.h"
#include "lookback/program/claims.h"
#include "lookback/program/file.h"
#include "lookback/program/interrupt.h"
#include "lookback/program/options.h"
#include "lookback/program/stopwatch.h"
#include "lookback/tensor/node.h"

using namespace lookback;

namespace {

constexpr int B = 512, D = 2, H = 32, V = 2;
constexpr real learning_rate = real(0.3);

// ---- 1. By hand: loops over arrays -----------------------------------------------------------------------------------------

// A number that counts what is done with it. The loops below are written for any Number: a real to compute, this one to count.
struct Counted {
    real value;
    Counted(real number = 0) : value(number) {}
    inline static long sums = 0, products = 0, functions = 0;    // + and -, * and /, exp and ln
};
Counted operator+(Counted a, Counted b) { return ++Counted::sums, a.value + b.value; }
Counted operator-(Counted a, Counted b) { return ++Counted::sums, a.value - b.value; }
Counted operator*(Counted a, Counted b) { return ++Counted::products, a.value * b.value; }
Counted operator/(Counted a, Counted b) { return ++Counted::products, a.value / b.value; }
Counted& operator+=(Counted& a, Counted b) { return a = a + b; }
bool operator<(Counted a, Counted b) { return a.value < b.value; }

// Those of the library: the C library's differ from machine to machine in the last bit.
real exp_of(real x) { return exp(Tensor::scalar(x)).item(); }
real log_of(real x) { return log(Tensor::scalar(x)).item(); }
Counted exp_of(Counted x) { return ++Counted::functions, exp_of(x.value); }
Counted log_of(Counted x) { return ++Counted::functions, log_of(x.value); }

// A forward function writes its output, a backward function adds to the gradients of its inputs.

// y_mn = b_n + sum_k x_mk W_nk
template <class Number>
void linear_forward(int M, int K, int N, const Number* x, const Number* W, const Number* b, Number* y) {
    for (int m = 0; m < M; ++m)
        for (int n = 0; n < N; ++n) {
            Number total = b[n];
            for (int k = 0; k < K; ++k) total += x[m * K + k] * W[n * K + k];
            y[m * N + n] = total;
        }
}

// dx_mk = sum_n dy_mn W_nk          dW_nk = sum_m dy_mn x_mk          db_n = sum_m dy_mn          (dx null: nobody asks)
template <class Number>
void linear_backward(int M, int K, int N, const Number* x, const Number* W, const Number* dy, Number* dx, Number* dW,
                     Number* db) {
    for (int m = 0; m < M; ++m)
        for (int n = 0; n < N; ++n) {
            const Number slope = dy[m * N + n];
            db[n] += slope;
            for (int k = 0; k < K; ++k) dW[n * K + k] += slope * x[m * K + k];
            for (int k = 0; k < K && dx; ++k) dx[m * K + k] += slope * W[n * K + k];
        }
}

// y = max(x, 0)                     dx = dy where y > 0                     (to compare is not counted)
template <class Number>
void relu_forward(int n, const Number* x, Number* y) {
    for (int i = 0; i < n; ++i) y[i] = x[i] < Number(0) ? Number(0) : x[i];
}
template <class Number>
void relu_backward(int n, const Number* y, const Number* dy, Number* dx) {
    for (int i = 0; i < n; ++i)
        if (Number(0) < y[i]) dx[i] += dy[i];
}

// p_v = e^{z_v - max z} / sum_u e^{z_u - max z}          loss = -1/M sum_m ln p_target
template <class Number>
Number cross_entropy_forward(int M, int classes, const Number* z, const int* targets, Number* p) {
    Number loss = 0;
    for (int m = 0; m < M; ++m, z += classes, p += classes) {
        const Number max = *std::max_element(z, z + classes);
        Number total = 0;
        for (int v = 0; v < classes; ++v) total += p[v] = exp_of(z[v] - max);
        for (int v = 0; v < classes; ++v) p[v] = p[v] / total;
        loss += log_of(total) - (z[targets[m]] - max);
    }
    return loss / Number(static_cast<real>(M));
}

// dz_v = (p_v - [v = target]) / M: softmax and logarithm fused. On paper nearly everything cancels.
template <class Number>
void cross_entropy_backward(int M, int classes, const Number* p, const int* targets, Number* dz) {
    for (int m = 0; m < M; ++m, p += classes, dz += classes)
        for (int v = 0; v < classes; ++v)
            dz[v] += (p[v] - Number(static_cast<real>(v == targets[m]))) / Number(static_cast<real>(M));
}

// The same one after the other: first dp_target = -1 / (M p_target), then dz_v = p_v (dp_v - sum_u dp_u p_u).
template <class Number>
void log_then_softmax_backward(int M, int classes, const Number* p, const int* targets, Number* dz) {
    for (int m = 0; m < M; ++m, p += classes, dz += classes) {
        std::vector<Number> dp(classes);
        dp[targets[m]] = Number(-1) / (Number(static_cast<real>(M)) * p[targets[m]]);
        Number total = 0;
        for (int v = 0; v < classes; ++v) total += dp[v] * p[v];
        for (int v = 0; v < classes; ++v) dz[v] += p[v] * (dp[v] - total);
    }
}

// All parameters in one block, and all their gradients in another one of the same layout.
constexpr int W1 = 0, b1 = W1 + H * D, W2 = b1 + H, b2 = W2 + V * H, parameters = b2 + V;

struct ByHand {
    std::vector<real> w, dw = std::vector<real>(parameters);
    std::vector<real> pre, hidden, logits, p, dpre, dhidden, dlogits;    // what the way back has to know, and what it finds

    explicit ByHand(std::vector<real> weights) : w(std::move(weights)) {}
    real forward(int M, const real* x, const int* targets) {
        for (std::vector<real>* each : {&pre, &hidden}) each->resize(M * H);
        for (std::vector<real>* each : {&logits, &p}) each->resize(M * V);
        linear_forward(M, D, H, x, &w[W1], &w[b1], &pre[0]);
        relu_forward(M * H, &pre[0], &hidden[0]);
        linear_forward(M, H, V, &hidden[0], &w[W2], &w[b2], &logits[0]);
        return cross_entropy_forward(M, V, &logits[0], targets, &p[0]);
    }
    // The same lines, the last one first.
    void backward(int M, const real* x, const int* targets) {
        for (std::vector<real>* each : {&dpre, &dhidden}) each->assign(M * H, 0);
        dlogits.assign(M * V, 0);
        cross_entropy_backward(M, V, &p[0], targets, &dlogits[0]);
        linear_backward(M, H, V, &hidden[0], &w[W2], &dlogits[0], &dhidden[0], &dw[W2], &dw[b2]);
        relu_backward(M * H, &hidden[0], &dhidden[0], &dpre[0]);
        linear_backward<real>(M, D, H, x, &w[W1], &dpre[0], nullptr, &dw[W1], &dw[b1]);
    }
};

// ---- 2. From primitives, and from the library ------------------------------------------------------------------------------

constexpr double edge = 3.75;

bool is_inside_heart(double x, double y) {
    const double u = x / 3, v = y / 2.6 + 0.2 - std::abs(u);
    return u * u + v * v < 1;
}

struct Points {
    Tensor x{Shape{B, D}}, one_hot{Shape{B, V}};
    Ids targets{{B}, std::vector<int>(B)};

    explicit Points(Random random) {
        for (int m = 0; m < B; ++m) {
            const double across = edge * (2 * random.uniform() - 1), up = edge * (2 * random.uniform() - 1);
            x.data()[m * D] = static_cast<real>(across);
            x.data()[m * D + 1] = static_cast<real>(up);
            targets.values[m] = is_inside_heart(across, up);
            one_hot.data()[m * V + targets.values[m]] = 1;
        }
    }
};

struct Mlp {
    Linear linear1, linear2;

    explicit Mlp(Random& random) : linear1(D, H, random), linear2(H, V, random) {}
    Tensor loss(const Tensor& x, const Ids& targets) const { return cross_entropy(linear2(relu(linear1(x))), targets); }
    void parameters(const Visit& visit) {
        linear1.parameters(within("linear1", visit));
        linear2.parameters(within("linear2", visit));
    }
};

// The same weights, and ops that do one thing each.
Tensor loss_from_primitives(const Mlp& mlp, const Tensor& x, const Tensor& one_hot) {
    const Tensor hidden = relu(matmul(x, transpose(mlp.linear1.weight)) + mlp.linear1.bias);    // (B, H)
    const Tensor logits = matmul(hidden, transpose(mlp.linear2.weight)) + mlp.linear2.bias;     // (B, V)
    Tensor max({B, 1});                                                                         // subtracted as in 02
    for (int m = 0; m < B; ++m) max.data()[m] = *std::max_element(logits.data() + m * V, logits.data() + (m + 1) * V);
    const Tensor z = logits - max;
    const Tensor log_total = log(sum(exp(z), 1)), right = sum(z * one_hot, 1);    // (B)
    return mean(log_total - right);
}

std::vector<real> weights_of(Mlp& mlp) {
    std::vector<real> all;
    for (const Tensor& w : parameters_of(mlp)) all.insert(all.end(), w.data(), w.data() + w.size());
    return all;
}

// ---- 3. The same numbers? --------------------------------------------------------------------------------------------------

// As a share of the largest number.
double largest_difference(const real* ours, const real* theirs, std::size_t size) {
    double difference = 0, largest = 0;
    for (std::size_t i = 0; i < size; ++i) {
        const double each = std::abs(static_cast<double>(ours[i]) - static_cast<double>(theirs[i]));
        if (each > difference || std::isnan(each)) difference = each;    // and once NaN, it stays NaN
        largest = std::max(largest, std::abs(static_cast<double>(theirs[i])));
    }
    return difference / largest;
}

// The nodes of the graph and the numbers they hold, half of them values and half gradients. (What an op keeps for itself, such as
// p in cross_entropy, is not in it.)
std::string graph_text(const Tensor& loss) {
    std::size_t nodes = 0, numbers = 0;
    for (const Node* node : graph_of(loss)) {
        nodes += node->id > 0;    // 0: a leaf
        numbers += node->id > 0 ? 2 * node->size : 0;
    }
    return fmt::format("{} and {}", nodes, count_text(static_cast<long>(numbers)));
}

void compare(ByHand& hand, Mlp& primitive, Mlp& mlp, const Points& points, Claims& claims) {
    const real loss_by_hand = hand.forward(B, points.x.data(), &points.targets.values[0]);
    hand.backward(B, points.x.data(), &points.targets.values[0]);
    zero_grad(primitive);
    const Tensor loss_of_primitives = loss_from_primitives(primitive, points.x, points.one_hot);
    backward(loss_of_primitives);
    zero_grad(mlp);
    const Tensor loss = mlp.loss(points.x, points.targets);
    backward(loss);

    fmt::print("1. {} -> {} -> {} numbers, {} points: relative difference to the library's\n", D, H, V, B);
    fmt::print("   {:<28}{:>14}{:>17}{:>15}\n", "", "by hand", "primitives", "library");
    const auto row = [&](const std::string& name, const real* by_hand, const real* primitives, const real* theirs,
                         std::size_t n) {
        const double first = largest_difference(by_hand, theirs, n), second = largest_difference(primitives, theirs, n);
        fmt::print("   {:<28}{:>14.0e}{:>17.0e}{:>15}\n", name, first, second, "-");
        claims.check(first < 1e-5 && second < 1e-5, "the three compute the same: " + name);
    };
    row(fmt::format("loss, {:.4f}", loss.item()), &loss_by_hand, loss_of_primitives.data(), loss.data(), 1);
    const std::vector<Tensor> a = parameters_of(primitive), b = parameters_of(mlp);
    const real* by_hand = &hand.dw[0];
    for (std::size_t i = 0; i < b.size(); by_hand += b[i++].size())
        row("gradient of " + b[i].node->name, by_hand, a[i].grad(), b[i].grad(), b[i].size());
    const std::size_t numbers = 2 * (hand.pre.size() + hand.hidden.size() + hand.logits.size()) + hand.p.size();
    fmt::print("   {:<28}{:>14}{:>17}{:>15}\n", "graph nodes, numbers kept", "0 and " + count_text(static_cast<long>(numbers)),
               graph_text(loss_of_primitives), graph_text(loss));
}

// ---- 4. What a step costs --------------------------------------------------------------------------------------------------

// Prints what a function does on the way forward and on the way back, and returns the products of both.
template <class Forward, class Backward>
std::pair<long, long> print_costs(const char* name, const Forward& forward, const Backward& backward) {
    Counted::sums = Counted::products = Counted::functions = 0;
    forward();
    const long sums = Counted::sums, products = Counted::products;
    fmt::print("   {:<29}{:>8}{:>8}{:>8}", name, sums, products, Counted::functions);
    backward();
    fmt::print("{:>12}{:>8}\n", Counted::sums - sums, Counted::products - products);
    return {products, Counted::products - products};
}

void show_costs(Claims& claims) {
    constexpr int words = 219;    // as many as the translators of this course know
    const std::vector<int> targets(B, 0);
    std::vector<Counted> x(B * D, 1), w(parameters, 1), dw(parameters), h(B * H, 1), dh(B * H), z(B * words), p(B * words);
    fmt::print("\n2. Operations of a step by hand, counted{:>16}{:>20}\n", "forward", "backward");
    fmt::print("   {:<29}{:>8}{:>8}{:>8}{:>12}{:>8}\n", "", "+ -", "* /", "exp ln", "+ -", "* /");
    const auto first = print_costs(
        "linear1", [&] { linear_forward(B, D, H, &x[0], &w[W1], &w[b1], &h[0]); },
        [&] { linear_backward<Counted>(B, D, H, &x[0], &w[W1], &h[0], nullptr, &dw[W1], &dw[b1]); });
    print_costs(
        "relu", [&] { relu_forward(B * H, &h[0], &h[0]); }, [&] { relu_backward(B * H, &h[0], &h[0], &dh[0]); });
    const auto second = print_costs(
        "linear2", [&] { linear_forward(B, H, V, &h[0], &w[W2], &w[b2], &z[0]); },
        [&] { linear_backward(B, H, V, &h[0], &w[W2], &z[0], &dh[0], &dw[W2], &dw[b2]); });
    const auto entropy = [&](int M, int classes) { cross_entropy_forward(M, classes, &z[0], &targets[0], &p[0]); };
    print_costs(
        "cross entropy", [&] { entropy(B, V); }, [&] { cross_entropy_backward(B, V, &p[0], &targets[0], &z[0]); });
    const auto fused = print_costs(
        "1 word of 219, fused", [&] { entropy(1, words); }, [&] { cross_entropy_backward(1, words, &p[0], &targets[0], &z[0]); });
    const auto apart = print_costs(
        "1 word of 219, one by one", [&] { entropy(1, words); },
        [&] { log_then_softmax_backward(1, words, &p[0], &targets[0], &z[0]); });
    claims.check(first.second == first.first && second.second == 2 * second.first, "each gradient costs as much as the output");
    claims.check(apart.second >= 2 * fused.second, "fused, the way back takes half the products");

    const real logits[] = {0, 200};
    real shares[2], of_fused[2] = {}, of_apart[2] = {};
    cross_entropy_forward(1, 2, logits, &targets[0], shares);
    cross_entropy_backward(1, 2, shares, &targets[0], of_fused);
    log_then_softmax_backward(1, 2, shares, &targets[0], of_apart);
    fmt::print("   For logits 0 and 200, the first being right: fused {} and {}, one by one {}\n", of_fused[0], of_fused[1],
               std::isnan(of_apart[0]) ? "NaN" : fmt::format("{} and {}", of_apart[0], of_apart[1]));
    claims.check(of_fused[0] == -1 && of_fused[1] == 1 && std::isnan(of_apart[0]), "fused, nothing is divided by p = 0");
}

// ---- 5. They learn ---------------------------------------------------------------------------------------------------------

// The beats of a training step: zero_grad, loss, backward, step. (With larger nets there is one more, clip.)
real train_by_hand(ByHand& hand, const Points& points, int steps) {
    real loss = 0;
    for (int step = 0; step < steps && !interrupted(); ++step) {
        std::ranges::fill(hand.dw, real(0));
        loss = hand.forward(B, points.x.data(), &points.targets.values[0]);
        hand.backward(B, points.x.data(), &points.targets.values[0]);
        for (int i = 0; i < parameters; ++i) hand.w[i] -= learning_rate * hand.dw[i];
    }
    return loss;
}

template <class LossOf>
real train(Mlp& mlp, int steps, const LossOf& loss_of) {
    real last = 0;
    for (int step = 0; step < steps && !interrupted(); ++step) {
        zero_grad(mlp);
        const Tensor loss = loss_of();
        backward(loss);
        for (const Tensor& w : parameters_of(mlp))
            for (std::size_t i = 0; i < w.size(); ++i) w.data()[i] -= learning_rate * w.grad()[i];
        last = loss.item();
    }
    return last;
}

// p of "inside" over the square, from its upper left corner; the truth where there are no weights.
std::vector<double> picture(const std::vector<real>& weights, int rows, int columns) {
    std::vector<double> shares;
    ByHand hand(weights);
    for (int row = 0; row < rows; ++row)
        for (int column = 0; column < columns; ++column) {
            const double x = edge * ((2 * column + 1.0) / columns - 1), y = edge * (1 - (2 * row + 1.0) / rows);
            const real point[D] = {static_cast<real>(x), static_cast<real>(y)};
            const int any = 0;
            if (!weights.empty()) hand.forward(1, point, &any);
            shares.push_back(weights.empty() ? is_inside_heart(x, y) : static_cast<double>(hand.p[1]));
        }
    return shares;
}

const char* shade(double share) { return share < 0.1 ? "·" : share < 0.5 ? "░" : share < 0.9 ? "▒" : "█"; }

void learn(ByHand& hand, Mlp& primitive, Mlp& mlp, const Points& points, const Options& options, Claims& claims) {
    fmt::print("\n3. {:<25}{:>14}{:>17}{:>15}\n", fmt::format("After {} steps", options.steps), "by hand", "primitives",
               "library");
    const real of_hand = train_by_hand(hand, points, options.steps);
    const real of_primitives =
        train(primitive, options.steps, [&] { return loss_from_primitives(primitive, points.x, points.one_hot); });
    const real of_library = train(mlp, options.steps, [&] { return mlp.loss(points.x, points.targets); });
    const std::vector<real> theirs = weights_of(mlp);
    const double first = largest_difference(&hand.w[0], &theirs[0], parameters);
    const double second = largest_difference(&weights_of(primitive)[0], &theirs[0], parameters);
    fmt::print("   {:<25}{:>14.4f}{:>17.4f}{:>15.4f}\n", "loss", of_hand, of_primitives, of_library);
    fmt::print("   {:<25}{:>14.0e}{:>17.0e}{:>15}\n", "difference of weights", first, second, "-");
    if (options.usual) claims.check(first < 1e-3 && second < 1e-3, "all three end with the same weights");

    constexpr int rows = 12, columns = 36;
    const std::vector<double> heart = picture({}, rows, columns), learned = picture(hand.w, rows, columns);
    int right = 0;
    for (int top = 0; top < rows * columns; top += columns) {
        std::string line[2];
        for (int i = top; i < top + columns; ++i) {
            line[0] += shade(heart[i]);
            line[1] += shade(learned[i]);
            right += (heart[i] > 0.5) == (learned[i] > 0.5);
        }
        fmt::print("   {}   {}\n", line[0], line[1]);
    }
    fmt::print("   left the heart, right what the loops made of it: {:.1f} % of it is right\n", 100.0 * right / (rows * columns));
    if (options.usual) claims.check(right > 0.95 * rows * columns, "the heart is learned");
    if (options.out.empty()) return;
    const std::vector<std::string> blank(25);
    const AttentionMap left{"what is true", blank, blank, picture({}, 25, 25), {}, "where in a square a point is inside a heart"};
    const AttentionMap after{
        fmt::format("what {} weights learned", parameters), blank, blank, picture(hand.w, 25, 25), {}, left.about};
    write_file(options.out / "heart.svg", svg::small_multiples("A heart, learned by hand", {left, after}, 2));
}

int backward_by_hand(const Options& options) {
    Claims claims;
    Random random(options.seed), again(options.seed);
    Mlp mlp(random), primitive(again);    // the same weights
    ByHand hand(weights_of(mlp));
    const Points points(random);
    compare(hand, primitive, mlp, points, claims);
    show_costs(claims);
    learn(hand, primitive, mlp, points, options, claims);
    return claims.report();
}

}    // namespace

int main(int argc, char** argv) {
    return run_program(argc, argv,
                       {.name = "03_backward_by_hand",
                        .question = "What would I write without the engine?",
                        .steps = 1500,
                        .quick_steps = 30,
                        .out = {},
                        .data = {},
                        .own = {}},
                       backward_by_hand);
}

// Exercises (solutions/03_backward_by_hand.md)
//   1. In a debugger: watch one element of dW in the first linear_backward. How many shares does it get, and from where?
//   2. The first column of the first table is not quite 0. lookback adds the products in the same order, but multiplies and adds
//      with one rounding, fma(a, b, c). Do the same by hand. What is left of the difference, and after 1500 steps?
//   3. Write layer_norm_forward and layer_norm_backward over plain arrays, and compare them with the library's op.
//
// Break it: change one line, say what will happen, run
//   dW[n * K + k] += slope            dW[n * K + k] = slope: the last one wins
//   if (Number(0) < y[i])             if (Number(-1) < y[i]): relu passes all that arrives
//   std::ranges::fill(hand.dw, ...    leave it out: the gradients of all steps pile up
//   linear_backward(M, H, V, &hidden  linear_backward(M, H, V, &pre: the values from before relu
//
// Questions
//   Why does linear_backward need x and W, and not y?  y is linear in both: the slope along the one is the other. relu's backward
//     needs its output, and cross entropy's its p.
//   Where do the loops say that a weight is used by all points?  dW[n * K + k] += ... stands in a loop over m that it does not
//     name: the sum over the batch is 01's sum over the uses of a value.
//   Why does the way back cost as much as the way forward in the first layer, and twice as much in the second?  dW costs as much
//     as y, and so does dx. But in the first layer nobody asks for dx: x is data.
//   Why is p - [v = target] half the work?  Softmax's slope has a factor p_target, and the logarithm's divides by it. On paper they
//     cancel; in floats they do only as long as p_target is not 0.
//   The same numbers to 1e-7, but in the end weights that differ by 1e-5. Why?  Each step adds a rounding of its own, and a point
//     close to the edge of a relu may fall on its other side.
