#include "lookback/ops/softmax.h"

#include "lookback/ops/matmul.h"
#include "lookback/tensor/debugger.h"
#include "ops/expect.h"

using namespace lookback;
using namespace lookback::expect;

TEST_CASE("softmax by hand") {
    const Tensor y = softmax(Tensor({2, 3}, {0, 0, 0, 1, 2, 3}));
    CHECK(distance(y.values(), {1.f / 3, 1.f / 3, 1.f / 3, 0.09003057f, 0.24472847f, 0.66524096f}) <= 1e-7);
}

TEST_CASE("softmax is e^x over its sum, along every dimension") {
    const Tensor x = random_tensor({2, 3, 4});
    for (const int dim : {0, 1, 2}) {
        Shape kept = x.shape();
        kept[dim] = 1;
        check_same([&] { return softmax(x, dim); }, [&] { return exp(x) / reshape(sum(exp(x), dim), kept); }, {x}, 1e-6, 1e-6);
        check_same([&] { return log_softmax(x, dim); }, [&] { return log(softmax(x, dim)); }, {x}, 1e-6, 1e-6);
    }
}

TEST_CASE("softmax at +-1e4, which e^x cannot hold, is exact and has an exact gradient") {
    Tensor x = Tensor({3, 2}, {1e4f, -1e4f, 1e4f, 1e4f, -1e4f, -1e4f}).requires_grad();
    const Tensor y = softmax(x);
    CHECK(y.values() == Values{1, 0, 0.5, 0.5, 0.5, 0.5});
    backward(sum(y * Tensor({2}, {1, 2})));
    CHECK(gradient(x) == Values{0, 0, -0.25, 0.25, -0.25, 0.25});
    CHECK(distance(log_softmax(x).values(), {0, -2e4f, -0.69314718f, -0.69314718f, -0.69314718f, -0.69314718f}) <= 1e-6);
}

TEST_CASE("-inf has weight exactly 0 and gradient exactly 0; a row of nothing else gives zeros") {
    Tensor x = Tensor({2, 3}, {1, -inf, 1, -inf, -inf, -inf}).requires_grad();
    const Tensor y = softmax(x);
    CHECK(y.values() == Values{0.5, 0, 0.5, 0, 0, 0});
    backward(sum(y * Tensor({3}, {1, 5, 3})));
    CHECK(gradient(x) == Values{-0.5, 0, 0.5, 0, 0, 0});
}

TEST_CASE("NaN and +inf are not hidden by softmax") {
    const Unchecked unchecked;
    CHECK(std::isnan(softmax(Tensor({2}, {not_a_number, 0})).values()[1]));
    CHECK(std::isnan(softmax(Tensor({2}, {inf, 0})).values()[0]));
    CHECK(std::isnan(log_softmax(Tensor({2}, {not_a_number, 0})).values()[1]));
}

TEST_CASE("masked_softmax is softmax over what is not masked, to the bit") {
    const Tensor x = random_tensor({2, 3, 5}), mask({2, 1, 5}, {1, 0, 1, 1, 0, 0, 0, 1, 0, 1});
    Tensor hidden({2, 1, 5});
    for (int i = 0; i < 10; ++i) hidden.data()[i] = mask.data()[i] != 0 ? 0 : -inf;
    check_same([&] { return masked_softmax(x, mask); }, [&] { return softmax(x + hidden); }, {x}, 0, 0);
}

TEST_CASE("a mask is any number but 0, broadcast to the scores") {
    const Tensor x({2, 1, 2}, {0, 0, 0, 0});
    CHECK(masked_softmax(x, Tensor({2}, {-3, 0})).values() == Values{1, 0, 1, 0});
    CHECK(masked_softmax(x, Tensor({2, 1, 1}, {0.5, 0})).values() == Values{0.5, 0.5, 0, 0});
    CHECK(masked_softmax(x, Tensor::scalar(1)).values() == Values{0.5, 0.5, 0.5, 0.5});
}

