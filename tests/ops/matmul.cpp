#include "lookback/ops/matmul.h"

#include "../../src/kernels/kernels.h"
#include "../../src/tensor/weight_product.h"
#include "lookback/tensor/packed_weights.h"
#include "ops/expect.h"

using namespace lookback;
using namespace lookback::expect;

TEST_CASE("matmul in 2-D, by hand") {
    const Tensor a({2, 3}, {1, 2, 3, 4, 5, 6}), b({3, 2}, {1, 0, 2, -1, 0, 3});
    CHECK(matmul(a, b).shape() == Shape{2, 2});
    CHECK(matmul(a, b).values() == Values{5, 7, 14, 13});
}

TEST_CASE("the gradient of a matrix product is dy b^T and a^T dy") {
    Tensor a = Tensor({2, 2}, {1, 2, 3, 4}).requires_grad(), b = Tensor({2, 2}, {5, 6, 7, 8}).requires_grad();
    backward(sum(matmul(a, b) * Tensor({2, 2}, {1, 0, 0, 10})));
    CHECK(gradient(a) == Values{5, 7, 60, 80});
    CHECK(gradient(b) == Values{1, 30, 2, 40});
}

TEST_CASE("a vector takes part as (1, n) or (n, 1)") {
    const Tensor row({1, 3}, {1, 2, 3}), column({3, 1}, {4, 5, 6});
    CHECK(matmul(row, column).values() == Values{32});
    CHECK(matmul(column, row).values() == Values{4, 8, 12, 5, 10, 15, 6, 12, 18});
}

TEST_CASE("a batch of products is each product on its own, to the bit") {
    const Tensor a = random_tensor({2, 3, 4, 5}), b = random_tensor({2, 3, 5, 6}, 3);
    const auto one_by_one = [&] {
        const Tensor flat_a = reshape(a, {6, 4, 5}), flat_b = reshape(b, {6, 5, 6});
        std::vector<Tensor> products;
        for (int i = 0; i < 6; ++i)
            products.push_back(matmul(reshape(slice(flat_a, 0, i, i + 1), {4, 5}), reshape(slice(flat_b, 0, i, i + 1), {5, 6})));
        return reshape(stack(products, 0), {2, 3, 4, 6});
    };
    check_same([&] { return matmul(a, b); }, one_by_one, {a, b}, 0, 0);
}

TEST_CASE("a shared right side is the same matrix for every product of the batch") {
    const Tensor a = random_tensor({2, 3, 4}), b = random_tensor({4, 5}, 3);
    check_same([&] { return matmul(a, b); }, [&] { return matmul(a, expand(b, {2, 4, 5})); }, {a, b}, 0, 1e-6);
}

TEST_CASE("linear is matmul with the transposed weight, to the bit, plus the bias") {
    const Tensor x = random_tensor({2, 7, 5}), weight = random_tensor({4, 5}, 3), bias = random_tensor({4}, 4);
    check_same([&] { return linear(x, weight); }, [&] { return matmul(x, transpose(weight)); }, {x, weight}, 0, 0);
    check_same([&] { return linear(x, weight, bias); }, [&] { return matmul(x, transpose(weight)) + bias; }, {x, weight, bias},
               1e-6, 1e-6);
}

TEST_CASE("linear with a block of a weight is linear with slices of weight and bias, to the bit") {
    const Tensor x = random_tensor({3, 2}), weight = random_tensor({5, 4}, 3), bias = random_tensor({5}, 4);
    const auto sliced = [&] {
        const Tensor rows = slice(weight, 0, 1, 4);
        return linear(x, slice(rows, 1, 2, 4), slice(bias, 0, 1, 4));
    };
    check_same([&] { return linear(x, weight, bias, {.row = 1, .rows = 3, .column = 2}); }, sliced, {x, weight, bias}, 0, 0);
}

TEST_CASE("under Frozen, products read copies of their weights, with the same bits") {
    const Tensor x = random_tensor({2, 3}), weight = random_tensor({5, 4}, 3), bias = random_tensor({5}, 4);
    const auto y = [&] { return linear(x, weight, bias, {.row = 1, .rows = 3, .column = 1}).values(); };
    const Values before = y();
    {
        const Frozen frozen;
        CHECK(y() == before);
        real& element = weight.data()[1 * 4 + 1];
        const real old = std::exchange(element, 100);    // which nobody may, but so one sees that a copy is read
        {
            const Frozen inner;
            CHECK(y() == before);
        }
        CHECK(y() == before);
        {
            const Unpacked unpacked;
            CHECK(y() != before);
        }
        element = old;
        CHECK_FALSE(linear(x, weight, bias, {.column = 1}).node->requires_grad);
    }
    weight.data()[1 * 4 + 1] += 1;
    CHECK(y() != before);    // nothing was kept beyond
    const Frozen frozen;
    for (int step = 0; step < 3; ++step) {    // computed anew at each step, and so not kept
        const Tensor doubled = weight * step;
        CHECK(linear(x, doubled, {}, {.column = 1}).values() == matmul(x, transpose(slice(doubled, 1, 1, 4))).values());
    }
}

