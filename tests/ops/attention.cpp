#include "lookback/ops/attention.h"

#include "lookback/ops/matmul.h"
#include "lookback/ops/softmax.h"
#include "ops/expect.h"

using namespace lookback;
using namespace lookback::expect;

namespace {

// (B, T, C) -> (B, heads, T, K)
Tensor split_heads(const Tensor& x, int heads) { return transpose(reshape(x, {x.size(0), x.size(1), heads, -1}), 1, 2); }

Tensor composed_weights(const Tensor& q, const Tensor& k, int heads, const Tensor& mask) {
    const int width = q.size(2) / heads;
    const double scale = 1 / std::sqrt(static_cast<real>(width));
    return masked_softmax(matmul(split_heads(q, heads), transpose(split_heads(k, heads))) * scale, mask);
}

Tensor composed_context(const Tensor& weights, const Tensor& v) {
    const Tensor by_head = matmul(weights, split_heads(v, weights.size(1)));
    return reshape(transpose(by_head, 1, 2), {v.size(0), weights.size(2), v.size(2)});
}

// 1 where query t, at position t + S - T, may see key s.
Tensor causal_mask(int T, int S) {
    Tensor mask({T, S});
    for (int t = 0; t < T; ++t)
        for (int s = 0; s <= t + S - T; ++s) mask.data()[t * S + s] = 1;
    return mask;
}

}    // namespace

TEST_CASE("additive scores by hand") {
    const Tensor query({1, 1, 2}, {0.5, 0}), key({1, 2, 2}, {0, 0, -0.5, 1}), v({2}, {2, 10});
    const Tensor y = additive_scores(query, key, v);
    CHECK(y.shape() == Shape{1, 1, 2});
    CHECK(distance(y.values(), {2 * 0.46211716f, 10 * 0.76159416f}) <= 1e-6);
}

TEST_CASE("additive scores equal their composition from expand, tanh and matmul") {
    for (const auto& [T, S, A] : {std::array{3, 4, 5}, std::array{1, 6, 33}, std::array{1, 1, 1}}) {
        const Tensor query = random_tensor({2, T, A}), key = random_tensor({2, S, A}, 3), v = random_tensor({A}, 4);
        const Shape pairs{2, T, S, A};
        const auto composed = [&, T = T, S = S, A = A] {
            const Tensor sums = expand(reshape(query, {2, T, 1, A}), pairs) + expand(reshape(key, {2, 1, S, A}), pairs);
            return reshape(matmul(tanh(sums), reshape(v, {A, 1})), {2, T, S});
        };
        check_same([&] { return additive_scores(query, key, v); }, composed, {query, key, v}, 2e-6, 2e-6);
    }
}

TEST_CASE("scaled dot-product attention by hand") {
    // q . k = 2 and 0, sqrt(K) = 2, so the weights are e : 1.
    const Tensor q({1, 1, 4}, {1, 1, 0, 0}), k({1, 2, 4}, {1, 1, 5, 5, 1, -1, 7, 7}), v({1, 2, 4}, {1, 2, 3, 4, 5, 6, 7, 8});
    const Tensor weights = attention_weights(q, k, 1);
    const real a = 0.73105858f, b = 0.26894142f;
    CHECK(distance(weights.values(), {a, b}) <= 1e-6);
    const Tensor context = attention_context(weights, v);
    CHECK(context.shape() == Shape{1, 1, 4});
    CHECK(distance(context.values(), {a + 5 * b, 2 * a + 6 * b, 3 * a + 7 * b, 4 * a + 8 * b}) <= 1e-6);
}

TEST_CASE("each head looks at its own part of the width") {
    const Tensor q({1, 1, 2}, {100, 100}), k({1, 2, 2}, {1, 0, 0, 1}), v({1, 2, 2}, {1, 2, 3, 4});
    const Tensor weights = attention_weights(q, k, 2);
    CHECK(weights.shape() == Shape{1, 2, 1, 2});
    CHECK(distance(weights.values(), {1, 0, 0, 1}) <= 1e-6);
    CHECK(distance(attention_context(weights, v).values(), {1, 4}) <= 1e-6);
}

