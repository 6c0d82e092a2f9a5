#include "lookback/nn/attention.h"

#include "lookback/ops/matmul.h"
#include "lookback/ops/softmax.h"
#include "ops/expect.h"

using namespace lookback;
using namespace lookback::expect;

namespace {

const Tensor no_padding;

// Two queries over three places of memory, by hand.
const Tensor query({1, 2, 2}, {1, 0, 0, 2}), memory({1, 3, 2}, {1, 0, 0, 1, 1, 1});

// Weights of softmax over these scores, two queries of three.
void check_scores(const Attended& attended, Values scores) {
    const Tensor expected = softmax(Tensor({1, 2, 3}, std::move(scores)));
    CHECK(distance(attended.weights.values(), expected.values()) <= 1e-6);
    CHECK(distance(attended.context.values(), matmul(expected, memory).values()) <= 1e-6);
}

Linear layer_of(Shape shape, Values weight) {
    Linear layer;
    layer.weight = Tensor(std::move(shape), std::move(weight));
    return layer;
}

template <class Attention>
Attended attend(const Attention& attention, const Tensor& from, const Tensor& to, const Tensor& padding) {
    return attention(from, attention.prepare(to), to, padding);
}

real t(double x) { return static_cast<real>(std::tanh(x)); }

template <class Attention>
void check_padding(const Attention& attention) {
    const Tensor from = random_tensor({2, 3, 4}), padding({2, 5}, {1, 1, 1, 0, 0, 1, 1, 1, 1, 1});
    Tensor to = random_tensor({2, 5, 4}, 3).requires_grad();
    const Attended attended = attend(attention, from, to, padding);
    for (int query_index = 0; query_index < 3; ++query_index) {
        const Values weights = select(select(attended.weights, 0, 0), 0, query_index).values();
        CHECK(weights[3] == 0);
        CHECK(weights[4] == 0);
        CHECK(weights[0] + weights[1] + weights[2] == doctest::Approx(1));
    }
    // The sentence without its padding says the same, to the bit.
    const Attended alone = attend(attention, slice(from, 0, 0, 1), slice(slice(to, 0, 0, 1), 1, 0, 3), no_padding);
    CHECK(slice(slice(attended.weights, 0, 0, 1), 2, 0, 3).values() == alone.weights.values());
    CHECK(slice(attended.context, 0, 0, 1).values() == alone.context.values());

    backward_through_projection(concat({attended.context, attended.weights}, 2), {to});
    const Values dx = gradient(to);
    for (int i = 3 * 4; i < 5 * 4; ++i) CHECK(dx[i] == 0);
    CHECK(std::ranges::count(dx, real(0)) == 8);
}

}    // namespace

TEST_CASE("Luong's dot score is q . m") { check_scores(attend(DotAttention(), query, memory, no_padding), {1, 0, 1, 0, 2, 2}); }

TEST_CASE("Luong's general score is q . W m") {
    GeneralAttention attention;
    attention.key = layer_of({2, 2}, {1, 2, 0, 1});    // W m = (1, 0), (2, 1), (3, 1)
    check_scores(attend(attention, query, memory, no_padding), {1, 2, 3, 0, 2, 2});
}

TEST_CASE("Bahdanau's score is v . tanh(W q + U m)") {
    AdditiveAttention attention;
    attention.query = layer_of({1, 2}, {1, 0.5});    // W q = 1, 1
    attention.key = layer_of({1, 2}, {-1, 0.5});     // U m = -1, 0.5, -0.5
    attention.energy = layer_of({1, 1}, {3});
    const Values scores = {3 * t(0), 3 * t(1.5), 3 * t(0.5)};
    check_scores(attend(attention, query, memory, no_padding),
                 {scores[0], scores[1], scores[2], scores[0], scores[1], scores[2]});
}

TEST_CASE("Luong's concat score is Bahdanau's with W and U side by side, to the bit") {
    Random random(1);
    const AdditiveAttention additive(3, 2, 4, random);
    ConcatAttention glued(3, 2, 4, random);
    glued.hidden.weight = concat({additive.query.weight, additive.key.weight}, 1);
    glued.energy = additive.energy;
    const Tensor from = random_tensor({2, 3, 3}), to = random_tensor({2, 4, 2}, 3);
    const Attended a = attend(additive, from, to, no_padding), b = attend(glued, from, to, no_padding);
    CHECK(a.weights.values() == b.weights.values());
    CHECK(a.context.values() == b.context.values());
}

