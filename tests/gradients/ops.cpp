#include <limits>

#include "gradients/table.h"
#include "lookback/ops/attention.h"
#include "lookback/ops/lookup.h"
#include "lookback/ops/matmul.h"
#include "lookback/ops/recurrent.h"
#include "lookback/ops/softmax.h"

using namespace lookback;
using namespace lookback::gradients;

// One case a line.
// clang-format off

TEST_CASE("gradients of the elementwise ops are their derivatives") {
    check_rows({
        {"a + b", {{2, 3}, {2, 3}}, [](Leaves x) { return x[0] + x[1]; }},
        {"a - b", {{2, 3}, {2, 3}}, [](Leaves x) { return x[0] - x[1]; }},
        {"a * b", {{2, 3}, {2, 3}}, [](Leaves x) { return x[0] * x[1]; }},
        {"a / b", {{2, 3}, {2, 3}}, [](Leaves x) { return x[0] / x[1]; }},
        {"-x", {{2, 3}}, [](Leaves x) { return -x[0]; }},
        {"scalars", {{}, {}}, [](Leaves x) { return x[0] / x[1] - x[0] * x[1]; }},
        {"numbers", {{2, 3}}, [](Leaves x) { return 1 / x[0] - 2 * x[0] + (x[0] - 3) * 0.5 + (1 - x[0]) / 4; }},
        {"exp", {{2, 3}}, [](Leaves x) { return exp(x[0]); }},
        {"log", {positive({2, 3})}, [](Leaves x) { return log(x[0]); }},
        {"sqrt", {positive({2, 3})}, [](Leaves x) { return sqrt(x[0]); }},
        {"tanh", {{2, 3}}, [](Leaves x) { return tanh(x[0]); }},
        {"sigmoid", {{2, 3}}, [](Leaves x) { return sigmoid(x[0]); }},
        {"relu", {{3, 4}}, [](Leaves x) { return relu(x[0]); }},
        {"gelu by erf", {{3, 7}}, [](Leaves x) { return gelu(x[0]); }},
        {"gelu by tanh", {{3, 7}}, [](Leaves x) { return gelu(x[0], Gelu::tanh); }},
        {"gelu far out", {{3, 7}}, [](Leaves x) { return gelu(4 * x[0]) + gelu(4 * x[0], Gelu::tanh); }},
        {"one element", {{1}}, [](Leaves x) { return exp(tanh(x[0])) * sigmoid(-x[0]); }},
        {"no elements", {{0, 3}}, [](Leaves x) { return gelu(exp(tanh(x[0])) * sigmoid(-x[0])); }},
    });
}

TEST_CASE("what cannot be computed beside an element leaves the element as it was") {
    Tensor x({1}, {1e-6});
    x.requires_grad();
    const auto positive_only = [&] {
        if (x.data()[0] < 0) throw std::domain_error("negative");
        return sqrt(x);
    };
    CHECK_THROWS_AS(check_gradient(positive_only, {x}), std::domain_error);
    CHECK(x.data()[0] == real(1e-6));
}

