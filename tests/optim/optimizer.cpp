#include "lookback/optim/optimizer.h"

#include "lookback/nn/layers.h"
#include "ops/expect.h"

using namespace lookback;
using namespace lookback::expect;

namespace {

Tensor parameter(const Values& values, const Values& gradient_values) {
    Tensor w = Tensor({static_cast<int>(values.size())}, values).requires_grad();
    w.zero_grad();
    std::ranges::copy(gradient_values, w.grad());
    return w;
}

void set_gradient(const Tensor& w, Values values) { std::ranges::copy(values, w.grad()); }

}    // namespace

TEST_CASE("SGD by hand") {
    const Tensor w = parameter({1, -2}, {0.5, 0.25});
    Sgd sgd(std::vector{w}, {.lr = 0.1});
    sgd.step();
    CHECK(distance(w.values(), {0.95f, -2.025f}) <= 1e-7);
    sgd.options.lr = 1;    // a schedule changes it between steps
    sgd.step();
    CHECK(distance(w.values(), {0.45f, -2.275f}) <= 1e-7);
}

TEST_CASE("SGD with momentum by hand: v = 0.9 v + dw") {
    const Tensor w = parameter({1}, {0.5});
    Sgd sgd(std::vector{w}, {.lr = 0.1, .momentum = 0.9});
    sgd.step();    // v = 0.5
    CHECK(distance(w.values(), {0.95f}) <= 1e-7);
    sgd.step();    // v = 0.45 + 0.5
    CHECK(distance(w.values(), {0.855f}) <= 1e-7);
    set_gradient(w, {0});
    sgd.step();    // v = 0.855
    CHECK(distance(w.values(), {0.7695f}) <= 1e-7);
}

TEST_CASE("momentum may be asked for later") {
    Tensor w({1}, {1});
    w.zero_grad();
    Sgd sgd({w}, {.lr = 1});
    for (const double momentum : {0.0, 0.5, 0.5}) {
        sgd.options.momentum = momentum;
        w.grad()[0] = 1;
        sgd.step();
    }
    CHECK(w.item() == 1 - 1 - 1 - 1.5);
}

TEST_CASE("two steps of Adam by hand, with epsilon outside the root") {
    const Tensor w = parameter({1}, {0.5});
    Adam adam(std::vector{w}, {.lr = 0.3, .beta1 = 0.5, .beta2 = 0.75, .eps = 1});
    adam.step();    // m = 0.25, v = 0.0625; corrected 0.5, 0.25: 0.5 / (0.5 + 1). Inside the root it would be 0.447.
    CHECK(distance(w.values(), {0.9f}) <= 1e-7);
    set_gradient(w, {-1});
    adam.step();    // m = -0.375, v = 0.296875; corrected by 0.75 and 0.4375: -0.5 / (0.8237545 + 1)
    CHECK(distance(w.values(), {0.9f + 0.3f * 0.27416036f}) <= 4e-7);
    CHECK(adam.first_moment[0].values() == Values{-0.375});
    CHECK(adam.second_moment[0].values() == Values{0.296875});
    CHECK(adam.steps == 2);
}

TEST_CASE("Adam's first step is the learning rate, however large the gradient") {
    const Tensor w = parameter({0, 0, 0}, {1e-4f, -1, 1e4f});
    Adam adam(std::vector{w}, {.lr = 0.01});
    adam.step();
    CHECK(distance(w.values(), {-0.01f, 0.01f, -0.01f}) <= 1e-5);
}

TEST_CASE("AdamW's weight decay is outside the moments") {
    const Tensor w = parameter({2, 2}, {0, 0.5});
    Adam adam(std::vector{w}, {.lr = 0.1, .eps = 1, .weight_decay = 0.25});
    adam.step();    // 2 - 0.1 * 0.25 * 2, and 0.1 * 0.5 / (0.5 + 1) less
    CHECK(distance(w.values(), {1.95f, 1.95f - 0.1f / 3}) <= 1e-7);
    CHECK(adam.first_moment[0].values()[0] == 0);
    CHECK(adam.second_moment[0].values()[0] == 0);
}

TEST_CASE("a parameter that no backward pass has reached stays as it is") {
    const Tensor reached = parameter({1}, {1}), never = Tensor({1}, {1}).requires_grad();
    Sgd sgd({reached, never}, {.lr = 0.1, .momentum = 0.9});
    Adam adam({reached, never}, {.lr = 0.1, .weight_decay = 0.1});
    sgd.step();
    adam.step();
    CHECK(reached.item() < 1);
    CHECK(never.item() == 1);
    CHECK(clip_grad_norm({reached, never}, 10) == 1);
}

TEST_CASE("tied weights are stepped once") {
    struct Tied {
        Tensor a, b;
        void parameters(const Visit& visit) {
            visit("a", a);
            visit("b", b);
        }
    } tied;
    tied.a = tied.b = parameter({1}, {1});
    Sgd sgd(tied, {.lr = 0.1});
    sgd.step();
    CHECK(distance(tied.a.values(), {0.9f}) <= 1e-7);
}