TEST_CASE("what a masked score holds has exactly no effect, and its gradient is exactly 0") {
    const Tensor mask({4}, {1, 0, 1, 0}), weight({4}, {1, 50, 3, -1e30f});
    Values expected, expected_gradient;
    for (const real wild : {real(0), real(1e30), -inf, inf, not_a_number}) {
        Tensor x = Tensor({4}, {0.5, wild, -0.25, wild}).requires_grad();
        const Tensor y = masked_softmax(x, mask);
        backward(sum(y * weight));
        if (expected.empty()) expected = y.values(), expected_gradient = gradient(x);
        CHECK(y.values() == expected);
        CHECK(gradient(x) == expected_gradient);
        CHECK(gradient(x)[1] == 0);
        CHECK(gradient(x)[3] == 0);
        CHECK(gradient(x)[0] != 0);
    }
}

TEST_CASE("a row with nothing to attend to gives zeros, and gradient zero") {
    Tensor x = Tensor({2, 2}, {1, not_a_number, 3, 4}).requires_grad();
    const Tensor y = masked_softmax(x, Tensor({2, 1}, {0, 1}));
    CHECK(y.values()[0] == 0);
    CHECK(y.values()[1] == 0);
    backward(sum(y * y));
    CHECK(gradient(x)[0] == 0);
    CHECK(gradient(x)[1] == 0);
    CHECK(gradient(x)[3] != 0);
}

TEST_CASE("layer_norm by hand") {
    const Tensor x({2, 4}, {1, 2, 3, 4, -1, -1, 1, 1}), weight({4}, {1, 1, 1, 2}), bias({4}, {0, 0, 0, 1});
    const real a = 0.4472136f, b = 1.3416408f;    // (x - 2.5) / sqrt(1.25)
    CHECK(distance(layer_norm(x, weight, bias, 0).values(), {-b, -a, a, 1 + 2 * b, -1, -1, 1, 3}) <= 1e-6);
}

TEST_CASE("layer_norm is what its equation says, from means") {
    const Tensor x = random_tensor({2, 3, 5}), weight = random_tensor({5}, 3), bias = random_tensor({5}, 4);
    const auto composed = [&] {
        const Tensor centred = x - reshape(mean(x, -1), {2, 3, 1});
        const Tensor variance = reshape(mean(centred * centred, -1), {2, 3, 1});
        return centred / sqrt(variance + 1e-5) * weight + bias;
    };
    check_same([&] { return layer_norm(x, weight, bias); }, composed, {x, weight, bias}, 1e-6, 2e-6);
}

TEST_CASE("layer_norm of numbers around 1,000 is that of the same numbers around 0, and so is its gradient") {
    Tensor far = random_tensor({3, 64}), near({3, 64});
    for (std::size_t i = 0; i < far.size(); ++i) {
        far.data()[i] += 1000;
        near.data()[i] = far.data()[i] - 1000;    // exact
    }
    far.requires_grad();
    near.requires_grad();
    const Tensor weight = random_tensor({64}), bias({64});
    const Tensor y_far = layer_norm(far, weight, bias), y_near = layer_norm(near, weight, bias);
    CHECK(distance(y_far.values(), y_near.values()) <= 1e-4);
    backward_through_projection(y_far, {far});
    backward_through_projection(y_near, {near});
    CHECK(distance(gradient(far), gradient(near)) <= 1e-4);
}

TEST_CASE("layer_norm of equal numbers is the bias") {
    CHECK(layer_norm(Tensor({3}, {7, 7, 7}), Tensor({3}, {1, 2, 3}), Tensor({3}, {4, 5, 6})).values() == Values{4, 5, 6});
}

TEST_CASE("the softmax family and layer_norm refuse what does not fit, with the shapes and the line") {
    const Tensor x({2, 3}), mask({2}), weight({2}), bias({3}), scalar(Shape{});
    check_rejected("softmax: no dimension 2 in the shape (2, 3)", [&] { softmax(x, 2); });
    check_rejected("softmax: no dimension -1 in the shape ()", [&] { softmax(scalar); });
    check_rejected("log_softmax: no dimension -3 in the shape (2, 3)", [&] { log_softmax(x, -3); });
    check_rejected("masked_softmax: a mask of (2) does not broadcast to scores of (2, 3)", [&] { masked_softmax(x, mask); });
    check_rejected("masked_softmax: a mask of (2, 3) does not broadcast to scores of (3)", [&] { masked_softmax(bias, x); });
    check_rejected("layer_norm: a weight of (2) and a bias of (3) do not fit the last size of (2, 3)",
                   [&] { layer_norm(x, weight, bias); });
    check_rejected("layer_norm: a weight of (3) and a bias of (2) do not fit the last size of (2, 3)",
                   [&] { layer_norm(x, bias, weight); });
}
