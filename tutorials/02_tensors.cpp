// 02 tensors: What changes with shapes?  (about 1 s)
//
// A tensor is many numbers under one shape, and an op on tensors is many steps of 01 at once. The chain rule stays what it was.
// What is new: which numbers of the input reach which of the output, and that the way back has to add up wherever the way
// forward has repeated. Nobody gets all of that right at once, so here is also how to find out: by small steps.
//
// What you will see   what broadcasting sums on the way back; five ops as pictures of their slopes; matmul's two products;
//                     softmax at 10,000; layer norm; twelve gradients checked, one of them wrong; where a NaN was born
// Shapes              x (2, 3), row (3), column (2, 1), number (): aligned at the last dimension, and sizes of 1 are repeated
// Predict             The outputs of a softmax sum to 1, whatever goes in. What is then the gradient of sum(softmax(x))? And
//                     which mistakes in softmax's backward does a check of that sum find?
// Break on            lookback::op::Expand::backward, lookback::op::Matmul::backward, WrongSoftmax::backward
// Papers              Ba et al. 2016, arXiv:1607.06450, eq. 3; Goodfellow et al. 2016, Deep Learning, sections 4.1 and 11.5

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "lookback/draw/svg.h"
#include "lookback/ops/elementwise.h"
#include "lookback/ops/matmul.h"
#include "lookback/ops/shape.h"
#include "lookback/ops/softmax.h"
#include "lookback/program/claims.h"
#include "lookback/program/file.h"
#include "lookback/program/options.h"
#include "lookback/tensor/debugger.h"
#include "lookback/tensor/gradient_check.h"
#include "lookback/tensor/node.h"

using namespace lookback;

