#include "lookback/nn/layers.h"

#include "lookback/nn/recurrent.h"
#include "lookback/nn/transformer.h"
#include "lookback/ops/matmul.h"
#include "lookback/ops/recurrent.h"
#include "lookback/ops/softmax.h"
#include "lookback/tensor/debugger.h"
#include "lookback/tensor/node.h"
#include "ops/expect.h"

using namespace lookback;
using namespace lookback::expect;

namespace {

// "weight (4, 3)" for each parameter, in order.
template <class Module>
std::vector<std::string> names_of(Module module) {
    std::vector<std::string> names;
    module.parameters(
        [&](const std::string& name, Tensor& parameter) { names.push_back(name + " " + to_string(parameter.shape())); });
    return names;
}

using Names = std::vector<std::string>;

// An embedding whose table is the output layer as well.
struct Tied {
    Embedding embedding;
    Linear out;

    explicit Tied(Random& random) : embedding(4, 3, random), out(3, 4, random) { out.weight = embedding.weight; }
    Tensor operator()(const Ids& ids) const { return out(embedding(ids)); }
    void parameters(const Visit& visit) {
        embedding.parameters(within("embedding", visit));
        out.parameters(within("out", visit));
    }
};

bool within_bound(const Tensor& x, double bound) {
    double largest = 0;
    for (const real value : x.values()) largest = std::max(largest, std::abs(double{value}));
    return largest <= bound && largest > 0.8 * bound;
}

bool all_are(const Tensor& x, real value) { return x.values() == Values(x.size(), value); }

}    // namespace

TEST_CASE("parameters have the names, shapes and order of torch.nn's state_dict") {
    Random random(1);
    CHECK(names_of(Linear(3, 4, random)) == Names{"weight (4, 3)", "bias (4)"});
    CHECK(names_of(Linear(3, 4, random, false)) == Names{"weight (4, 3)"});
    CHECK(names_of(Embedding(7, 3, random)) == Names{"weight (7, 3)"});
    CHECK(names_of(LayerNorm(3)) == Names{"weight (3)", "bias (3)"});
    CHECK(names_of(RnnCell(3, 2, random)) == Names{"weight_ih (2, 3)", "weight_hh (2, 2)", "bias_ih (2)", "bias_hh (2)"});
    CHECK(names_of(GruCell(3, 2, random)) == Names{"weight_ih (6, 3)", "weight_hh (6, 2)", "bias_ih (6)", "bias_hh (6)"});
    CHECK(names_of(LstmCell(3, 2, random)) == Names{"weight_ih (8, 3)", "weight_hh (8, 2)", "bias_ih (8)", "bias_hh (8)"});
    CHECK(names_of(Gru(3, 2, random, true)) ==
          Names{"weight_ih_l0 (6, 3)", "weight_hh_l0 (6, 2)", "bias_ih_l0 (6)", "bias_hh_l0 (6)", "weight_ih_l0_reverse (6, 3)",
                "weight_hh_l0_reverse (6, 2)", "bias_ih_l0_reverse (6)", "bias_hh_l0_reverse (6)"});
    const Names attention = {"in_proj_weight (12, 4)", "in_proj_bias (12)", "out_proj.weight (4, 4)", "out_proj.bias (4)"};
    CHECK(names_of(MultiheadAttention(4, 2, random)) == attention);

    Names encoder_layer, decoder_layer;
    for (const std::string& name : attention) encoder_layer.push_back("self_attn." + name);
    decoder_layer = encoder_layer;
    for (const std::string& name : attention) decoder_layer.push_back("multihead_attn." + name);
    for (Names* names : {&encoder_layer, &decoder_layer})
        for (const char* name : {"linear1.weight (5, 4)", "linear1.bias (5)", "linear2.weight (4, 5)", "linear2.bias (4)",
                                 "norm1.weight (4)", "norm1.bias (4)", "norm2.weight (4)", "norm2.bias (4)"})
            names->push_back(name);
    decoder_layer.insert(decoder_layer.end(), {"norm3.weight (4)", "norm3.bias (4)"});
    const TransformerOptions options{.size = 4, .heads = 2, .feed_forward = 5, .encoder_layers = 2, .decoder_layers = 1};
    CHECK(names_of(TransformerEncoderLayer(options, random)) == encoder_layer);
    CHECK(names_of(TransformerDecoderLayer(options, random)) == decoder_layer);
    Names whole;
    for (const std::string layer : {"encoder.layers.0.", "encoder.layers.1."})
        for (const std::string& name : encoder_layer) whole.push_back(layer + name);
    whole.insert(whole.end(), {"encoder.norm.weight (4)", "encoder.norm.bias (4)"});
    for (const std::string& name : decoder_layer) whole.push_back("decoder.layers.0." + name);
    whole.insert(whole.end(), {"decoder.norm.weight (4)", "decoder.norm.bias (4)"});
    CHECK(names_of(Transformer(options, random)) == whole);
}