TEST_CASE("attention equals its composition from reshape, transpose, matmul and masked softmax, to the bit") {
    Tensor some = random_tensor({2, 2, 5, 7}, 9);
    for (std::size_t i = 0; i < some.size(); ++i) some.data()[i] = some.data()[i] > 0;
    const Tensor padding({2, 1, 1, 7}, {1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1}), none({2, 1, 1, 1}, {0, 1});
    const Tensor q = random_tensor({2, 5, 8}), k = random_tensor({2, 7, 8}, 3), v = random_tensor({2, 7, 8}, 4);
    for (const Tensor& mask : {padding, none, some}) {
        check_same([&] { return attention_weights(q, k, 2, mask); }, [&] { return composed_weights(q, k, 2, mask); }, {q, k}, 0,
                   0);
        check_same([&] { return attention_weights(q, k, 2, mask, true); },
                   [&] { return composed_weights(q, k, 2, mask * causal_mask(5, 7)); }, {q, k}, 0, 0);
    }
    for (const int heads : {1, 2, 4, 8})
        check_same([&] { return attention_weights(q, k, heads); },
                   [&] { return composed_weights(q, k, heads, Tensor::scalar(1)); }, {q, k}, 0, 0);
    for (const int heads : {1, 2, 4, 8}) {
        const Tensor weights = random_tensor({2, heads, 5, 7}, 5);
        check_same([&] { return attention_context(weights, v); }, [&] { return composed_context(weights, v); }, {weights, v}, 0,
                   0);
    }
}

TEST_CASE("a causal query sees what stands at its position or before, and nothing later") {
    const Tensor q = random_tensor({1, 3, 4}), k = random_tensor({1, 3, 4}, 3);
    const Values square = attention_weights(q, k, 1, {}, true).values();
    for (const int later : {1, 2, 5}) CHECK(square[later] == 0);
    CHECK(square[0] == 1);
    for (const int seen : {3, 4, 6, 7, 8}) CHECK(square[seen] > 0);
    // Two new queries against a cache of three keys and their own two.
    const Values cached = attention_weights(random_tensor({1, 2, 4}), random_tensor({1, 5, 4}, 3), 1, {}, true).values();
    CHECK(cached[3] > 0);
    CHECK(cached[4] == 0);
    CHECK(cached[9] > 0);
}

TEST_CASE("the last query with all keys gives the same weights as the whole sequence, to the bit") {
    const Tensor q = random_tensor({2, 5, 8}), k = random_tensor({2, 5, 8}, 3);
    const Tensor whole = attention_weights(q, k, 2, {}, true);
    const Tensor last = attention_weights(slice(q, 1, 4, 5), k, 2, {}, true);
    CHECK(slice(whole, 2, 4, 5).values() == last.values());
}

TEST_CASE("the future has exactly no effect, and exactly zero gradient") {
    const auto run = [](real wild) {
        Tensor q = random_tensor({1, 4, 4}).requires_grad(), k = random_tensor({1, 4, 4}, 3).requires_grad();
        Tensor v = random_tensor({1, 4, 4}, 4).requires_grad();
        for (int i = 8; i < 16; ++i) q.data()[i] *= wild, k.data()[i] *= wild, v.data()[i] *= wild;
        const Tensor past = slice(attention_context(attention_weights(q, k, 2, {}, true), v), 1, 0, 2);
        backward(sum(past * random_tensor({1, 2, 4}, 5)));
        for (const Tensor& x : {q, k, v}) {
            for (int i = 8; i < 16; ++i) CHECK(x.grad()[i] == 0);
            CHECK(gradient(x) != Values(16, 0));
        }
        return std::array{past.values(), gradient(q), gradient(k), gradient(v)};
    };
    CHECK(run(1) == run(1e15f));
}

TEST_CASE("a masked source token receives no attention and exactly no gradient, whatever it holds") {
    const Tensor mask({2, 1, 1, 3}, {1, 1, 0, 1, 0, 0});
    const auto run = [&](real wild) {
        Tensor q = random_tensor({2, 2, 4}).requires_grad(), k = random_tensor({2, 3, 4}, 3).requires_grad();
        Tensor v = random_tensor({2, 3, 4}, 4).requires_grad();
        std::vector<int> hidden;
        for (int i = 8; i < 12; ++i) hidden.push_back(i);     // token 2 of sentence 0
        for (int i = 16; i < 24; ++i) hidden.push_back(i);    // tokens 1 and 2 of sentence 1
        for (const int i : hidden) k.data()[i] *= wild, v.data()[i] *= wild;
        const Tensor weights = attention_weights(q, k, 2, mask), y = attention_context(weights, v);
        for (const int i : {2, 5, 8, 11, 13, 14, 16, 17, 19, 20, 22, 23}) CHECK(weights.values()[i] == 0);
        backward(sum(y * random_tensor({2, 2, 4}, 5)));
        for (const int i : hidden) {
            CHECK(k.grad()[i] == 0);
            CHECK(v.grad()[i] == 0);
        }
        return std::array{y.values(), gradient(q), gradient(k), gradient(v)};
    };
    CHECK(run(1) == run(-1e15f));
}