namespace {

double largest_difference(const real* a, const real* b, std::size_t size) {
    double largest = 0;
    for (std::size_t i = 0; i < size; ++i) {
        const double difference = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
        if (difference > largest || std::isnan(difference)) largest = difference;    // and once NaN, it stays NaN
    }
    return largest;
}

void print_line(std::string text) {
    text.erase(text.find_last_not_of(' ') + 1);
    fmt::print("{}\n", text);
}

// ---- 1. Broadcasting -------------------------------------------------------------------------------------------------------

// A row that is added to two rows is used twice, and so gets the sum of two shares. The loss weighs each y, so its weights are
// what arrives: dy.
void show_broadcasting(Claims& claims) {
    const Tensor x = Tensor({2, 3}).requires_grad(), row = Tensor({3}).requires_grad();
    const Tensor column = Tensor({2, 1}).requires_grad(), number = Tensor(Shape{}).requires_grad();
    const Tensor weights({2, 3}, {1, 2, 3, 4, 5, 6});
    const Tensor y = x + row + column + number;
    backward(sum(y * weights));
    const real *dy = y.grad(), *drow = row.grad(), *dcolumn = column.grad(), *dnumber = number.grad();
    fmt::print("1. y = x + row + column + number: what was repeated is summed on the way back\n");
    fmt::print("   dy {0}      {1:5}{2:5}{3:5}{4:8}  dcolumn {5}\n", to_string(y.shape()), dy[0], dy[1], dy[2], dcolumn[0],
               to_string(column.shape()));
    fmt::print("                  {:5}{:5}{:5}{:8}\n", dy[3], dy[4], dy[5], dcolumn[1]);
    fmt::print("   drow {}       {:5}{:5}{:5}{:8}  dnumber {}\n", to_string(row.shape()), drow[0], drow[1], drow[2], dnumber[0],
               to_string(number.shape()));
    claims.check(std::equal(dy, dy + 6, weights.data()) && std::equal(dy, dy + 6, x.grad()), "dx = dy = the weights of the loss");
    for (int j = 0; j < 3; ++j) claims.check(drow[j] == dy[j] + dy[3 + j], "drow sums over the rows");
    for (int i = 0; i < 2; ++i) claims.check(dcolumn[i] == dy[3 * i] + dy[3 * i + 1] + dy[3 * i + 2], "dcolumn sums over a row");
    claims.check(dnumber[0] == 21, "dnumber sums over all");
}

// ---- 2. Slopes as pictures -------------------------------------------------------------------------------------------------

// Between tensors the slope is a table (the Jacobian), dy_i/dx_j. Nobody makes it: backward goes straight to dx_j, the sum over i
// of what arrives at y_i times dy_i/dx_j. Here a loss of y_i alone brings row i of it to light.
std::vector<double> slopes(const std::function<Tensor(const Tensor&)>& f, Tensor x) {
    std::vector<double> table;
    for (int i = 0; i < static_cast<int>(x.size()); ++i) {
        x.zero_grad();
        backward(select(reshape(f(x), {-1}), 0, i));
        table.insert(table.end(), x.grad(), x.grad() + x.size());
    }
    return table;
}

// A share of the largest slope; what is only rounding counts as nothing.
const char* shade(double share) {
    return share < 1e-5 ? "· " : share < 0.1 ? "░░" : share < 0.3 ? "▒▒" : share < 0.6 ? "▓▓" : "██";
}

void show_slopes(const Options& options, Claims& claims) {
    Random random(options.seed);
    const Tensor x = Tensor::normal({2, 3}, 1, random).requires_grad(), W = Tensor::normal({3, 3}, 1, random);
    const Tensor ones({3}, {1, 1, 1}), zeros({3});
    const std::vector<std::pair<const char*, std::function<Tensor(const Tensor&)>>> ops = {
        {"tanh x", [](const Tensor& z) { return tanh(z); }},
        {"transpose x", [](const Tensor& z) { return transpose(z); }},
        {"x W", [&](const Tensor& z) { return matmul(z, W); }},
        {"softmax x", [](const Tensor& z) { return softmax(z); }},
        {"layer_norm x", [&](const Tensor& z) { return layer_norm(z, ones, zeros); }}};
    std::vector<std::string> lines(8);    // names, six rows, |their sum|
    std::vector<AttentionMap> maps;
    std::vector<double> largest_sums;
    for (const auto& [name, f] : ops) {
        const std::vector<double> table = slopes(f, x);
        AttentionMap map{.title = name,
                         .rows = {"y1", "y2", "y3", "y4", "y5", "y6"},
                         .columns = {"x1", "x2", "x3", "x4", "x5", "x6"},
                         .weights = {},
                         .gold = {},
                         .about = "row i, column j: |dy_i/dx_j| as a share of the largest in the table"};
        const double largest = std::max(std::ranges::max(table), -std::ranges::min(table));
        std::vector<double> sums(6);
        for (std::size_t i = 0; i < table.size(); ++i) {
            map.weights.push_back(std::abs(table[i]) / largest);
            sums[i % 6] += table[i] / largest;
        }
        lines[0] += fmt::format("   {:<12}", name);
        for (int i = 0; i < 7; ++i) {
            lines[1 + i] += "   ";
            for (int j = 0; j < 6; ++j) lines[1 + i] += shade(i < 6 ? map.weights[6 * i + j] : std::abs(sums[j]));
        }
        largest_sums.push_back(std::max(std::ranges::max(sums), -std::ranges::min(sums)));
        maps.push_back(map);
    }
    fmt::print("\n2. x (2, 3) -> y: |dy_i/dx_j|, a backward pass a row; last, |sum_i dy_i/dx_j|\n");
    for (const std::string& line : lines) print_line(line);
    if (!options.out.empty()) write_file(options.out / "slopes.svg", svg::small_multiples("Which number reaches which", maps, 5));
    claims.check(largest_sums[0] > 1e-3 && largest_sums[2] > 1e-3, "a bare sum sees tanh and matmul");
    claims.check(largest_sums[3] < 1e-5 && largest_sums[4] < 1e-5, "a bare sum sees nothing of softmax and layer norm");
}

// ---- 3. Matrix product -----------------------------------------------------------------------------------------------------

// y_mn = sum_k a_mk b_kn. So a_mk reaches the row y_m, each with the factor b_kn: da_mk = sum_n dy_mn b_kn.
void show_matmul(const Options& options, Claims& claims) {
    Random random(options.seed + 1);
    const Tensor a = Tensor::normal({2, 3}, 1, random).requires_grad(), b = Tensor::normal({3, 4}, 1, random).requires_grad();
    const Tensor y = matmul(a, b);
    const Tensor dy = Tensor::normal(y.shape(), 1, random);
    backward(sum(y * dy));
    const Tensor da = matmul(dy, transpose(b)), db = matmul(transpose(a), dy);
    const double of_a = largest_difference(da.data(), a.grad(), a.size()),
                 of_b = largest_difference(db.data(), b.grad(), b.size());
    fmt::print("\n3. y = a b, (2, 4) = (2, 3)(3, 4): back by two products; the shapes say which\n");
    fmt::print("   da = dy b^T    (2, 3) = (2, 4)(4, 3)    differs from backward by {}\n", of_a);
    fmt::print("   db = a^T dy    (3, 4) = (3, 2)(2, 4)    differs from backward by {}\n", of_b);
    claims.check(of_a == 0 && of_b == 0, "matmul's backward is two products");
}

// ---- 4. Softmax ------------------------------------------------------------------------------------------------------------

Tensor plain_softmax(const Tensor& x) {
    const Tensor e = exp(x);
    return e / sum(e);
}

// A shift of all x divides out again, so there is one that costs nothing: none is above 0 now, and no e^x above 1.
Tensor shifted_softmax(const Tensor& x) { return plain_softmax(x - static_cast<double>(std::ranges::max(x.values()))); }

std::string in_words(const Tensor& x) {
    std::string text;
    for (const real number : x.values()) text += fmt::format("{:<7}", std::isnan(number) ? "nan" : fmt::format("{:.3g}", number));
    return text;
}

void show_softmax(Claims& claims) {
    fmt::print("\n4. Softmax of x           e^x / sum e^x             the same, of x - max x\n");
    for (const real top : {real(2), real(10000)}) {
        const Tensor x({3}, {top - 2, top - 1, top});
        const Tensor plain = plain_softmax(x), shifted = shifted_softmax(x);
        print_line(fmt::format("   {:<7}{:<7}{:<9}{:<26}{}", top - 2, top - 1, top, in_words(plain), in_words(shifted)));
        claims.check(std::isnan(plain.data()[2]) == (top > 88), "e^x overflows above 88.7, and inf / inf is NaN");
        claims.check(largest_difference(shifted.data(), softmax(x).data(), 3) < 1e-6, "the library's softmax is the shifted one");
    }
}

// ---- 5. Layer norm ---------------------------------------------------------------------------------------------------------

// Mean 0 and variance 1 in each row of x (B, C). A row's mean and variance depend on all of it, and so does each gradient.
Tensor normed(const Tensor& x) {
    const Shape column = {x.size(0), 1};
    const Tensor centred = x - reshape(mean(x, 1), column);
    const Tensor variance = reshape(mean(centred * centred, 1), column);
    return centred / sqrt(variance + 1e-5);
}

void show_layer_norm(Claims& claims) {
    const Tensor x = Tensor({1, 4}, {1, 2, 3, 6}).requires_grad(), twin = Tensor({1, 4}, {1, 2, 3, 6}).requires_grad();
    const Tensor ones({4}, {1, 1, 1, 1}), zeros({4}), dy({1, 4}, {0.5, -1, 2, 1});
    const Tensor y = normed(x), theirs = layer_norm(twin, ones, zeros), scaled = normed(x * 100 + 7);
    backward(sum(y * dy));
    backward(sum(theirs * dy));
    const Tensor dx({1, 4}, {x.grad(), x.grad() + 4});
    const auto deviation = [](const Tensor& z) { return sqrt(mean((z - mean(z)) * (z - mean(z)))).item(); };
    const real shift = sum(dx).item(), scale = sum(dx * y).item();
    const double of_scaled = largest_difference(y.data(), scaled.data(), 4);
    const double of_y = largest_difference(y.data(), theirs.data(), 4), of_dx = largest_difference(dx.data(), twin.grad(), 4);
    fmt::print("\n5. Layer norm of 1 2 3 6: mean {:.2f}, deviation {:.2f} -> {:.2f} and {:.2f}\n", mean(x).item(), deviation(x),
               std::abs(mean(y).item()), deviation(y));
    fmt::print("   100 x + 7 gives the same (to {:.0e}), so dx asks for no shift (sum dx {:.0e})\n", of_scaled, shift);
    fmt::print("   and no scale (sum dx y {:.0e}). lookback's y differs by {:.0e}, dx by {:.0e}\n", scale, of_y, of_dx);
    claims.check(of_scaled < 1e-4 && std::abs(shift) < 1e-5 && std::abs(scale) < 1e-5, "layer norm ignores shift and scale");
    claims.check(of_y < 1e-5 && of_dx < 1e-5, "layer norm from primitives is the library's");
}

// ---- 6. Checked by small steps ---------------------------------------------------------------------------------------------

// y_i = e^{x_i} / sum_j e^{x_j}             dx_i = y_i (dy_i - sum_j dy_j y_j), but the first y_i was forgotten
struct WrongSoftmax final : Node {
    void forward() override { std::ranges::copy(softmax(inputs[0]).values(), data); }
    void backward() override {
        const real *y = data, *dy = grad;
        real* dx = grad_of(0);
        const std::size_t n = static_cast<std::size_t>(shape.back());
        for (std::size_t row = 0; row < size; row += n) {
            real total = 0;
            for (std::size_t j = row; j < row + n; ++j) total += dy[j] * y[j];
            for (std::size_t i = row; i < row + n; ++i) dx[i] += dy[i] - total;
        }
    }
};
Tensor wrong_softmax(const Tensor& x) { return record(new WrongSoftmax, "wrong_softmax", x.shape(), {x}, Where::current()); }

struct Worst {
    double error = 0, backward = 0, numeric = 0;
    std::string where;
};

// A loss is one number, and how f becomes one decides what can be seen: a bare sum weighs all numbers of f alike, a random
// projection each in its own way.
Worst check(const std::function<Tensor()>& f, const std::vector<Tensor>& leaves, bool project) {
    constexpr double step = 1e-2;    // floats have 7 digits: a smaller step drowns in rounding, a larger one cuts corners
    Random random(20170612);
    const Tensor y = f();
    const Tensor weights = project ? Tensor::normal(y.shape(), 1, random) : Tensor(y.shape(), std::vector<real>(y.size(), 1));
    for (Tensor leaf : leaves) leaf.zero_grad();
    backward(sum(y * weights));
    const auto loss_at = [&](real& element, double value) {
        const real before = element;
        element = static_cast<real>(value);
        const Tensor moved = f();
        element = before;
        double loss = 0;
        for (std::size_t i = 0; i < moved.size(); ++i)
            loss += static_cast<double>(moved.data()[i]) * static_cast<double>(weights.data()[i]);
        return loss;
    };
    Worst worst;
    for (const Tensor& leaf : leaves)
        for (std::size_t i = 0; i < leaf.size(); ++i) {
            real& element = leaf.data()[i];
            const double x = static_cast<double>(element), backward = static_cast<double>(leaf.grad()[i]);
            const double numeric = (loss_at(element, x + step) - loss_at(element, x - step)) / (2 * step);
            const double error = std::abs(backward - numeric) / std::max({1.0, std::abs(backward), std::abs(numeric)});
            if (error >= worst.error || std::isnan(error))
                worst = {error, backward, numeric, fmt::format("{}[{}]", leaf.node->name, i)};
        }
    return worst;
}

void show_checks(Claims& claims) {
    Random random(4);    // whatever the seed: a check should not depend on luck
    const auto leaf = [&](const char* name, Shape shape) {
        return Tensor::uniform(std::move(shape), 0.5, 2, random).named(name).requires_grad();
    };
    const Tensor x = leaf("x", {2, 3}), row = leaf("row", {3}), column = leaf("column", {2, 1}), b = leaf("b", {3, 4});
    struct Row {
        const char* name;
        std::function<Tensor()> f;
        std::vector<Tensor> leaves;
    };
    const std::vector<Row> rows = {{"x + row", [&] { return x + row; }, {x, row}},
                                   {"x - column", [&] { return x - column; }, {x, column}},
                                   {"x * row", [&] { return x * row; }, {x, row}},
                                   {"x / column", [&] { return x / column; }, {x, column}},
                                   {"exp x", [&] { return exp(x); }, {x}},
                                   {"log x", [&] { return log(x); }, {x}},
                                   {"tanh x", [&] { return tanh(x); }, {x}},
                                   {"x b", [&] { return matmul(x, b); }, {x, b}},
                                   {"sum over rows", [&] { return sum(x, 0); }, {x}},
                                   {"layer_norm", [&] { return layer_norm(x, row, row); }, {x, row}},
                                   {"softmax", [&] { return softmax(x); }, {x}},
                                   {"wrong softmax", [&] { return wrong_softmax(x); }, {x}}};
    fmt::print("\n6. backward against small steps: error by bare sum, by projection, and where\n");
    std::vector<std::string> lines(rows.size() / 2);
    constexpr double limit = 2e-3;
    bool blind = true, seeing = true, agree = true;
    Worst last;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const Worst bare = check(rows[i].f, rows[i].leaves, false);
        last = check(rows[i].f, rows[i].leaves, true);
        lines[i % lines.size()] += fmt::format("   {:<13}{:6.0e}{:7.0e} {:<9}", rows[i].name, bare.error, last.error, last.where);
        blind &= bare.error < limit;
        seeing &= (last.error < limit) == (i + 1 < rows.size());
        agree &= (last.error < limit) == (check_gradient(rows[i].f, rows[i].leaves).worst < limit);
    }
    for (const std::string& line : lines) print_line(line);
    fmt::print("   wrong: at {} backward says {:.3f}, the steps {:.3f}\n", last.where, last.backward, last.numeric);
    claims.check(blind, "a bare sum finds nothing wrong anywhere");
    claims.check(seeing, "a projection finds the one that is wrong, and no other");
    claims.check(agree, "the library's check_gradient says the same");
}