TEST_CASE("a value that is used more than once receives the sum of the gradients of its uses") {
    check_rows({
        {"x + x", {{2, 3}}, [](Leaves x) { return x[0] + x[0]; }},
        {"x - x", {{2, 3}}, [](Leaves x) { return x[0] - x[0]; }},
        {"x * x", {{2, 3}}, [](Leaves x) { return x[0] * x[0]; }},
        {"x / x", {{2, 3}}, [](Leaves x) { return x[0] / x[0]; }},
        {"x x^T", {{2, 3}}, [](Leaves x) { return matmul(x[0], transpose(x[0])); }},
        {"x x", {{3, 3}}, [](Leaves x) { return matmul(x[0], x[0]); }},
        {"x | x", {{2, 3}}, [](Leaves x) { return concat({x[0], x[0]}, 1); }},
        {"x and x stacked", {{2, 3}}, [](Leaves x) { return stack({x[0], x[0], x[0]}, 0); }},
        {"selected from x and x", {{3, 2}}, [](Leaves x) { return select_rows({true, false, true}, x[0], x[0]); }},
        {"a row added to itself", {{1, 3}, {2, 3}}, [](Leaves x) { return x[0] * x[1] + x[0]; }},
        {"linear(x, x)", {{3, 3}}, [](Leaves x) { return linear(x[0], x[0]); }},
        {"scores of x with x", {{2, 3, 4}, {4}}, [](Leaves x) { return additive_scores(x[0], x[0], x[1]); }},
        {"self-attention without projections",
         {{2, 3, 4}},
         [](Leaves x) { return attention_context(attention_weights(x[0], x[0], 2), x[0]); }},
        {"h = c in an LSTM",
         {{2, 12}, {2, 3}, {12, 3}, {12}},
         [](Leaves x) { return lstm_cell(x[0], x[1], x[1], x[2], x[3]); }},
        {"a value inside the graph",
         {{2, 3}},
         [](Leaves x) {
             const Tensor y = tanh(x[0]);
             return exp(y) * y + softmax(y) / (y * y + 1) - relu(y);
         }},
        {"a square of steps",
         {{2, 3}, {3, 3}},
         [](Leaves x) {
             Tensor h = x[0];
             for (int step = 0; step < 4; ++step) h = tanh(linear(h, x[1]));
             return h;
         }},
    });
}

TEST_CASE("what was broadcast is summed in the gradient, for every shape") {
    const std::vector<std::pair<Leaf, Leaf>> shapes = {
        {{2, 3}, {}},              // a scalar
        {{}, {2, 3}},
        {{2, 3}, {1}},             // a vector of one
        {{2, 3}, {3}},             // a row
        {{3}, {2, 3}},
        {{2, 3}, {1, 3}},
        {{2, 3}, {2, 1}},          // a column
        {{2, 1}, {2, 3}},
        {{2, 1}, {1, 3}},          // both
        {{3}, {2, 1}},
        {{2, 3, 4}, {2, 1, 4}},    // in the middle
        {{2, 3, 4}, {3, 1}},
        {{2, 3, 4}, {1, 3, 1}},
        {{2, 3, 4}, {1, 1, 1}},
        {{2, 1, 4}, {3, 1}},
        {{2, 3, 2, 2}, {2, 1, 1, 2}},
        {{2, 1, 2, 1}, {1, 3, 1, 2}},
        {{1, 1}, {1}},             // nothing to repeat
        {{1}, {1, 1, 1}},
        {{0, 3}, {3}},             // no rows
        {{2, 1}, {2, 0}},          // no columns
        {{2, 20}, {2, 1}},         // longer than the 16 lanes of a sum
        {{3, 37}, {}},
    };
    for (const auto& [a, b] : shapes)
        check_rows({
            {"add " + to_string(a.shape) + to_string(b.shape), {a, b}, [](Leaves x) { return x[0] + x[1]; }},
            {"subtract " + to_string(a.shape) + to_string(b.shape), {a, b}, [](Leaves x) { return x[0] - x[1]; }},
            {"multiply " + to_string(a.shape) + to_string(b.shape), {a, b}, [](Leaves x) { return x[0] * x[1]; }},
            {"divide " + to_string(a.shape) + to_string(b.shape), {a, b}, [](Leaves x) { return x[0] / x[1]; }},
        });
    check_rows({
        {"expand a scalar", {{}}, [](Leaves x) { return expand(x[0], {2, 3}); }},
        {"expand a row", {{3}}, [](Leaves x) { return expand(x[0], {2, 2, 3}); }},
        {"expand a column", {{2, 1}}, [](Leaves x) { return expand(x[0], {2, 3}); }},
        {"expand the middle", {{2, 1, 3}}, [](Leaves x) { return expand(x[0], {2, 4, 3}); }},
        {"expand ends", {{1, 3, 1}}, [](Leaves x) { return expand(x[0], {2, 3, 4}); }},
        {"expand to the same", {{2, 3}}, [](Leaves x) { return expand(x[0], {2, 3}); }},
        {"expand to nothing", {{1, 3}}, [](Leaves x) { return expand(x[0], {0, 3}); }},
    });
}