TEST_CASE("a key that is NaN but masked does not reach the weights") {
    const Tensor q = random_tensor({1, 2, 2});
    const Tensor weights = attention_weights(q, Tensor({1, 2, 2}, {1, 2, not_a_number, not_a_number}), 1, Tensor({2}, {1, 0}));
    CHECK(weights.values() == Values{1, 0, 1, 0});
}

TEST_CASE("a query with nothing to attend to gets weights, a context and gradients of zero") {
    Tensor q = random_tensor({1, 2, 4}).requires_grad(), k = random_tensor({1, 3, 4}, 3).requires_grad();
    Tensor v = random_tensor({1, 3, 4}, 4).requires_grad();
    const Tensor weights = attention_weights(q, k, 2, Tensor({2, 1}, {0, 1})), y = attention_context(weights, v);
    for (const int i : {0, 1, 2, 6, 7, 8}) CHECK(weights.values()[i] == 0);
    for (int i = 0; i < 4; ++i) CHECK(y.values()[i] == 0);
    backward(sum(y * y));
    for (int i = 0; i < 4; ++i) CHECK(q.grad()[i] == 0);
    CHECK(q.grad()[4] != 0);
}

TEST_CASE("scores of 1e4 do not overflow") {
    const Tensor weights = attention_weights(Tensor({1, 1, 1}, {1}), Tensor({1, 3, 1}, {1e4f, -1e4f, 1e4f}), 1);
    CHECK(weights.values() == Values{0.5, 0, 0.5});
}

TEST_CASE("attention refuses sizes that do not fit, with the shapes and the line") {
    const Tensor q({2, 3, 4}), k({2, 5, 4}), v({4}), wide({2, 5, 6}), other({3, 5, 4});
    const std::string scores = "; expected (B, T, A), (B, S, A), (A)";
    check_rejected("additive_scores: the sizes do not fit: query (2, 3, 4), key (2, 5, 6), v (4)" + scores,
                   [&] { additive_scores(q, wide, v); });
    check_rejected("additive_scores: the sizes do not fit: query (2, 3, 4), key (3, 5, 4), v (4)" + scores,
                   [&] { additive_scores(q, other, v); });
    check_rejected("additive_scores: the sizes do not fit: query (2, 3, 4), key (2, 5, 4), v (2, 3, 4)" + scores,
                   [&] { additive_scores(q, k, q); });
    const std::string weights = "; expected (B, T, C), (B, S, C)";
    check_rejected("attention_weights: the sizes do not fit: q (2, 3, 4), k (2, 5, 6)" + weights,
                   [&] { attention_weights(q, wide, 2); });
    check_rejected("attention_weights: the sizes do not fit: q (4), k (2, 5, 4)" + weights, [&] { attention_weights(v, k, 2); });
    check_rejected("attention_weights: a width of 4 cannot be cut into 3 heads", [&] { attention_weights(q, k, 3); });
    check_rejected("attention_weights: a width of 4 cannot be cut into 0 heads", [&] { attention_weights(q, k, 0); });
    check_rejected("attention_weights: causal, but there are more queries (5) than keys (3)",
                   [&] { attention_weights(k, q, 2, {}, true); });
    check_rejected("attention_weights: a mask of (2, 5) does not broadcast to (B, heads, T, S) = (2, 2, 3, 5)", [&] {
        attention_weights(q, k, 2, Tensor({2, 5}));
    });
    const std::string context = "; expected (B, heads, T, S), (B, S, C)";
    check_rejected("attention_context: the sizes do not fit: weights (2, 3, 4), v (2, 5, 4)" + context,
                   [&] { attention_context(q, k); });
    check_rejected("attention_context: the sizes do not fit: weights (2, 2, 3, 4), v (2, 5, 4)" + context, [&] {
        attention_context(Tensor({2, 2, 3, 4}), k);
    });
    check_rejected("attention_context: the sizes do not fit: weights (2, 3, 3, 5), v (2, 5, 4)" + context, [&] {
        attention_context(Tensor({2, 3, 3, 5}), k);
    });
    check_rejected("attention_context: the sizes do not fit: weights (2, 0, 3, 5), v (2, 5, 4)" + context, [&] {
        attention_context(Tensor({2, 0, 3, 5}), k);
    });
}