// ---- 7. A NaN --------------------------------------------------------------------------------------------------------------

void show_nan(Claims& claims) {
    restart_node_ids();
    const Tensor x = Tensor({3}, {0, 100, 200}).requires_grad(), target({3}, {0, 0, 1});
    const Tensor log_p = log(softmax(x));        // e^-200 is 0 in a float, and log 0 is -inf;
    const Tensor loss = -sum(target * log_p);    // 0 times -inf is NaN
    const std::string found = explain_not_finite(loss);
    const Tensor cured = -sum(target * log_softmax(x));
    fmt::print("\n7. The loss -sum(target * log(softmax(x))) is {}. Where was it born?\n   {}\n",
               std::isnan(loss.item()) ? "NaN" : "a number", found.substr(4));    // without its "the "
    fmt::print("   log_softmax(x) makes no such detour: the loss is {}\n", std::abs(cured.item()));
    claims.check(std::isnan(loss.item()) && cured.item() == 0, "log(softmax) is NaN, log_softmax is not");
    claims.check(found == "the first -inf is element (0) of #2 log (3), made at " + to_string(log_p.node->where),
                 "it was the log");
}

int tensors(const Options& options) {
    const Unchecked unchecked;    // 4 and 7 make a NaN on purpose, where a debug build would stop
    Claims claims;
    show_broadcasting(claims);
    show_slopes(options, claims);
    show_matmul(options, claims);
    show_softmax(claims);
    show_layer_norm(claims);
    show_checks(claims);
    show_nan(claims);
    return claims.report();
}

}    // namespace