TEST_CASE("gradients of matrix products") {
    const auto product = [](Leaves x) { return matmul(x[0], x[1]); };
    const auto affine = [](Leaves x) { return x.size() > 2 ? linear(x[0], x[1], x[2]) : linear(x[0], x[1]); };
    check_rows({
        {"matmul", {{2, 3}, {3, 4}}, product},
        {"matmul, row by column", {{1, 4}, {4, 1}}, product},
        {"matmul, column by row", {{3, 1}, {1, 4}}, product},
        {"matmul, one by one", {{1, 1}, {1, 1}}, product},
        {"matmul, batched", {{2, 3, 4}, {2, 4, 2}}, product},
        {"matmul, batched in 4-D", {{2, 3, 2, 4}, {2, 3, 4, 3}}, product},
        {"matmul, a batch of one", {{1, 2, 3}, {1, 3, 2}}, product},
        {"matmul, shared", {{2, 3, 4}, {4, 2}}, product},
        {"matmul, shared in 4-D", {{2, 2, 3, 4}, {4, 2}}, product},
        {"matmul, larger than a block", {{19, 37}, {37, 21}}, product},
        {"matmul, no rows", {{0, 3}, {3, 2}}, product},
        {"matmul, no batch", {{0, 2, 3}, {0, 3, 2}}, product},
        {"matmul, no inner size", {{2, 0}, {0, 3}}, product},
        {"linear", {{2, 3}, {4, 3}, {4}}, affine},
        {"linear without bias", {{2, 3}, {4, 3}}, affine},
        {"linear of a vector", {{3}, {4, 3}, {4}}, affine},
        {"linear with a block of a weight",
         {{2, 3}, {5, 4}, {5}},
         [](Leaves x) { return linear(x[0], x[1], x[2], {.row = 1, .rows = 3, .column = 1}); }},
        {"linear with two blocks of one weight", {{2, 2}, {3, 4}}, [](Leaves x) {
             return linear(x[0], x[1], {}, {.columns = 2}) + linear(x[0], x[1], {}, {.column = 2});
         }},
        {"linear in 3-D", {{2, 5, 3}, {4, 3}, {4}}, affine},
        {"linear, lengths of one", {{1, 1}, {1, 1}, {1}}, affine},
        {"linear, no rows", {{0, 3}, {4, 3}, {4}}, affine},
        {"linear, no inputs", {{2, 0}, {4, 0}, {4}}, affine},
    });
}

