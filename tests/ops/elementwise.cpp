#include "lookback/ops/elementwise.h"

#include "ops/expect.h"

using namespace lookback;
using namespace lookback::expect;

TEST_CASE("arithmetic works element by element") {
    const Tensor a({2, 2}, {1, 2, 3, 4}), b({2, 2}, {4, 3, 2, -8});
    CHECK((a + b).values() == Values{5, 5, 5, -4});
    CHECK((a - b).values() == Values{-3, -1, 1, 12});
    CHECK((a * b).values() == Values{4, 6, 6, -32});
    CHECK((a / b).values() == Values{0.25, real(2) / 3, 1.5, -0.5});
    CHECK((-a).values() == Values{-1, -2, -3, -4});
    CHECK((Tensor({1}, {49}) / 49).item() == 1);    // 49 times the rounded 1 / 49 is less than 1
}

TEST_CASE("a plain number stands for a tensor, on either side") {
    const Tensor x({2}, {1, 4});
    CHECK((x + 1).values() == Values{2, 5});
    CHECK((1 - x).values() == Values{0, -3});
    CHECK((2 * x).values() == Values{2, 8});
    CHECK((1 / x).values() == Values{1, 0.25});
    CHECK((x / 2).shape() == Shape{2});
}

TEST_CASE("gradients of arithmetic, worked by hand") {
    Tensor a = Tensor({2}, {3, 4}).requires_grad(), b = Tensor({2}, {2, -5}).requires_grad();
    const Tensor weight({2}, {1, 10});
    const auto gradients = [&](const Tensor& y) {
        a.zero_grad();
        b.zero_grad();
        backward(sum(y * weight));
        return std::pair(gradient(a), gradient(b));
    };
    CHECK(gradients(a + b) == std::pair(Values{1, 10}, Values{1, 10}));
    CHECK(gradients(a - b) == std::pair(Values{1, 10}, Values{-1, -10}));
    CHECK(gradients(a * b) == std::pair(Values{2, -50}, Values{3, 40}));
    CHECK(gradients(a / b) == std::pair(Values{0.5, -2}, Values{-0.75, real(-1.6)}));    // 1 / b, -a / b^2
    CHECK(gradients(-a) == std::pair(Values{-1, -10}, Values{0, 0}));
    CHECK(gradients(a * a) == std::pair(Values{6, 80}, Values{0, 0}));
}

TEST_CASE("shapes are aligned at the last dimension and repeated where a size is 1") {
    const Tensor x({2, 3}, {1, 2, 3, 4, 5, 6});
    CHECK((x + Tensor({3}, {10, 20, 30})).values() == Values{11, 22, 33, 14, 25, 36});
    CHECK((x + Tensor({2, 1}, {10, 20})).values() == Values{11, 12, 13, 24, 25, 26});
    CHECK((Tensor({3, 1}, {1, 2, 3}) * Tensor({2}, {1, 10})).values() == Values{1, 10, 2, 20, 3, 30});
    const Tensor cube({2, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8});
    CHECK((cube + Tensor({2, 1, 2}, {10, 20, 30, 40})).values() == Values{11, 22, 13, 24, 35, 46, 37, 48});
    CHECK((cube + Tensor({2, 1}, {10, 20})).values() == Values{11, 12, 23, 24, 15, 16, 27, 28});
    CHECK((x + Tensor({1, 1, 1}, {1})).shape() == Shape{1, 2, 3});
    CHECK((Tensor({2, 0}) + Tensor({2, 1})).shape() == Shape{2, 0});
}

TEST_CASE("the gradient of a repeated value is the sum over its uses") {
    Tensor row = Tensor({3}, {1, 2, 3}).requires_grad(), column = Tensor({2, 1}, {1, 2}).requires_grad();
    backward(sum((row + column) * Tensor({2, 3}, {1, 2, 3, 4, 5, 6})));
    CHECK(gradient(row) == Values{5, 7, 9});
    CHECK(gradient(column) == Values{6, 15});
}

TEST_CASE("broadcasting in an operator is expand before it, to the bit") {
    const Tensor a = random_tensor({2, 3, 4}), b = random_tensor({3, 1}, 5);
    check_same([&] { return a * b; }, [&] { return a * expand(b, {2, 3, 4}); }, {a, b}, 0, 0);
}