int main(int argc, char** argv) {
    return run_program(argc, argv,
                       {.name = "02_tensors",
                        .question = "What changes with shapes?",
                        .steps = 0,
                        .quick_steps = 0,
                        .out = {},
                        .data = {},
                        .own = {}},
                       tensors);
}

// Exercises (solutions/02_tensors.md)
//   1. In the first section let y be x * row. On paper: what are dx and drow, if x is 1 to 6 in order and row is 1, 10, 100?
//   2. In a debugger: break at lookback::op::Expand::backward. Which of row, column and number comes first, and what is added
//      where?
//   3. How small should a small step be? Draw the largest error of tanh x for steps from 1 down to 1e-6, and explain both ends.
//
// Break it: change one line, say what will happen, run
//   dx[i] += dy[i] - total;           dx[i] += y[i] * (dy[i] - total): what was forgotten
//   step = 1e-2                       step = 1e-6: closer to the limit, and further from the truth
//   x - static_cast<double>(...)      x - 0: nothing is subtracted before exp
//   matmul(dy, transpose(b))          matmul(dy, b): a product that does not fit
//
// Questions
//   Which line sums the gradient of a row that was added to many?  dx[source.offset] += ... in op::Expand::backward (or the
//     kernel accumulate, row by row): a + b is an expand of each side that is too small, and then an add.
//   Why does a bare sum not see the wrong softmax?  All dy are 1, so the right dx is y_i (1 - sum_j y_j) = 0, and the wrong one
//     is 1 - sum_j y_j = 0 as well.
//   Why may softmax subtract the maximum as if it were a constant?  Whatever is subtracted divides out again: its slope is 0.
//   Why does dx of layer_norm sum to 0 in each row?  To add the same to all of a row does not change y, so the slope that way is 0.
//   A loss is NaN in step 5,000. Where do you look first?  explain_not_finite(loss): not where it was seen but where the first
//     one was made. Most often it is a log of 0 or a division by 0, or an exp above 88.7. (A square root of 0 is 0, but its slope is
//     inf: then the first NaN is in a weight, and LOOKBACK_CHECK=1 finds the op. In section 7 it was 0 times the -inf of a log.)