TEST_CASE("gradients of the ops that move elements") {
    check_rows({
        {"reshape", {{2, 6}}, [](Leaves x) { return reshape(x[0], {3, -1, 2}); }},
        {"reshape to a vector", {{2, 3}}, [](Leaves x) { return reshape(x[0], {-1}); }},
        {"reshape to a scalar", {{1, 1}}, [](Leaves x) { return reshape(x[0], {}); }},
        {"transpose", {{2, 3}}, [](Leaves x) { return transpose(x[0]); }},
        {"transpose the last two", {{2, 3, 4}}, [](Leaves x) { return transpose(x[0]); }},
        {"transpose the first two", {{2, 3, 4}}, [](Leaves x) { return transpose(x[0], 0, 1); }},
        {"transpose the outer two", {{2, 3, 4}}, [](Leaves x) { return transpose(x[0], 0, -1); }},
        {"transpose the middle two", {{2, 3, 4, 2}}, [](Leaves x) { return transpose(x[0], 2, 1); }},
        {"transpose around a middle", {{2, 3, 4, 2, 2}}, [](Leaves x) { return transpose(x[0], 1, 3); }},
        {"transpose lengths of one", {{1, 3, 1}}, [](Leaves x) { return transpose(x[0], 0, 1); }},
        {"transpose nothing", {{0, 3}}, [](Leaves x) { return transpose(x[0]); }},
        {"slice rows", {{4, 3}}, [](Leaves x) { return slice(x[0], 0, 1, 3); }},
        {"slice columns", {{2, 5}}, [](Leaves x) { return slice(x[0], -1, 1, 4); }},
        {"slice the middle", {{2, 4, 3}}, [](Leaves x) { return slice(x[0], 1, 1, 2); }},
        {"slice all", {{2, 3}}, [](Leaves x) { return slice(x[0], 0, 0, 2); }},
        {"slice nothing", {{2, 3}}, [](Leaves x) { return slice(x[0], 1, 2, 2); }},
        {"select", {{2, 3, 4}}, [](Leaves x) { return select(x[0], 1, 2); }},
        {"select from rows", {{2, 3}}, [](Leaves x) { return select(x[0], 0, 1); }},
        {"select one number", {{3}}, [](Leaves x) { return select(x[0], -1, 0); }},
        {"slices that overlap",
         {{2, 4}},
         [](Leaves x) { return slice(x[0], 1, 0, 3) * slice(x[0], 1, 1, 4); }},
        {"concat rows", {{2, 3}, {1, 3}}, [](Leaves x) { return concat({x[0], x[1]}, 0); }},
        {"concat columns", {{2, 3}, {2, 1}, {2, 2}}, [](Leaves x) { return concat({x[0], x[1], x[2]}, -1); }},
        {"concat the middle", {{2, 1, 3}, {2, 2, 3}}, [](Leaves x) { return concat({x[0], x[1]}, 1); }},
        {"concat one", {{2, 3}}, [](Leaves x) { return concat({x[0]}, 0); }},
        {"concat with nothing", {{0, 3}, {2, 3}}, [](Leaves x) { return concat({x[0], x[1]}, 0); }},
        {"stack before", {{2, 3}, {2, 3}}, [](Leaves x) { return stack({x[0], x[1]}, 0); }},
        {"stack between", {{2, 3}, {2, 3}}, [](Leaves x) { return stack({x[0], x[1]}, 1); }},
        {"stack after", {{2, 3}, {2, 3}}, [](Leaves x) { return stack({x[0], x[1]}, -1); }},
        {"stack scalars", {{}, {}}, [](Leaves x) { return stack({x[0], x[1]}, 0); }},
        {"select rows", {{3, 2}, {3, 2}}, [](Leaves x) { return select_rows({true, false, true}, x[0], x[1]); }},
        {"select rows in 3-D", {{2, 2, 2}, {2, 2, 2}}, [](Leaves x) { return select_rows({false, true}, x[0], x[1]); }},
        {"select from no rows", {{0, 2}, {0, 2}}, [](Leaves x) { return select_rows({}, x[0], x[1]); }},
        {"sum", {{2, 3}}, [](Leaves x) { return sum(x[0]); }},
        {"sum of a scalar", {{}}, [](Leaves x) { return sum(x[0]); }},
        {"sum over rows", {{3, 4}}, [](Leaves x) { return sum(x[0], 0); }},
        {"sum over rows of two", {{3, 2}}, [](Leaves x) { return sum(x[0], 0); }},
        {"sum over columns", {{3, 20}}, [](Leaves x) { return sum(x[0], 1); }},
        {"sum over the middle", {{2, 3, 4}}, [](Leaves x) { return sum(x[0], 1); }},
        {"sum over one", {{2, 1, 3}}, [](Leaves x) { return sum(x[0], 1); }},
        {"sum over nothing", {{2, 0}}, [](Leaves x) { return sum(x[0], 1); }},
        {"mean", {{2, 3}}, [](Leaves x) { return mean(x[0]); }},
        {"mean over rows", {{3, 4}}, [](Leaves x) { return mean(x[0], 0); }},
        {"mean over columns", {{3, 20}}, [](Leaves x) { return mean(x[0], -1); }},
        {"mean over the middle", {{2, 3, 4}}, [](Leaves x) { return mean(x[0], 1); }},
        {"mean of no rows", {{0, 3}}, [](Leaves x) { return mean(x[0], 1); }},
    });
}

