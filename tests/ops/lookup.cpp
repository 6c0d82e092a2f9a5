#include "lookback/ops/lookup.h"

#include "lookback/ops/matmul.h"
#include "lookback/ops/softmax.h"
#include "ops/expect.h"

using namespace lookback;
using namespace lookback::expect;

TEST_CASE("embedding picks rows, and adds up the gradients of a row picked twice") {
    Tensor weight = Tensor({3, 2}, {1, 2, 3, 4, 5, 6}).requires_grad();
    const Tensor y = embedding({{2, 2}, {2, 0, 2, 2}}, weight);
    CHECK(y.shape() == Shape{2, 2, 2});
    CHECK(y.values() == Values{5, 6, 1, 2, 5, 6, 5, 6});
    backward(sum(y * Tensor({2, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8})));
    CHECK(gradient(weight) == Values{3, 4, 0, 0, 13, 16});
}

TEST_CASE("embedding is a product with one-hot rows") {
    const Tensor weight = random_tensor({4, 3});
    const Tensor one_hot({3, 4}, {0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 0});
    check_same([&] { return embedding({{3}, {2, 0, 2}}, weight); }, [&] { return matmul(one_hot, weight); }, {weight}, 0, 0);
}

TEST_CASE("index_select takes rows of any rank in the order asked for, and says which row is not there") {
    const Tensor x({3, 1, 2}, {1, 2, 3, 4, 5, 6});
    CHECK(index_select(x, {2, 0, 2}).shape() == Shape{3, 1, 2});
    CHECK(index_select(x, {2, 0, 2}).values() == Values{5, 6, 1, 2, 5, 6});
    CHECK(index_select(x, {}).shape() == Shape{0, 1, 2});
    check_rejected("index_select: no row 3 in (3, 1, 2)", [&] { index_select(x, {0, 3}); });
    check_rejected("index_select: no row -1 in (3, 1, 2)", [&] { index_select(x, {-1}); });
    check_rejected("index_select: a scalar has no rows", [&] { index_select(Tensor::scalar(1), {0}); });
}

TEST_CASE("dropout zeroes about p of the elements and divides the others by 1 - p") {
    Random random(1);
    Tensor x = Tensor({100, 100}, Values(10000, 3)).requires_grad();
    const Tensor y = dropout(x, 0.2, {&random});
    const Values values = y.values();
    const auto dropped = std::ranges::count(values, real(0)), kept = std::ranges::count(values, 3 * static_cast<real>(1 / 0.8));
    CHECK(dropped + kept == 10000);
    CHECK(std::abs(static_cast<double>(dropped) - 2000) < 4 * 40);    // four deviations of the binomial distribution
    backward(sum(y));
    for (std::size_t i = 0; i < x.size(); ++i) CHECK(x.grad()[i] * 3 == values[i]);
}

TEST_CASE("dropout in evaluation, or with p = 0, is the tensor itself and takes no random number") {
    Random random(1), untouched(1);
    const Tensor x = random_tensor({3, 3});
    CHECK(dropout(x, 0.5, evaluation).node == x.node);
    CHECK(dropout(x, 0, {&random}).node == x.node);
    CHECK(random.next() == untouched.next());
}

TEST_CASE("dropout of the same seed drops the same elements, of the next draw others") {
    const Tensor x({100}, Values(100, 1));
    Random a(1), b(1);
    CHECK(dropout(x, 0.5, {&a}).values() == dropout(x, 0.5, {&b}).values());
    CHECK(dropout(x, 0.5, {&a}).values() != dropout(x, 0.5, {&a}).values());
}

TEST_CASE("cross entropy of equal logits is ln V") {
    CHECK(cross_entropy(Tensor({2, 5}), {{2}, {3, 0}}).item() == doctest::Approx(std::log(5.0)).epsilon(1e-7));
}

TEST_CASE("cross entropy and its gradient by hand, with label smoothing over 5 classes") {
    // p = (1, 1, 2, 4, 8) / 16. l = ln p = -(ln 16, ln 16, ln 8, ln 4, ln 2), which sums to -14 ln 2.
    const real ln2 = 0.69314718f;
    Tensor x = Tensor({1, 5}, {0, 0, ln2, 2 * ln2, 3 * ln2}).requires_grad();
    CHECK(cross_entropy(x, {{1}, {2}}).item() == doctest::Approx(3 * ln2));
    const Tensor loss = cross_entropy(x, {{1}, {2}}, {.label_smoothing = 0.1});
    CHECK(loss.item() == doctest::Approx((0.9 * 3 + 0.02 * 14) * ln2));
    backward(loss);
    CHECK(distance(gradient(x), {0.0425f, 0.0425f, -0.795f, 0.23f, 0.48f}) <= 1e-6);
}

TEST_CASE("cross entropy is -log_softmax at the targets, weighted and summed") {
    const Tensor logits = random_tensor({2, 3, 4});
    const Ids targets{{2, 3}, {1, 0, 3, 2, 0, 0}};
    for (const double smoothing : {0.0, 0.3})
        for (const int ignored : {-100, 0})
            for (const double divisor : {0.0, 10.0}) {
                CAPTURE(smoothing);
                CAPTURE(ignored);
                CAPTURE(divisor);
                Tensor weight({2, 3, 4});
                int counted = 0;
                for (int i = 0; i < 6; ++i) {
                    if (targets.values[i] == ignored) continue;
                    ++counted;
                    for (int v = 0; v < 4; ++v)
                        weight.data()[i * 4 + v] =
                            static_cast<real>((v == targets.values[i] ? 1 - smoothing : 0) + smoothing / 4);
                }
                check_same(
                    [&] {
                        return cross_entropy(logits, targets,
                                             {.ignore_index = ignored, .label_smoothing = smoothing, .divisor = divisor});
                    },
                    [&] { return -sum(log_softmax(logits) * weight) / (divisor != 0 ? divisor : counted); }, {logits}, 1e-6,
                    1e-6);
            }
}

