#include "lookback/tensor/tensor.h"

#include <doctest/doctest.h>

#include <cmath>
#include <stdexcept>

#include "lookback/ops/elementwise.h"
#include "lookback/ops/shape.h"
#include "lookback/tensor/node.h"

using namespace lookback;
using Values = std::vector<real>;

TEST_CASE("a tensor is made of zeros, of values, or of one number") {
    CHECK(Tensor({2, 2}).values() == Values{0, 0, 0, 0});
    CHECK(Tensor({3}, {0, 0, 1}).values() == Values{0, 0, 1});    // which no call site may be mistaken for
    CHECK(Tensor({2, 0}).size() == 0);
    CHECK(Tensor::scalar(3).item() == 3);
    CHECK(Tensor::scalar(3).rank() == 0);
    CHECK_FALSE(Tensor());
}

TEST_CASE("sizes count from either end") {
    const Tensor x({2, 3, 4});
    CHECK(x.rank() == 3);
    CHECK(x.size(0) == 2);
    CHECK(x.size(-1) == 4);
    CHECK(x.size() == 24);
    CHECK(to_string(x.shape()) == "(2, 3, 4)");
    CHECK(to_string(Shape{}) == "()");
    CHECK_THROWS_WITH_AS(x.size(3), doctest::Contains("size: no dimension 3 in the shape (2, 3, 4) [tests/tensor/tensor.cpp:"),
                         std::invalid_argument);
    CHECK_THROWS_WITH_AS(x.size(-4), doctest::Contains("size: no dimension -4 in the shape (2, 3, 4) ["), std::invalid_argument);
}

TEST_CASE("values that do not fill the shape, a negative size, more elements than int counts, and the item of many are refused") {
    const auto message = [](const auto& call) {
        try {
            call();
        } catch (const std::invalid_argument& error) {
            return std::string(error.what());
        }
        return std::string();
    };
    CHECK(message([] { Tensor({2, 2}, {1, 2, 3}); }).starts_with("tensor: 3 values do not fill the shape (2, 2) ["));
    CHECK(message([] { Tensor({2, 2}, {1, 2, 3}); }).find("tests/tensor/tensor.cpp:") != std::string::npos);
    CHECK(message([] { Tensor({2, -1}); }).starts_with("tensor: a size is negative: (2, -1) ["));
    CHECK(message([] {
              Tensor({65536, 32768});
          }).starts_with("tensor: (65536, 32768) has 2.15e+09 elements, and at most 2^31 - 1 are counted ["));
    CHECK(message([] { Tensor({50'000, 1}) + Tensor({1, 50'000}); }).starts_with("tensor: (50000, 50000) has 2.5e+09 elements"));
    CHECK(message([] {
              static_cast<void>(Tensor({2}).item());
          }).starts_with("item: (2) is not one number; take sum() or mean() first [tests/tensor/tensor.cpp:"));
}

TEST_CASE("copies of a tensor are handles on the same data") {
    Tensor a({2}, {1, 2});
    const Tensor b = a;
    a.data()[0] = 5;
    CHECK(b.values()[0] == 5);
    a = static_cast<const Tensor&>(a);
    CHECK(a.values() == Values{5, 2});
    a = Tensor({1}, {7});
    CHECK(b.values() == Values{5, 2});
    const Tensor moved = std::move(a);
    CHECK(moved.item() == 7);
    CHECK_FALSE(a);
}

TEST_CASE("data begin at a cache line, so that every machine loads them alike") {
    for (const int size : {1, 3, 17, 1000}) CHECK(reinterpret_cast<std::uintptr_t>(Tensor({size}).data()) % 64 == 0);
}

TEST_CASE("a tensor that was freed leaves nothing behind in a new one of the same size") {
    { const Tensor x({33}, Values(33, 7)); }
    CHECK(Tensor({33}).values() == Values(33, 0));
    { Tensor({33}).zero_grad(); }
    Tensor x = Tensor({33}, Values(33, 7)).requires_grad();
    x.zero_grad();
    CHECK(Values(x.grad(), x.grad() + 33) == Values(33, 0));
}