TEST_CASE("gradients of softmax, masked or not, and of layer norm") {
    constexpr real inf = std::numeric_limits<real>::infinity();
    const auto masked = [](Shape shape, std::vector<real> values) {
        return [mask = Tensor(std::move(shape), std::move(values))](Leaves x) { return masked_softmax(x[0], mask); };
    };
    const auto norm = [](Leaves x) { return layer_norm(x[0], x[1], x[2]); };
    check_rows({
        {"softmax", {{3, 4}}, [](Leaves x) { return softmax(x[0]); }},
        {"softmax over rows", {{3, 4}}, [](Leaves x) { return softmax(x[0], 0); }},
        {"softmax over dimension 0 of 3", {{2, 3, 4}}, [](Leaves x) { return softmax(x[0], 0); }},
        {"softmax over dimension 1 of 3", {{2, 3, 4}}, [](Leaves x) { return softmax(x[0], 1); }},
        {"softmax over dimension 2 of 3", {{2, 3, 4}}, [](Leaves x) { return softmax(x[0], 2); }},
        {"softmax of a vector", {{20}}, [](Leaves x) { return softmax(x[0]); }},
        {"softmax of one", {{3, 1}}, [](Leaves x) { return softmax(x[0]); }},
        {"softmax of no rows", {{0, 3}}, [](Leaves x) { return softmax(x[0]); }},
        {"softmax with -inf", {{2, 4}}, [](Leaves x) { return softmax(x[0] + Tensor({4}, {0, -inf, 0, -inf})); }},
        {"softmax of nothing but -inf", {{2, 2}}, [](Leaves x) { return softmax(x[0] + Tensor({2, 1}, {-inf, 0})); }},
        {"log_softmax", {{3, 4}}, [](Leaves x) { return log_softmax(x[0]); }},
        {"log_softmax over rows", {{3, 4}}, [](Leaves x) { return log_softmax(x[0], 0); }},
        {"log_softmax over the middle", {{2, 3, 4}}, [](Leaves x) { return log_softmax(x[0], 1); }},
        {"log_softmax of one", {{3, 1}}, [](Leaves x) { return log_softmax(x[0]); }},
        {"log_softmax of no rows", {{0, 3}}, [](Leaves x) { return log_softmax(x[0]); }},
        {"masked_softmax", {{2, 3}}, masked({2, 3}, {1, 0, 1, 0, 1, 1})},
        {"masked_softmax, one mask for all rows", {{2, 3}}, masked({3}, {1, 1, 0})},
        {"masked_softmax, a column", {{2, 3}}, masked({2, 1}, {0, 1})},
        {"masked_softmax, a row masked", {{2, 3}}, masked({2, 3}, {0, 0, 0, 1, 1, 0})},
        {"masked_softmax, all masked", {{2, 3}}, masked({}, {0})},
        {"masked_softmax, only one left", {{1, 3}}, masked({3}, {0, 1, 0})},
        {"masked_softmax of (B, H, T, S)", {{2, 2, 2, 3}}, masked({2, 1, 1, 3}, {1, 1, 0, 1, 0, 0})},
        {"masked_softmax of no rows", {{0, 3}}, masked({3}, {1, 1, 0})},
        {"masked_softmax, a mask that asks for a gradient",
         {{2, 3}, {3}},
         [](Leaves x) { return masked_softmax(x[0], relu(x[1])); }},
        {"layer_norm", {{3, 4}, {4}, {4}}, norm},
        {"layer_norm in 3-D", {{2, 3, 20}, {20}, {20}}, norm},
        {"layer_norm of a vector", {{4}, {4}, {4}}, norm},
        {"layer_norm of one", {{3, 1}, {1}, {1}}, norm},
        {"layer_norm of no rows", {{0, 4}, {4}, {4}}, norm},
        {"layer_norm, a large epsilon",
         {{3, 4}, {4}, {4}},
         [](Leaves x) { return layer_norm(x[0], x[1], x[2], 0.5); }},
    });
}

