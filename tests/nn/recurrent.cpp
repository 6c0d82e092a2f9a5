#include "lookback/nn/recurrent.h"

#include "lookback/tensor/node.h"
#include "ops/expect.h"

using namespace lookback;
using namespace lookback::expect;

namespace {

// The first `length` steps of row b: (1, length, E).
Tensor row_of(const Tensor& x, int b, int length) { return slice(slice(x, 0, b, b + 1), 1, 0, length); }

Tensor reversed(const Tensor& x) {
    std::vector<Tensor> steps;
    for (int t = x.size(1); t-- > 0;) steps.push_back(select(x, 1, t));
    return stack(steps, 1);
}

}    // namespace

TEST_CASE_TEMPLATE("a sequence is its cell, applied step by step", CellType, RnnCell, GruCell, LstmCell) {
    Random random(1);
    const Recurrent<CellType> layer(3, 4, random);
    const Tensor x = random_tensor({2, 5, 3});
    const auto output = layer(x);
    Tensor state({2, layer.forward_cell.state_size()});
    for (int t = 0; t < 5; ++t) {
        state = layer.forward_cell(select(x, 1, t), state);
        CHECK(select(output.y, 1, t).values() == layer.forward_cell.output(state).values());
    }
    CHECK(output.state.values() == state.values());
}

TEST_CASE_TEMPLATE("a padded sentence gives what it gives alone, to the bit; its outputs at padding are 0", CellType, RnnCell,
                   GruCell, LstmCell) {
    const std::vector<int> lengths = {3, 5, 1};
    for (const bool both_ways : {false, true}) {
        Random random(1);
        const Recurrent<CellType> layer(3, 4, random, both_ways);
        const Tensor x = random_tensor({3, 5, 3});
        const auto batch = layer(x, lengths);
        const int width = batch.y.size(2);
        for (int b = 0; b < 3; ++b) {
            INFO("row " << b << (both_ways ? ", both ways" : ""));
            const auto alone = layer(row_of(x, b, lengths[b]));
            CHECK(row_of(batch.y, b, lengths[b]).values() == alone.y.values());
            CHECK(slice(batch.state, 0, b, b + 1).values() == alone.state.values());
            const Values at_padding = slice(slice(batch.y, 0, b, b + 1), 1, lengths[b], 5).values();
            CHECK(at_padding == Values((5 - lengths[b]) * width, 0));
        }
    }
}

TEST_CASE_TEMPLATE("what stands at padding has exactly no effect and exactly no gradient", CellType, RnnCell, GruCell, LstmCell) {
    Random random(1);
    const Recurrent<CellType> layer(3, 4, random, true);
    Tensor x = random_tensor({2, 4, 3}).requires_grad(), other = Tensor(x.shape(), x.values());
    for (int i = 2 * 3; i < 4 * 3; ++i) other.data()[i] = 1000;    // row 0, steps 2 and 3
    const auto output = layer(x, {2, 4}), changed = layer(other, {2, 4});
    CHECK(output.y.values() == changed.y.values());
    CHECK(output.state.values() == changed.state.values());
    backward_through_projection(concat({reshape(output.y, {-1}), reshape(output.state, {-1})}, 0), {x});
    const Values dx = gradient(x);
    CHECK(Values(dx.begin() + 6, dx.begin() + 12) == Values(6, 0));
    CHECK(std::ranges::count(dx, real(0)) == 6);
}

TEST_CASE_TEMPLATE("both directions are two layers, the second of which reads backwards", CellType, RnnCell, GruCell, LstmCell) {
    Random random(1);
    const Recurrent<CellType> both(3, 4, random, true);
    Recurrent<CellType> forward, backward;
    forward.forward_cell = both.forward_cell;
    backward.forward_cell = both.backward_cell;
    const Tensor x = random_tensor({2, 5, 3}), initial = random_tensor({2, 2 * both.forward_cell.state_size()}, 3);
    const int size = both.forward_cell.state_size();
    const auto output = both(x, {}, initial);
    const auto first = forward(x, {}, slice(initial, 1, 0, size)),
               second = backward(reversed(x), {}, slice(initial, 1, size, 2 * size));
    CHECK(output.y.values() == concat({first.y, reversed(second.y)}, 2).values());
    CHECK(output.state.values() == concat({first.state, second.state}, 1).values());
}

TEST_CASE("an LSTM's state is h | c, and its output h") {
    Random random(1);
    const Lstm lstm(3, 2, random);
    const auto output = lstm(random_tensor({2, 4, 3}));
    CHECK(output.state.shape() == Shape{2, 4});
    CHECK(slice(output.state, 1, 0, 2).values() == select(output.y, 1, 3).values());
}