TEST_CASE("random tensors keep to their bounds and their deviation") {
    Random random(1);
    const Tensor x = Tensor::uniform({100, 100}, -2, 3, random), y = Tensor::normal({100, 100}, 0.5, random);
    double low = 0, high = 0, mean = 0, squares = 0;
    for (const real value : x.values())
        low = std::min<double>(low, value), high = std::max<double>(high, value), mean += value / 1e4;
    for (const real value : y.values()) squares += value * value / 1e4;
    CHECK(low >= -2);
    CHECK(low < -1.99);
    CHECK(high <= 3);
    CHECK(high > 2.99);
    CHECK(std::abs(mean - 0.5) < 4 * 5 / std::sqrt(12.0) / 100);
    CHECK(std::abs(squares - 0.25) < 4 * 0.25 * std::sqrt(2.0) / 100);
    Random again(1);
    CHECK(Tensor::uniform({100, 100}, -2, 3, again).values() == x.values());
}

TEST_CASE("a label says how a node is called: its name, or its number and op, and its shape") {
    restart_node_ids();
    Tensor x = Tensor({2, 3}).requires_grad();
    CHECK(label(*x.node) == "leaf (2, 3)");
    Tensor y = tanh(x);
    CHECK(label(*y.node) == "#1 tanh (2, 3)");
    y.named("state");
    CHECK(label(*y.node) == "state (2, 3)");
    CHECK(label(*x.named("weight").node) == "weight (2, 3)");
}

TEST_CASE("a node knows the line that made it") {
    const Tensor x({2});
    const Tensor y = tanh(x), z = x + y;    // both on this line
    const unsigned line = __LINE__ - 1;
    CHECK(y.node->where.line == line);
    CHECK(z.node->where.line == line);
    CHECK(to_string(y.node->where).ends_with("tests/tensor/tensor.cpp:" + std::to_string(line)));
}

TEST_CASE("a place in the program is told from the top of the source tree") {
    CHECK(to_string(Where::current("../../tutorials/00_tour.cpp", "main", 7)) == "tutorials/00_tour.cpp:7");
    CHECK(to_string(Where::current("tutorials/00_tour.cpp", "main", 7)) == "tutorials/00_tour.cpp:7");
}

TEST_CASE("node numbers count the ops, and start again when told") {
    Tensor x = Tensor({1}).requires_grad();
    CHECK(x.node->id == 0);
    for (int step = 0; step < 2; ++step) {
        restart_node_ids();
        const Tensor y = x * x, z = tanh(y);
        CHECK(y.node->id == 1);
        CHECK(z.node->id == 2);
    }
    // The order of a graph does not depend on them.
    const Tensor early = tanh(tanh(x));
    restart_node_ids();
    const Tensor late = tanh(early);
    CHECK(late.node->id < early.node->id);
    CHECK(graph_of(late).back() == late.node);
}

TEST_CASE("where no gradient is asked for, no graph is kept") {
    const Tensor x({2}, {1, 2});
    const Tensor y = tanh(x);
    CHECK_FALSE(y.node->requires_grad);
    CHECK(y.node->inputs.empty());
    CHECK_THROWS_AS(backward(sum(y)), std::invalid_argument);
}

TEST_CASE("under NoGrad values are computed and no graph is kept; afterwards it is") {
    Tensor x = Tensor({2}, {1, 2}).requires_grad();
    {
        const NoGrad outer;
        {
            const NoGrad inner;
            CHECK_FALSE((x * x).node->requires_grad);
        }
        const Tensor y = x * x;
        CHECK(y.values() == Values{1, 4});
        CHECK_FALSE(y.node->requires_grad);
        CHECK(y.node->inputs.empty());
        CHECK_THROWS_AS(backward(sum(y)), std::invalid_argument);
    }
    CHECK((x * x).node->requires_grad);
}

TEST_CASE("an alias shares the data of a parameter and has a gradient of its own") {
    Tensor weight = Tensor({2}, {1, 2}).requires_grad().named("weight");
    weight.zero_grad();
    Tensor shared = shared_weights(weight);
    CHECK(shared.data() == weight.data());
    CHECK(label(*shared.node) == "weight (2)");
    weight.data()[0] = 5;
    backward(sum(shared * shared));
    CHECK(shared.grad()[0] == 10);
    CHECK(shared.grad()[1] == 4);
    CHECK(weight.grad()[0] == 0);
    weight = Tensor();    // the alias keeps the data alive
    CHECK(shared.values() == Values{5, 2});
}