TEST_CASE("gradients of embedding, dropout and cross entropy") {
    const auto entropy = [](const std::vector<int>& targets, CrossEntropyOptions options) {
        return [=](Leaves x) {
            Shape shape = x[0].shape();
            shape.pop_back();
            return cross_entropy(x[0], {shape, targets}, options);
        };
    };
    const auto dropped = [](double p) {
        return [=](Leaves x) {
            Random random(7);
            return dropout(x[0], p, {&random});
        };
    };
    check_rows({
        {"embedding", {{4, 3}}, [](Leaves x) { return embedding({{2}, {3, 1}}, x[0]); }},
        {"embedding, ids that repeat", {{4, 3}}, [](Leaves x) { return embedding({{2, 3}, {0, 2, 2, 3, 0, 2}}, x[0]); }},
        {"embedding of width one", {{2, 1}}, [](Leaves x) { return embedding({{3}, {1, 0, 1}}, x[0]); }},
        {"index_select", {{3, 2, 2}}, [](Leaves x) { return index_select(x[0], {2, 0, 2}); }},
        {"index_select of no rows", {{3, 2}}, [](Leaves x) { return index_select(x[0], {}); }},
        {"embedding of no ids", {{4, 3}}, [](Leaves x) { return embedding({{0, 5}, {}}, x[0]); }},
        {"dropout of a half", {{4, 5}}, dropped(0.5)},
        {"dropout of a tenth", {{4, 5}}, dropped(0.1)},
        {"dropout of nothing", {{4, 5}}, [](Leaves x) { return dropout(x[0] * 1, 0, evaluation); }},
        {"dropout of no rows", {{0, 5}}, dropped(0.5)},
        {"cross entropy", {{3, 4}}, entropy({2, 0, 3}, {})},
        {"cross entropy of (B, T, V)", {{2, 3, 4}}, entropy({2, 0, 3, 1, 1, 0}, {})},
        {"cross entropy of one row", {{4}}, entropy({2}, {})},
        {"cross entropy, one class", {{3, 1}}, entropy({0, 0, 0}, {})},
        {"cross entropy, smooth", {{3, 4}}, entropy({2, 0, 3}, {.label_smoothing = 0.1})},
        {"cross entropy, nothing but smoothing", {{3, 4}}, entropy({2, 0, 3}, {.label_smoothing = 1})},
        {"cross entropy, padding", {{2, 3, 4}}, entropy({2, 0, 3, 1, 0, 0}, {.ignore_index = 0})},
        {"cross entropy, padding alone", {{2, 4}}, entropy({0, 0}, {.ignore_index = 0})},
        {"cross entropy, another divisor", {{2, 4}}, entropy({2, 0}, {.divisor = 7})},
        {"cross entropy, all options",
         {{2, 3, 4}},
         entropy({2, 0, 3, 1, 0, 0}, {.ignore_index = 0, .label_smoothing = 0.2, .divisor = 5})},
        {"cross entropy of no rows", {{0, 4}}, entropy({}, {})},
        {"cross entropy, scaled afterwards",
         {{2, 4}},
         [](Leaves x) { return -3 * cross_entropy(x[0], {{2}, {1, 3}}, {.label_smoothing = 0.1}); }},
    });
}