TEST_CASE("padding receives no attention and exactly no gradient from any of the four scores") {
    Random random(1);
    check_padding(AdditiveAttention(4, 4, 3, random));
    check_padding(DotAttention());
    check_padding(GeneralAttention(4, 4, random));
    check_padding(ConcatAttention(4, 4, 3, random));
}

TEST_CASE("a causal mask lets query t see keys 0 .. t") {
    CHECK(causal_mask(3).values() == Values{1, 0, 0, 1, 1, 0, 1, 1, 1});
    CHECK(causal_mask(1).values() == Values{1});
}

TEST_CASE("scaled dot-product attention divides by the square root of the width") {
    const Tensor q({1, 1, 4}, {1, 1, 1, 1}), k({1, 2, 4}, {1, 1, 1, 1, 0, 0, 0, 0}), v({1, 2, 1}, {1, 0});
    const real weight = 1 / (1 + std::exp(-2.0f));    // scores 4 / 2 and 0
    CHECK(distance(scaled_dot_product_attention(q, k, v).weights.values(), {weight, 1 - weight}) <= 1e-6);
    CHECK(distance(scaled_dot_product_attention(q, k, v).context.values(), {weight}) <= 1e-6);
}

TEST_CASE("multi-head attention is scaled dot-product attention of each part of its projections") {
    Random random(1);
    MultiheadAttention attention(6, 3, random);
    attention.in_proj_bias = random_tensor({18}, 4);
    const Tensor x = random_tensor({2, 4, 6}), to = random_tensor({2, 5, 6}, 3),
                 mask({2, 1, 1, 5}, {1, 1, 1, 0, 0, 1, 1, 1, 1, 1});
    const auto part = [&](const Tensor& input, int index) {
        return linear(input, slice(attention.in_proj_weight, 0, 6 * index, 6 * index + 6),
                      slice(attention.in_proj_bias, 0, 6 * index, 6 * index + 6));
    };
    const auto heads = [](const Tensor& y) {
        return transpose(reshape(y, {y.size(0), y.size(1), 3, 2}), 1, 2);
    };    // (B, heads, T, K)
    const Attended expected = scaled_dot_product_attention(heads(part(x, 0)), heads(part(to, 1)), heads(part(to, 2)), mask);
    const Attended got = attention(x, to, mask);
    CHECK(distance(got.weights.values(), expected.weights.values()) <= 1e-6);
    const Tensor side_by_side = reshape(transpose(expected.context, 1, 2), {2, 4, 6});
    CHECK(distance(got.context.values(), attention.out_proj(side_by_side).values()) <= 1e-6);
}

TEST_CASE("causal multi-head attention is that under the causal mask, to the bit") {
    Random random(1);
    const MultiheadAttention attention(6, 3, random);
    const Tensor x = random_tensor({2, 4, 6});
    const Attended causal = attention(x, x, {}, true), masked = attention(x, x, causal_mask(4));
    CHECK(causal.weights.values() == masked.weights.values());
    CHECK(causal.context.values() == masked.context.values());
}

TEST_CASE("multi-head attention to a memory that was projected before is the same, to the bit") {
    Random random(1);
    const MultiheadAttention attention(6, 3, random);
    const Tensor x = random_tensor({2, 4, 6}), to = random_tensor({2, 5, 6}, 3);
    CHECK(attention(x, attention.project_memory(to)).context.values() == attention(x, to).context.values());
}

TEST_CASE("a width that cannot be cut into the heads is refused") {
    Random random(1);
    const auto refused = [&](int size, int heads) {
        std::string message = "(no exception)";
        try {
            MultiheadAttention(size, heads, random);
        } catch (const std::invalid_argument& error) {
            message = error.what();
        }
        return message.substr(0, message.rfind(" ["));
    };
    CHECK(refused(6, 4) == "multi-head attention: a width of 6 cannot be cut into 4 heads");
    CHECK(refused(6, 0) == "multi-head attention: a width of 6 cannot be cut into 0 heads");
}