TEST_CASE("clipping scales all gradients by max / norm of all of them together") {
    const Tensor a = parameter({1, 1}, {3, 0}), b = parameter({1}, {-4});
    CHECK(clip_grad_norm({a, b}, 1) == 5);
    CHECK(distance(gradient(a), {0.6f, 0}) <= 1e-7);
    CHECK(distance(gradient(b), {-0.8f}) <= 1e-7);
    CHECK(a.values() == Values{1, 1});
}

TEST_CASE("a norm whose square a float cannot hold is the norm all the same") {
    Tensor large({2}), small({2});
    for (Tensor* w : {&large, &small}) w->zero_grad();
    large.grad()[0] = 3e19f, large.grad()[1] = 4e19f;
    CHECK(clip_grad_norm({large}, 1) == doctest::Approx(5e19));
    CHECK(large.grad()[0] == doctest::Approx(0.6));
    CHECK(large.grad()[1] == doctest::Approx(0.8));
    small.grad()[0] = 3e-23f, small.grad()[1] = 4e-23f;
    CHECK(clip_grad_norm({small}, 1e-23) / 5e-23 == doctest::Approx(1));
    CHECK(double{small.grad()[1]} / 0.8e-23 == doctest::Approx(1));
}

TEST_CASE("a norm whose square is 0 in float is the norm all the same") {
    const Tensor w = parameter({0, 0}, {real(3e-30), real(4e-30)});
    CHECK(clip_grad_norm({w}, 1e-30) / 5e-30 == doctest::Approx(1));
    CHECK(static_cast<double>(w.grad()[1]) / 0.8e-30 == doctest::Approx(1));
}

TEST_CASE("a norm up to the maximum stays as it is, to the bit") {
    const Tensor a = parameter({0, 0}, {3, -4});
    CHECK(clip_grad_norm({a}, 5) == 5);
    CHECK(clip_grad_norm({a}, 100) == 5);
    CHECK(gradient(a) == Values{3, -4});
}

TEST_CASE("a zero gradient stays zero when clipped") {
    const Tensor a = parameter({1, 2}, {0, 0});
    CHECK(clip_grad_norm({a}, 1) == 0);
    CHECK(gradient(a) == Values{0, 0});
    CHECK(clip_grad_norm({a}, 0) == 0);
    CHECK(gradient(a) == Values{0, 0});
}

TEST_CASE("warm-up rises in a line to 1, then half a cosine falls to 0") {
    CHECK(warmup_cosine(0, 100, 1100) == 0.01);
    CHECK(warmup_cosine(49, 100, 1100) == 0.5);
    CHECK(warmup_cosine(99, 100, 1100) == 1);
    CHECK(warmup_cosine(100, 100, 1100) == 1);
    CHECK(warmup_cosine(350, 100, 1100) == doctest::Approx(0.8535534));    // (1 + cos 45 degrees) / 2
    CHECK(warmup_cosine(600, 100, 1100) == doctest::Approx(0.5));
    CHECK(warmup_cosine(1099, 100, 1100) > 0);
    CHECK(warmup_cosine(1100, 100, 1100) == doctest::Approx(0));
    CHECK(warmup_cosine(5000, 100, 1100) == warmup_cosine(1100, 100, 1100));
    CHECK(warmup_cosine(0, 0, 10) == 1);
    CHECK(warmup_cosine(5, 10, 10) == 0.6);    // a run shorter than its warm-up
}

TEST_CASE("warm-up rises in a line to 1, then falls as 1 / sqrt(step)") {
    CHECK(warmup_inverse_sqrt(0, 4) == 0.25);
    CHECK(warmup_inverse_sqrt(3, 4) == 1);
    CHECK(warmup_inverse_sqrt(15, 4) == 0.5);
    CHECK(warmup_inverse_sqrt(0, 0) == 1);
    CHECK(warmup_inverse_sqrt(3, 0) == 0.5);
}

TEST_CASE("options that would turn a step round, or make NaN of it, are refused") {
    Tensor w({1});
    w.requires_grad().zero_grad();
    const std::vector<Tensor> parameters{w};
    CHECK_THROWS_WITH_AS(Adam(parameters, {.lr = -1}), doctest::Contains("Adam: lr of -1"), std::invalid_argument);
    CHECK_THROWS_WITH_AS(Adam(parameters, {.beta2 = 1}), doctest::Contains("Adam: beta2 of 1"), std::invalid_argument);
    CHECK_THROWS_WITH_AS(Adam(parameters, {.eps = NAN}), doctest::Contains("Adam: eps of nan"), std::invalid_argument);
    CHECK_THROWS_WITH_AS(Sgd(parameters, {.lr = NAN}), doctest::Contains("Sgd: lr of nan"), std::invalid_argument);
    CHECK_THROWS_WITH_AS(clip_grad_norm(parameters, -1), doctest::Contains("clip_grad_norm: a norm of at most -1"),
                         std::invalid_argument);
}