TEST_CASE("gradients of the recurrent cells") {
    const auto gru = [](Leaves x) { return gru_cell(x[0], x[1], x[2], x[3]); };
    const auto lstm = [](Leaves x) { return lstm_cell(x[0], x[1], x[2], x[3], x[4]); };
    check_rows({
        {"gru_cell", {{2, 9}, {2, 3}, {9, 3}, {9}}, gru},
        {"gru_cell, lengths of one", {{1, 3}, {1, 1}, {3, 1}, {3}}, gru},
        {"gru_cell, wider than a register", {{3, 51}, {3, 17}, {51, 17}, {51}}, gru},
        {"gru_cell, no rows", {{0, 9}, {0, 3}, {9, 3}, {9}}, gru},
        {"gru_cell, three steps",
         {{2, 9}, {2, 3}, {9, 3}, {9}},
         [](Leaves x) {
             Tensor h = x[1];
             for (int step = 0; step < 3; ++step) h = gru_cell(x[0], h, x[2], x[3]);
             return h;
         }},
        {"gru_sequence", {{2, 4, 9}, {2, 3}, {9, 3}, {9}}, [](Leaves x) { return gru_sequence(x[0], x[1], x[2], x[3]); }},
        {"gru_sequence, sentences that are over",
         {{3, 4, 9}, {3, 3}, {9, 3}, {9}},
         [](Leaves x) { return gru_sequence(x[0], x[1], x[2], x[3], {2, 4, 1}); }},
        {"gru_sequence, in reverse",
         {{2, 3, 51}, {2, 17}, {51, 17}, {51}},
         [](Leaves x) { return gru_sequence(x[0], x[1], x[2], x[3], {3, 2}, true); }},
        {"gru_sequence, one step of one", {{1, 1, 3}, {1, 1}, {3, 1}, {3}}, [](Leaves x) { return gru_sequence(x[0], x[1], x[2], x[3]); }},
        {"lstm_cell", {{2, 12}, {2, 3}, {2, 3}, {12, 3}, {12}}, lstm},
        {"lstm_cell, lengths of one", {{1, 4}, {1, 1}, {1, 1}, {4, 1}, {4}}, lstm},
        {"lstm_cell, wider than a register", {{3, 68}, {3, 17}, {3, 17}, {68, 17}, {68}}, lstm},
        {"lstm_cell, no rows", {{0, 12}, {0, 3}, {0, 3}, {12, 3}, {12}}, lstm},
        {"lstm_cell, h alone",
         {{2, 12}, {2, 3}, {2, 3}, {12, 3}, {12}},
         [=](Leaves x) { return slice(lstm(x), 1, 0, 3); }},
        {"lstm_cell, c alone",
         {{2, 12}, {2, 3}, {2, 3}, {12, 3}, {12}},
         [=](Leaves x) { return slice(lstm(x), 1, 3, 6); }},
        {"lstm_cell, three steps",
         {{2, 12}, {2, 3}, {2, 3}, {12, 3}, {12}},
         [](Leaves x) {
             Tensor h = x[1], c = x[2];
             for (int step = 0; step < 3; ++step) {
                 const Tensor next = lstm_cell(x[0], h, c, x[3], x[4]);
                 h = slice(next, 1, 0, 3);
                 c = slice(next, 1, 3, 6);
             }
             return h;
         }},
    });
}