TEST_CASE("h' = tanh(W_ih x + b_ih + W_hh h + b_hh) by hand") {
    Random random(1);
    RnnCell cell(1, 1, random);
    cell.weight_ih = Tensor({1, 1}, {2});
    cell.weight_hh = Tensor({1, 1}, {3});
    cell.bias_ih = Tensor({1}, {0.5});
    cell.bias_hh = Tensor({1}, {-1});
    CHECK(distance(cell(Tensor({1, 1}, {0.25}), Tensor({1, 1}, {0.1f})).values(), {std::tanh(0.3f)}) <= 1e-6);
}

TEST_CASE_TEMPLATE("a recurrent layer refuses inputs, and lengths, that do not fit", CellType, RnnCell, GruCell, LstmCell) {
    Random random(1);
    const Recurrent<CellType> layer(3, 2, random);
    const auto refused = [&](const Tensor& x, const std::vector<int>& lengths) {
        std::string message = "(no exception)";
        try {
            layer(x, lengths);
        } catch (const std::invalid_argument& error) {
            message = error.what();
        }
        return message.substr(0, message.rfind(" ["));
    };
    const std::string needed = "recurrent: an input (B, T, E) with E = 3 and T > 0 is needed, not ";
    CHECK(refused(random_tensor({2, 3}), {}) == needed + "(2, 3)");
    CHECK(refused(random_tensor({2, 5, 4}), {}) == needed + "(2, 5, 4)");
    CHECK(refused(Tensor({2, 0, 3}), {}) == needed + "(2, 0, 3)");
    CHECK(refused(random_tensor({2, 5, 3}), {5}) == "recurrent: 1 lengths for 2 rows");
    CHECK(refused(random_tensor({2, 5, 3}), {5, 0}) == "recurrent: a length of 0 is not in 1 .. 5");
    CHECK(refused(random_tensor({2, 5, 3}), {6, 1}) == "recurrent: a length of 6 is not in 1 .. 5");

    const int size = layer.forward_cell.state_size();
    const Recurrent<CellType> both_ways(3, 2, random, true);
    for (const Shape& shape : {Shape{1, size}, Shape{2, size + 2}, Shape{2}, Shape{2, 2 * size}}) {
        CHECK_THROWS_AS(layer(random_tensor({2, 5, 3}), {}, Tensor(shape)), std::invalid_argument);
        if (shape != Shape{2, 2 * size})
            CHECK_THROWS_AS(both_ways(random_tensor({2, 5, 3}), {}, Tensor(shape)), std::invalid_argument);
        CHECK_THROWS_AS(layer.forward_cell(random_tensor({2, 3}), Tensor(shape)), std::invalid_argument);
    }
}

TEST_CASE("tokens without a step are refused") {
    Random random(1);
    const Gru gru(3, 2, random);
    CHECK_THROWS_WITH_AS(gru(Ids{{2, 0}, {}}, Embedding(5, 3, random)),
                         doctest::Contains("recurrent: tokens (B, T) with T > 0 are needed, not (2, 0)"), std::invalid_argument);
}

TEST_CASE("each cell stands in the scope of its place in the sentence, on the way back, too") {
    Random random(1);
    const Lstm lstm(3, 2, random, true);
    const Lstm::Output output = lstm(random_tensor({1, 2, 3}));
    std::vector<std::string> scopes;
    for (const Node* node : graph_of(output.y))
        if (node->op == std::string("lstm_cell")) scopes.push_back(node->scope);
    CHECK(scopes == std::vector<std::string>{"step.0", "step.1", "step.1", "step.0"});
}

// g++ makes the right operand of f(x) + g(x) first, clang the left one: node numbers, and gradients that are sums of three, would differ.
TEST_CASE("the nodes of a layer are made in an order that does not depend on the compiler") {
    Random random(1);
    const Lstm lstm(3, 2, random, true);
    const Tensor x = random_tensor({1, 1, 3});
    const Tensor initial({1, 8}, {1, 2, 3, 4, 5, 6, 7, 8});
    const Lstm::Output output = lstm(x, {}, initial);
    std::vector<const Node*> weights;
    for (const Node* node : graph_of(output.y)) {
        if (node->op == std::string("linear")) weights.push_back(node->inputs[1].node);
        if (node->op != std::string("lstm_cell")) continue;
        const Tensor &h = node->inputs[1], &c = node->inputs[2];
        CHECK(h.node->id < c.node->id);
    }
    CHECK(weights == std::vector<const Node*>{lstm.forward_cell.weight_ih.node, lstm.backward_cell.weight_ih.node});
}

TEST_CASE("tokens are read from an initial state as their embeddings are") {
    Random random(1);
    const Gru gru(3, 2, random);
    const Embedding embedding(5, 3, random);
    const Ids tokens{{1, 2}, {4, 1}};
    const Tensor initial = random_tensor({1, 2}, 3);
    CHECK(gru(tokens, embedding, {}, initial).y.values() == gru(embedding(tokens), {}, initial).y.values());
}