TEST_CASE("exp, log, sqrt, tanh, sigmoid, relu and gelu have the values they should") {
    const Tensor x({5}, {-2, -0.5, 0, 0.5, 2});
    const auto close = [](const Tensor& y, const Values& expected) { return distance(y.values(), expected) <= 2e-7; };
    CHECK(close(exp(x), {0.135335283f, 0.60653066f, 1, 1.64872127f, 7.3890561f}));
    CHECK(close(log(Tensor({3}, {1, 2, 0.5})), {0, 0.69314718f, -0.69314718f}));
    CHECK(sqrt(Tensor({3}, {0, 4, 2.25})).values() == Values{0, 2, 1.5});
    CHECK(close(tanh(x), {-0.96402758f, -0.46211716f, 0, 0.46211716f, 0.96402758f}));
    CHECK(close(sigmoid(x), {0.11920292f, 0.37754067f, 0.5, 0.62245933f, 0.88079708f}));
    CHECK(relu(x).values() == Values{0, 0, 0, 0.5, 2});
    CHECK(close(gelu(x), {-0.04550026f, -0.15426877f, 0, 0.34573123f, 1.95449974f}));
    CHECK(close(gelu(x, Gelu::tanh), {-0.04540231f, -0.15428599f, 0, 0.34571401f, 1.95459769f}));
}

TEST_CASE("relu has slope 0 at 0, 1 above and 0 below") {
    Tensor x = Tensor({3}, {-1, 0, 1}).requires_grad();
    backward(sum(relu(x)));
    CHECK(gradient(x) == Values{0, 0, 1});
}

TEST_CASE("far out, the squashing functions saturate and stay finite") {
    Tensor x = Tensor({4}, {-1e4f, -100, 100, 1e4f}).requires_grad();
    CHECK(tanh(x).values() == Values{-1, -1, 1, 1});
    CHECK(sigmoid(x).values()[0] == 0);
    CHECK(sigmoid(x).values()[3] == 1);
    CHECK(distance(gelu(x).values(), {0, 0, 100, 1e4f}) == 0);
    CHECK(distance(gelu(x, Gelu::tanh).values(), {0, 0, 100, 1e4f}) == 0);
    backward(sum(tanh(x) + sigmoid(x) + gelu(x) + gelu(x, Gelu::tanh)));
    CHECK(distance(gradient(x), {0, 0, 2, 2}) <= 1e-6);
    Tensor far = Tensor({2}, {-3e38f, 3e38f}).requires_grad();
    for (const Gelu form : {Gelu::tanh, Gelu::erf}) {
        CHECK(gelu(far, form).values() == Values{0, 3e38f});
        backward(sum(gelu(far, form)));
    }
    CHECK(gradient(far) == Values{0, 2});
}

TEST_CASE("sigmoid and gelu are what their definitions say") {
    const Tensor x = random_tensor({3, 5});
    check_same([&] { return sigmoid(x); }, [&] { return 1 / (1 + exp(-x)); }, {x}, 1e-6, 1e-6);
    check_same([&] { return gelu(x, Gelu::tanh); }, [&] { return x * (1 + tanh(0.7978845608 * (x + 0.044715 * x * x * x))) / 2; },
               {x}, 1e-6, 1e-6);
}

TEST_CASE("shapes that do not broadcast are refused with both shapes and the line") {
    const Tensor a({2, 3}), b({2});
    const std::string rest = ": shapes do not broadcast: (2, 3) and (2); sizes must be equal or 1, counted from the last";
    check_rejected("add" + rest, [&] { a + b; });
    check_rejected("subtract" + rest, [&] { a - b; });
    check_rejected("multiply" + rest, [&] { a* b; });
    check_rejected("divide" + rest, [&] { a / b; });
    check_rejected("expand: (2, 3) cannot be repeated into (2, 4)", [&] { expand(a, {2, 4}); });
    check_rejected("expand: (2, 3) cannot be repeated into (3)", [&] { expand(a, {3}); });
    check_rejected("expand: (2) cannot be repeated into (3, 1)", [&] { expand(b, {3, 1}); });
}

TEST_CASE("expand refuses a negative size") { CHECK_THROWS_AS(expand(Tensor({1}), {-1}), std::invalid_argument); }