TEST_CASE("padding has exactly no effect on the loss, which is the mean over real tokens, and exactly zero gradient") {
    const auto loss_of = [](real wild) {
        Tensor logits = Tensor({3, 2}, {1, 2, wild, -wild, 3, 0}).requires_grad();
        const Tensor loss = cross_entropy(logits, {{3}, {1, 9, 0}}, {.ignore_index = 9});
        backward(loss);
        return std::pair(loss.item(), gradient(logits));
    };
    const auto [loss, grad] = loss_of(0);
    const real alone = cross_entropy(Tensor({2, 2}, {1, 2, 3, 0}), {{2}, {1, 0}}).item();
    CHECK(loss == alone);
    CHECK(grad[2] == 0);
    CHECK(grad[3] == 0);
    CHECK(grad[0] != 0);
    for (const real wild : {real(1e30), inf, not_a_number}) CHECK(loss_of(wild) == std::pair(loss, grad));
}

TEST_CASE("class 0 can be learned when padding has another id") {
    Tensor logits = Tensor({1, 3}).requires_grad();
    backward(cross_entropy(logits, {{1}, {0}}, {.ignore_index = 2}));
    CHECK(distance(gradient(logits), {-2.f / 3, 1.f / 3, 1.f / 3}) <= 1e-6);
}

TEST_CASE("a batch of nothing but padding has loss 0 and gradient 0") {
    Tensor logits = random_tensor({2, 3}).requires_grad();
    const Tensor loss = cross_entropy(logits, {{2}, {1, 1}}, {.ignore_index = 1});
    CHECK(loss.item() == 0);
    backward(loss);
    CHECK(gradient(logits) == Values(6, 0));
}

TEST_CASE("a divisor makes the losses of shards add up to the loss of the batch") {
    const Tensor logits = random_tensor({4, 3});
    const real whole = cross_entropy(logits, {{4}, {0, 1, 2, 0}}, {.divisor = 4}).item();
    const real first = cross_entropy(slice(logits, 0, 0, 1), {{1}, {0}}, {.divisor = 4}).item();
    const real rest = cross_entropy(slice(logits, 0, 1, 4), {{3}, {1, 2, 0}}, {.divisor = 4}).item();
    CHECK(whole == doctest::Approx(first + rest).epsilon(1e-6));
    CHECK(whole == doctest::Approx(cross_entropy(logits, {{4}, {0, 1, 2, 0}}).item()).epsilon(1e-6));
}

TEST_CASE("cross entropy keeps its digits when the logits are large") {
    CHECK(cross_entropy(Tensor({1, 2}, {1e4f, 1e4f}), {{1}, {0}}).item() == doctest::Approx(std::log(2.0)).epsilon(1e-6));
    CHECK(cross_entropy(Tensor({1, 2}, {-1e4f, -1e4f}), {{1}, {0}}, {.label_smoothing = 0.5}).item() ==
          doctest::Approx(std::log(2.0)).epsilon(1e-6));
    CHECK(cross_entropy(Tensor({1, 2}, {1e4f, -1e4f}), {{1}, {1}}).item() == 2e4f);
}

TEST_CASE("a class of logit -inf does not count, unless it is the target") {
    Tensor logits = Tensor({1, 3}, {0, -inf, 0}).requires_grad();
    const Tensor loss = cross_entropy(logits, {{1}, {0}});
    CHECK(loss.item() == doctest::Approx(std::log(2.0)).epsilon(1e-6));
    backward(loss);
    CHECK(gradient(logits) == Values{-0.5, 0, 0.5});
    CHECK(cross_entropy(logits, {{1}, {1}}).item() == inf);
}

TEST_CASE("lookups refuse what does not fit, with the numbers and the line") {
    const Tensor table({3, 2}), vector({3}), logits({2, 4});
    check_rejected("embedding: a table is (V, E), not (3)", [&] { embedding({{1}, {0}}, vector); });
    check_rejected("embedding: id 3 at position 1 is not in a table of 3 rows", [&] { embedding({{2}, {0, 3}}, table); });
    check_rejected("embedding: id -1 at position 0 is not in a table of 3 rows", [&] { embedding({{1}, {-1}}, table); });
    check_rejected("embedding: 2 ids do not fill (3)", [&] { embedding({{3}, {0, 1}}, table); });
    check_rejected("embedding: 1 ids do not fill (-1, -1)", [&] { embedding({{-1, -1}, {0}}, table); });
    Random random(1);
    check_rejected("dropout: p must be in [0, 1), not 1", [&] { dropout(vector, 1, {&random}); });
    check_rejected("dropout: p must be in [0, 1), not -0.5", [&] { dropout(vector, -0.5, {&random}); });
    check_rejected("dropout: p must be in [0, 1), not 1", [&] { dropout(vector, 1, evaluation); });
    check_rejected("cross_entropy: logits of (2, 4) need one target a row, not targets of (3)", [&] {
        cross_entropy(logits, {{3}, {0, 1, 2}});
    });
    check_rejected("cross_entropy: target 4 at position 1 is not one of 4 classes", [&] {
        cross_entropy(logits, {{2}, {0, 4}});
    });
    check_rejected("cross_entropy: label_smoothing must be in [0, 1], not 2", [&] {
        cross_entropy(logits, {{2}, {0, 1}}, {.label_smoothing = 2});
    });
    check_rejected("cross_entropy: target -1 at position 0 is not one of 4 classes", [&] {
        cross_entropy(logits, {{2}, {-1, 0}});
    });
}