TEST_CASE("gradients of attention") {
    const auto additive = [](Leaves x) { return additive_scores(x[0], x[1], x[2]); };
    const auto context = [](Leaves x) { return attention_context(x[0], x[1]); };
    const auto weights = [](int heads, const Tensor& mask, bool causal) {
        return [=](Leaves x) { return attention_weights(x[0], x[1], heads, mask, causal); };
    };
    const Tensor padding({2, 1, 1, 4}, {1, 1, 0, 1, 1, 0, 0, 0});
    const Tensor nothing_left({2, 1, 1, 4}, {0, 0, 0, 0, 1, 1, 1, 0});
    const Tensor triangle({3, 4}, {1, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 0});
    const Tensor of_heads({2, 1, 1}, {1, 0});
    Random random(3);
    Tensor of_all = Tensor::uniform({2, 2, 3, 4}, 0, 1, random);
    for (std::size_t i = 0; i < of_all.size(); ++i) of_all.data()[i] = of_all.data()[i] < real(0.6);
    check_rows({
        {"additive_scores", {{2, 3, 5}, {2, 4, 5}, {5}}, additive},
        {"additive_scores, one query", {{2, 1, 5}, {2, 4, 5}, {5}}, additive},
        {"additive_scores, one key", {{2, 3, 5}, {2, 1, 5}, {5}}, additive},
        {"additive_scores, lengths of one", {{1, 1, 1}, {1, 1, 1}, {1}}, additive},
        {"additive_scores, wider than a register", {{1, 2, 19}, {1, 3, 19}, {19}}, additive},
        {"additive_scores, no batch", {{0, 3, 5}, {0, 4, 5}, {5}}, additive},
        {"attention_weights, 1 head", {{2, 3, 6}, {2, 4, 6}}, weights(1, {}, false)},
        {"attention_weights, 2 heads", {{2, 3, 6}, {2, 4, 6}}, weights(2, {}, false)},
        {"attention_weights, 3 heads", {{2, 3, 6}, {2, 4, 6}}, weights(3, {}, false)},
        {"attention_weights, heads of width one", {{2, 3, 3}, {2, 4, 3}}, weights(3, {}, false)},
        {"attention_weights, more queries than keys", {{2, 5, 4}, {2, 3, 4}}, weights(2, {}, false)},
        {"attention_weights, lengths of one", {{1, 1, 1}, {1, 1, 1}}, weights(1, {}, false)},
        {"attention_weights, causal", {{2, 4, 6}, {2, 4, 6}}, weights(2, {}, true)},
        {"attention_weights, causal, more keys", {{2, 3, 6}, {2, 5, 6}}, weights(3, {}, true)},
        {"attention_weights, causal, one query", {{2, 1, 4}, {2, 3, 4}}, weights(2, {}, true)},
        {"attention_weights, padding", {{2, 3, 6}, {2, 4, 6}}, weights(2, padding, false)},
        {"attention_weights, padding and causal", {{2, 4, 6}, {2, 4, 6}}, weights(2, padding, true)},
        {"attention_weights, nothing to attend to", {{2, 3, 6}, {2, 4, 6}}, weights(3, nothing_left, false)},
        {"attention_weights, no first key, causal", {{2, 4, 6}, {2, 4, 6}}, weights(2, nothing_left, true)},
        {"attention_weights, a mask for all", {{2, 3, 6}, {2, 4, 6}}, weights(2, triangle, false)},
        {"attention_weights, a head masked", {{2, 3, 6}, {2, 4, 6}}, weights(2, of_heads, false)},
        {"attention_weights, a mask for each", {{2, 3, 6}, {2, 4, 6}}, weights(2, of_all, false)},
        {"attention_weights, longer than a register", {{1, 17, 4}, {1, 19, 4}}, weights(2, {}, true)},
        {"attention_weights, no batch", {{0, 3, 6}, {0, 4, 6}}, weights(2, {}, false)},
        {"attention_weights, no keys", {{2, 3, 6}, {2, 0, 6}}, weights(2, {}, false)},
        {"attention_context, 1 head", {{2, 1, 3, 4}, {2, 4, 6}}, context},
        {"attention_context, 2 heads", {{2, 2, 3, 4}, {2, 4, 6}}, context},
        {"attention_context, 3 heads", {{2, 3, 3, 4}, {2, 4, 6}}, context},
        {"attention_context, lengths of one", {{1, 1, 1, 1}, {1, 1, 1}}, context},
        {"attention_context, no keys", {{2, 2, 3, 0}, {2, 0, 6}}, context},
        {"attention, whole",
         {{2, 3, 6}, {2, 4, 6}, {2, 4, 6}},
         [=](Leaves x) { return attention_context(attention_weights(x[0], x[1], 2, padding), x[2]); }},
        {"additive attention, whole",
         {{2, 3, 5}, {2, 4, 5}, {5}, {2, 4, 6}},
         [=](Leaves x) {
             const Tensor mask({2, 1, 4}, {1, 1, 0, 1, 1, 0, 0, 0});
             return matmul(masked_softmax(additive_scores(x[0], x[1], x[2]), mask), x[3]);
         }},
    });
}