TEST_CASE("weights start as in torch.nn") {
    Random random(1);
    const Linear linear(25, 400, random);
    CHECK(within_bound(linear.weight, 1 / 5.0));
    CHECK(within_bound(linear.bias, 1 / 5.0));
    CHECK(within_bound(GruCell(50, 16, random).weight_ih, 1 / 4.0));
    CHECK(within_bound(GruCell(50, 16, random).bias_hh, 1 / 4.0));
    const LayerNorm norm(5);
    CHECK(all_are(norm.weight, 1));
    CHECK(all_are(norm.bias, 0));
    const MultiheadAttention attention(24, 2, random);
    CHECK(within_bound(attention.in_proj_weight, 0.25));    // sqrt(6 / (4 * 24))
    CHECK(all_are(attention.in_proj_bias, 0));
    CHECK(all_are(attention.out_proj.bias, 0));
    const TransformerEncoderLayer layer({.size = 24, .heads = 2, .feed_forward = 72}, random);
    CHECK(within_bound(layer.linear1.weight, 0.25));    // sqrt(6 / (24 + 72))
    CHECK(within_bound(layer.linear2.weight, 0.25));
    double squares = 0;
    for (const real value : Embedding(100, 100, random, 0.5).weight.values()) squares += value * value;
    CHECK(squares / 10'000 == doctest::Approx(0.25).epsilon(0.05));
}

TEST_CASE("every parameter asks for a gradient") {
    Random random(1);
    Transformer transformer({.size = 4, .heads = 2, .feed_forward = 5}, random);
    for (const Tensor& parameter : parameters_of(transformer)) CHECK(parameter.node->requires_grad);
    Lstm lstm(3, 2, random, true);
    for (const Tensor& parameter : parameters_of(lstm)) CHECK(parameter.node->requires_grad);
}

TEST_CASE("embedded_linear is linear after embedding: the same values to the bit, the same gradients") {
    const Ids ids{{2, 3}, {4, 1, 4, 0, 1, 4}};
    Random random(1);
    Embedding table(5, 3, random);
    const Linear layer(3, 4, random);
    check_same([&] { return embedded_linear(ids, table, layer.weight, layer.bias); }, [&] { return layer(table(ids)); },
               {table.weight, layer.weight, layer.bias}, 0, 1e-6);
    CHECK_THROWS_AS(embedded_linear({{1}, {5}}, table, layer.weight), std::invalid_argument);
}

TEST_CASE(
    "under Frozen, embedded_linear keeps the products of tokens met before: each block and bias its own, with the same bits") {
    Ids ids{{2, 3}, {4, 1, 4, 0, 1, 4}};
    Random random(1);
    Embedding table(5, 3, random), other_table(5, 3, random);
    const Linear layer(4, 6, random);
    const auto all = [&] {
        std::vector<std::vector<real>> values;
        for (const Embedding* from : {&table, &other_table})
            for (const Tensor& bias : {layer.bias, Tensor()})
                for (const Block block : {Block{.columns = 3}, Block{.column = 1}, Block{.row = 2, .columns = 3}})
                    values.push_back(embedded_linear(ids, *from, layer.weight, bias, block).values());
        return values;
    };
    const auto before = all();
    ids.values = {4, 2, 2, 3, 1, 0};    // some of them new
    const auto others = all();
    {
        const Frozen frozen;
        for (const int time : {0, 1, 2, 3}) {
            ids.values = time % 2 ? std::vector{4, 2, 2, 3, 1, 0} : std::vector{4, 1, 4, 0, 1, 4};
            CHECK(all() == (time % 2 ? others : before));
        }
        const real old = std::exchange(table.weight.data()[4 * 3], 100);    // which nobody may, but so one sees what is kept
        CHECK(all() == others);
        table.weight.data()[4 * 3] = old;
        CHECK_THROWS_AS(embedded_linear({{1}, {5}}, table, layer.weight, {}, {.columns = 3}), std::invalid_argument);
        CHECK(embedded_linear(ids, table, Tensor({0, 3})).size() == 0);    // nothing to keep

        const bool before_check =
            std::exchange(checking, true);    // an inf comes in, and nothing that is kept beside it is a NaN
        Embedding high(5, 3, random);
        std::fill_n(high.weight.data(), 15, inf);
        CHECK_NOTHROW(embedded_linear({{1}, {2}}, high, Tensor({1, 3}, {1, 1, 1})));
        checking = before_check;
    }
    table.weight.data()[4 * 3] += 1;
    CHECK(all() != others);    // nothing was kept beyond
}

TEST_CASE("a recurrent net over tokens is the net over their embeddings, in both directions") {
    const Ids tokens{{2, 3}, {4, 1, 4, 0, 1, 4}};
    Random random(1);
    Embedding table(5, 3, random);
    Gru gru(3, 2, random, true);
    for (const auto part : {&Gru::Output::y, &Gru::Output::state})
        check_same(
            [&] {
                return gru(tokens, table, {3, 2}).*part;
            },
            [&] {
                return gru(table(tokens), {3, 2}).*part;
            },
            parameters_of(gru), 0, 1e-6);
}

TEST_CASE("tied weights are listed and counted once, under their first name") {
    Random random(1);
    Tied tied(random);
    const std::vector<Tensor> parameters = parameters_of(tied);
    REQUIRE(parameters.size() == 2);
    CHECK(parameters[0].node == tied.embedding.weight.node);
    CHECK(parameters[0].node->name == "embedding.weight");
    CHECK(parameters[1].node == tied.out.bias.node);
    CHECK(parameter_count(tied) == 4 * 3 + 4);
}

TEST_CASE("the gradient of tied weights is the sum of the gradients of their two uses") {
    Random random(1);
    Tied tied(random);
    Embedding embedding = tied.embedding;
    Linear out = tied.out;
    embedding.weight = shared_weights(tied.embedding.weight);    // the same numbers, untied
    out.weight = shared_weights(tied.embedding.weight);
    const Ids ids{{3}, {2, 0, 2}};
    backward_through_projection(tied(ids), {tied.embedding.weight});
    backward_through_projection(out(embedding(ids)), {embedding.weight, out.weight});
    Values expected = gradient(embedding.weight);
    for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += gradient(out.weight)[i];
    CHECK(distance(gradient(tied.embedding.weight), expected) <= 1e-6);
    CHECK(distance(gradient(tied.embedding.weight), gradient(out.weight)) > 0.1);
}

TEST_CASE("a replica shares the weights of its model, but not the gradients") {
    Random random(1);
    Linear model(3, 2, random);
    zero_grad(model);
    Linear replica = replicate(model);
    CHECK(replica.weight.data() == model.weight.data());
    CHECK(replica.bias.data() == model.bias.data());
    backward_through_projection(replica(random_tensor({4, 3})), {replica.weight, replica.bias});
    CHECK(distance(gradient(replica.weight), Values(6, 0)) > 0.1);
    CHECK(gradient(model.weight) == Values(6, 0));
    CHECK(gradient(model.bias) == Values(2, 0));
    model.weight.data()[0] = 42;
    CHECK(replica.weight.values()[0] == 42);
}

TEST_CASE("a parameter that requires no gradient gets none, from zero_grad or in a replica") {
    Random random(1);
    Linear model(3, 2, random);
    model.bias = Tensor({2}, {1, 2});
    zero_grad(model);
    Linear replica = replicate(model);
    backward_through_projection(replica(random_tensor({4, 3})), {replica.weight});
    CHECK(replica.bias.grad() == nullptr);
    CHECK(model.bias.grad() == nullptr);
    CHECK(distance(gradient(replica.weight), Values(6, 0)) > 0.1);
}

TEST_CASE("weights that are tied in a model are tied in its replica") {
    Random random(1);
    const Tied tied(random);
    Tied replica = replicate(tied);
    CHECK(replica.embedding.weight.node == replica.out.weight.node);
    CHECK(replica.embedding.weight.node != tied.embedding.weight.node);
    CHECK(parameters_of(replica).size() == 2);
}

TEST_CASE("zero_grad empties every gradient and starts the numbers of the nodes again") {
    Random random(1);
    Linear model(3, 2, random);
    const Tensor x = random_tensor({4, 3});
    backward_through_projection(model(x), {model.weight, model.bias});
    zero_grad(model);
    CHECK(gradient(model.weight) == Values(6, 0));
    CHECK(gradient(model.bias) == Values(2, 0));
    CHECK(model(x).node->id == 1);
}

TEST_CASE("LayerNorm has mean 0 and variance 1 at the start, and its own epsilon") {
    LayerNorm norm(4);
    const Values y = norm(Tensor({4}, {1, 2, 3, 4})).values();
    CHECK(distance(y, {-1.3416355f, -0.4472118f, 0.4472118f, 1.3416355f}) <= 1e-6);    // (x - 2.5) / sqrt(1.25 + 1e-5)
    norm.epsilon = 1;
    CHECK(distance(norm(Tensor({4}, {1, 2, 3, 4})).values(), {-1, -1 / 3.0f, 1 / 3.0f, 1}) <= 1e-6);    // sqrt(2.25) = 1.5
}

TEST_CASE("dropout does nothing in evaluation; in training the mean stays") {
    const Tensor x({10'000}, Values(10'000, 1));
    CHECK(dropout(x, 0.75, evaluation).node == x.node);
    Random random(1);
    const Values y = dropout(x, 0.75, {&random}).values();
    CHECK(std::ranges::count(y, real(4)) + std::ranges::count(y, real(0)) == 10'000);    // 1 / (1 - 0.75)
    CHECK(std::ranges::count(y, real(4)) == doctest::Approx(2500).epsilon(0.1));
}

TEST_CASE("every node knows the line that asked for it, be it of a layer or of an op that is made of others") {
    Random random(1);
    const Embedding table(5, 4, random);
    const LayerNorm norm(4);
    const Linear layer(4, 3, random);
    const Tensor x = random_tensor({2, 4}).requires_grad();
    const auto check_line = [](const Tensor& y, Where where = Where::current()) {
        for (const Node* node : graph_of(y)) {
            if (node->id == 0) continue;
            CAPTURE(node->op);
            CHECK(to_string(node->where) == to_string(where));
        }
    };
    check_line(table({{1}, {2}}));
    check_line(norm(x));
    check_line(layer(x));
    check_line(embedded_linear({{1}, {2}}, table, layer.weight, layer.bias));
    check_line(softmax(x, 0));
    check_line(x / Tensor({4}, {1, 2, 3, 4}).requires_grad());
    check_line(dropout(x, 0.5, {&random}));
    check_line(cross_entropy(x, {{2}, {0, 1}}));
    check_line(stack({x, x}, 0));
    check_line(gru_sequence(Tensor({1, 2, 3}).requires_grad(), Tensor({1, 1}), Tensor({3, 1}), Tensor({3})));
    check_rejected("embedding: id 9 at position 0 is not in a table of 5 rows", [&] {
        embedded_linear({{1}, {9}}, table, layer.weight);
    });
}