TEST_CASE("while PackedWeights lives, products with its weights read copies, with the same bits") {
    const Tensor x = random_tensor({2, 3}), weight = random_tensor({50, 4}, 3), bias = random_tensor({50}, 4), other = weight + 0;
    const auto block = [&](int column) {
        return linear(x, weight, bias, {.row = 1, .rows = 40, .column = column, .columns = 3});
    };
    const Values left = block(0).values(), right = block(1).values(), of_other = linear(x, other, {}, {.column = 1}).values();
    {
        const PackedWeights packed({weight, bias});
        CHECK(block(0).values() == left);
        CHECK(block(1).values() == right);
        weight.data()[1 * 4 + 1] += 1;
        CHECK(block(0).values() == left);    // so it was the copy
        {
            const PackedWeights inner({other});
            CHECK(linear(x, other, {}, {.column = 1}).values() == of_other);
            CHECK(block(1).values() == right);
            const Unpacked unpacked;
            CHECK(block(1).values() != right);
        }
        other.data()[1] += 1;
        CHECK(linear(x, other, {}, {.column = 1}).values() != of_other);
        CHECK(block(1).values() == right);
        kernels::reference_loops = true;    // which have no copies
        CHECK(block(1).values() != right);
        kernels::reference_loops = false;
    }
    CHECK(block(0).values() != left);
}

TEST_CASE("linear by hand") {
    const Tensor weight({2, 3}, {1, 0, 2, 0, 1, -1}), bias({2}, {10, 20});
    CHECK(linear(Tensor({3}, {1, 2, 3}), weight, bias).values() == Values{17, 19});
    CHECK(linear(Tensor({3}, {1, 2, 3}), weight).shape() == Shape{2});
}

TEST_CASE("without inputs a product is zero, and linear its bias") {
    { const Tensor used_before({4}, {7, 7, 7, 7}); }    // leaves its buffer to the next tensor
    CHECK(matmul(Tensor({2, 0}), Tensor({0, 2})).values() == Values{0, 0, 0, 0});
    { const Tensor used_before({4}, {7, 7, 7, 7}); }
    CHECK(linear(Tensor({2, 0}), Tensor({2, 0}), Tensor({2}, {1, 2})).values() == Values{1, 2, 1, 2});
    CHECK(matmul(Tensor({0, 3}), Tensor({3, 2})).shape() == Shape{0, 2});
    const auto check_zeros = [](const auto& product, Tensor a, Tensor b) {    // gradients are 0, not whatever was in the memory
        for (int turn = 0; turn < 2; ++turn) {
            for (Tensor* x : {&a, &b}) {
                x->requires_grad().zero_grad();
                std::fill_n(x->grad(), x->size(), real(7));
                x->node->free_grad();
            }
            backward(sum(product(a, b)));
            CHECK(gradient(a) == Values(a.size()));
            CHECK(gradient(b) == Values(b.size()));
        }
    };
    const auto product = [](const Tensor& a, const Tensor& b) { return matmul(a, b); };
    const auto with_weight = [](const Tensor& x, const Tensor& weight) { return linear(x, weight); };
    for (const auto& [M, N] : {std::pair(0, 4), std::pair(2, 0)}) {
        check_zeros(product, Tensor({2, M, 3}), Tensor({2, 3, N}));
        check_zeros(product, Tensor({M, 3}), Tensor({3, N}));
        check_zeros(product, Tensor({2, M, 3}), Tensor({3, N}));
        check_zeros(with_weight, Tensor({M, 3}), Tensor({N, 3}));
    }
}

TEST_CASE("products of sizes that do not fit are refused with both shapes and the line") {
    const Tensor a({2, 3}), b({4, 3}), batch({5, 2, 3}), other({6, 3, 2}), vector({3});
    check_rejected("matmul: inner sizes differ: (2, 3) x (4, 3); transpose an argument?", [&] { matmul(a, b); });
    check_rejected("matmul: leading sizes differ: (5, 2, 3) x (6, 3, 2); expand one of them", [&] { matmul(batch, other); });
    check_rejected("matmul: leading sizes differ: (2, 3) x (6, 3, 2); expand one of them", [&] { matmul(a, other); });
    check_rejected("matmul: needs two dimensions or more: (2, 3) x (3); reshape a vector to (1, n) or (n, 1)",
                   [&] { matmul(a, vector); });
    check_rejected("linear: a weight is (out, in), not (5, 2, 3)", [&] { linear(vector, batch); });
    check_rejected("linear: a block of 2 rows from 3 and 3 columns from 0 is not within a weight (out, in) of (4, 3)",
                   [&] { linear(vector, b, {}, {.row = 3, .rows = 2}); });
    check_rejected("linear: a block of 2147483647 rows from 1 and 3 columns from 0 is not within a weight (out, in) of (4, 3)",
                   [&] { linear(vector, b, {}, {.row = 1, .rows = 2147483647}); });
    check_rejected("linear: a block of 4 rows from 0 and -1 columns from 4 is not within a weight (out, in) of (4, 3)",
                   [&] { linear(vector, b, {}, {.column = 4}); });
    check_rejected("linear: the input's last size is not the weight's: (3) with a weight (out, in) of (4, 2)",
                   [&] { linear(vector, b, {}, {.column = 1}); });
    check_rejected("linear: the input's last size is not the weight's: (6, 3, 2) with a weight (out, in) of (2, 3)",
                   [&] { linear(other, a); });
    check_rejected("linear: a bias of (3) does not fit a weight (out, in) of (4, 3)", [&] { linear(a, b, vector); });
}

TEST_CASE("leading dimensions of another rank are refused") {
    const Tensor a({2, 2, 2, 3}), b({2, 3, 2});
    CHECK_THROWS_AS(matmul(a, b), std::invalid_argument);
    CHECK_THROWS_AS(matmul(b, a), std::invalid_argument);
}

TEST_CASE("a product without a bias starts from zeros, however wide it is") {
    for (const int N : {1, 4096, 4097, 300'000}) {
        const std::vector<real> product(static_cast<std::size_t>(2 * N), 6);
        const auto filled = [](Shape shape, real value) { return Tensor(shape, std::vector<real>(element_count(shape), value)); };
        CHECK(linear(filled({2, 3}, 1), filled({N, 3}, 2)).values() == product);
        CHECK(matmul(filled({2, 3}, 1), filled({3, N}, 2)).values() == product);
    }
}
