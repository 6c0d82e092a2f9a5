#include "lookback/ops/shape.h"

#include <limits>

#include "ops/expect.h"

using namespace lookback;
using namespace lookback::expect;

namespace {

// 0, 1, 2, ... so that a value says where it came from.
Tensor counted(Shape shape) {
    Tensor x(std::move(shape));
    for (std::size_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<real>(i);
    return x;
}

}    // namespace

TEST_CASE("reshape keeps the elements and their order, and works out a size of -1") {
    const Tensor x = counted({2, 6});
    CHECK(reshape(x, {3, -1}).shape() == Shape{3, 4});
    CHECK(reshape(x, {-1}).values() == x.values());
    CHECK(reshape(Tensor({0, 3}), {-1, 3}).shape() == Shape{0, 3});
    CHECK(reshape(Tensor({1, 1}, {5}), {}).item() == 5);
}

TEST_CASE("transpose exchanges two dimensions") {
    const Tensor x = counted({2, 3});
    CHECK(transpose(x).shape() == Shape{3, 2});
    CHECK(transpose(x).values() == Values{0, 3, 1, 4, 2, 5});
    const Tensor y = transpose(counted({2, 3, 2}), 0, 2);
    CHECK(y.shape() == Shape{2, 3, 2});
    CHECK(y.values() == Values{0, 6, 2, 8, 4, 10, 1, 7, 3, 9, 5, 11});
    CHECK(transpose(counted({2, 3, 4}), -3, 1).shape() == Shape{3, 2, 4});
    CHECK(transpose(transpose(counted({2, 3, 4, 5}), 1, 3), 3, 1).values() == counted({2, 3, 4, 5}).values());
}

TEST_CASE("slice takes start .. stop-1 along one dimension") {
    const Tensor x = counted({2, 3, 2});
    CHECK(slice(x, 0, 1, 2).values() == Values{6, 7, 8, 9, 10, 11});
    CHECK(slice(x, 1, 1, 3).values() == Values{2, 3, 4, 5, 8, 9, 10, 11});
    CHECK(slice(x, -1, 0, 1).values() == Values{0, 2, 4, 6, 8, 10});
    CHECK(slice(x, 1, 3, 3).shape() == Shape{2, 0, 2});
}

TEST_CASE("select takes one index of a dimension, which goes away: a slice of length 1, reshaped, to the bit") {
    const Tensor x = random_tensor({2, 3, 4});
    CHECK(select(counted({2, 3}), 1, 2).values() == Values{2, 5});
    CHECK(select(counted({3}), 0, 1).shape() == Shape{});
    check_same([&] { return select(x, 0, 1); }, [&] { return reshape(slice(x, 0, 1, 2), {3, 4}); }, {x}, 0, 0);
    check_same([&] { return select(x, 1, 2); }, [&] { return reshape(slice(x, 1, 2, 3), {2, 4}); }, {x}, 0, 0);
    check_same([&] { return select(x, -1, 0); }, [&] { return reshape(slice(x, 2, 0, 1), {2, 3}); }, {x}, 0, 0);
}

TEST_CASE("what was not sliced has gradient exactly 0") {
    Tensor x = counted({2, 3}).requires_grad();
    backward(sum(slice(x, 1, 1, 2) * Tensor({2, 1}, {5, 7})));
    CHECK(gradient(x) == Values{0, 5, 0, 0, 7, 0});
}

TEST_CASE("concat joins along a dimension that is there, stack along a new one") {
    const Tensor a({2, 1}, {1, 2}), b({2, 2}, {3, 4, 5, 6});
    CHECK(concat({a, b}, 1).values() == Values{1, 3, 4, 2, 5, 6});
    CHECK(concat({b, b}, 0).shape() == Shape{4, 2});
    CHECK(concat({b, b}, 0).values() == Values{3, 4, 5, 6, 3, 4, 5, 6});
    const Tensor x({2}, {1, 2}), y({2}, {3, 4}), z({2}, {5, 6});
    CHECK(stack({x, y, z}, 0).shape() == Shape{3, 2});
    CHECK(stack({x, y, z}, 0).values() == Values{1, 2, 3, 4, 5, 6});
    CHECK(stack({x, y, z}, 1).shape() == Shape{2, 3});
    CHECK(stack({x, y, z}, -1).values() == Values{1, 3, 5, 2, 4, 6});
}

TEST_CASE("stack is concat of parts with one dimension more, to the bit") {
    const Tensor a = random_tensor({2, 3}), b = random_tensor({2, 3}, 3);
    check_same(
        [&] {
            return stack({a, b}, 1);
        },
        [&] {
            return concat({reshape(a, {2, 1, 3}), reshape(b, {2, 1, 3})}, 1);
        },
        {a, b}, 0, 0);
}

TEST_CASE("slices of a concat are its parts, and so are their gradients") {
    const Tensor a = random_tensor({2, 3, 2}), b = random_tensor({2, 4, 2}, 3);
    check_same([&] { return slice(concat({a, b}, 1), 1, 0, 3); }, [&] { return a * 1; }, {a, b}, 0, 0);
    check_same([&] { return slice(concat({a, b}, 1), 1, 3, 7); }, [&] { return b * 1; }, {a, b}, 0, 0);
}

TEST_CASE("select_rows takes each row from one of two tensors, and gives the gradient to that one alone") {
    Tensor yes = Tensor({3, 2}, {1, 2, 3, 4, 5, 6}).requires_grad(),
           no = Tensor({3, 2}, {-1, -2, not_a_number, -4, -5, -6}).requires_grad();
    const Tensor y = select_rows({false, true, false}, yes, no);
    CHECK(y.values() == Values{-1, -2, 3, 4, -5, -6});
    backward(sum(y * Tensor({3, 2}, {1, 2, 3, 4, 5, 6})));
    CHECK(gradient(yes) == Values{0, 0, 3, 4, 0, 0});
    CHECK(gradient(no) == Values{1, 2, 0, 0, 5, 6});
}

TEST_CASE("sum and mean, of all elements and along each dimension") {
    const Tensor x = counted({2, 2, 3});
    CHECK(sum(x).item() == 66);
    CHECK(sum(x).shape() == Shape{});
    CHECK(mean(x).item() == 5.5);
    CHECK(sum(x, 0).values() == Values{6, 8, 10, 12, 14, 16});
    CHECK(sum(x, 1).shape() == Shape{2, 3});
    CHECK(sum(x, 1).values() == Values{3, 5, 7, 15, 17, 19});
    CHECK(sum(x, -1).values() == Values{3, 12, 21, 30});
    CHECK(distance(mean(x, 2).values(), {1, 4, 7, 10}) <= 1e-6);
    CHECK(mean(x, 0).values() == Values{3, 4, 5, 6, 7, 8});
    CHECK(sum(Tensor({2, 0}), 1).values() == Values{0, 0});
    CHECK(sum(Tensor({0})).item() == 0);
}

TEST_CASE("mean is the sum divided by the number of elements") {
    const Tensor x = random_tensor({5, 7, 3});
    for (const int dim : {0, 1, 2})
        check_same([&] { return mean(x, dim); }, [&] { return sum(x, dim) / x.size(dim); }, {x}, 1e-6, 1e-6);
    check_same([&] { return mean(x); }, [&] { return sum(x) / 105; }, {x}, 1e-6, 1e-6);
}

TEST_CASE("ops on shapes refuse what does not fit, with the shapes and the line") {
    const Tensor x({2, 3}), y({2, 4}), z({2, 3, 1}), scalar(Shape{});
    check_rejected("reshape: (2, 3) has 6 elements, which do not fill (4, 2)", [&] { reshape(x, {4, 2}); });
    check_rejected("reshape: (2, 3) has 6 elements, which do not fill (4, -1)", [&] { reshape(x, {4, -1}); });
    check_rejected("transpose: no dimension 2 in the shape (2, 3)", [&] { transpose(x, 0, 2); });
    check_rejected("transpose: no dimension -2 in the shape ()", [&] { transpose(scalar); });
    check_rejected("slice: 1 .. 3 is not within dimension 1 of (2, 3)", [&] { slice(x, 1, 1, 4); });
    check_rejected("slice: -1 .. 1 is not within dimension 1 of (2, 3)", [&] { slice(x, -1, -1, 2); });
    check_rejected("slice: 2 .. 0 is not within dimension 0 of (2, 3)", [&] { slice(x, 0, 2, 1); });
    check_rejected("slice: no dimension 0 in the shape ()", [&] { slice(scalar, 0, 0, 1); });
    check_rejected("select: no index 3 in dimension 1 of (2, 3)", [&] { select(x, 1, 3); });
    check_rejected("select: no dimension 2 in the shape (2, 3)", [&] { select(x, 2, 0); });
    check_rejected("concat: there is nothing to join", [&] { concat({}, 0); });
    check_rejected("concat: shapes differ in more than dimension 0: (2, 3) and (2, 4)", [&] { concat({x, y}, 0); });
    check_rejected("concat: shapes differ in more than dimension 1: (2, 3) and (2, 3, 1)", [&] { concat({x, z}, 1); });
    const Tensor endless({std::numeric_limits<int>::max(), 0});
    check_rejected("concat: dimension 0 would be longer than 2^31 - 1", [&] { concat({endless, endless}, 0); });
    check_rejected("stack: there is nothing to join", [&] { stack({}, 0); });
    check_rejected("stack: shapes differ: (2, 3) and (2, 4)", [&] { stack({x, y}, 0); });
    check_rejected("stack: no place 3 for a new dimension in (2, 3)", [&] { stack({x, x}, 3); });
    check_rejected("select_rows: 3 choices for rows of (2, 3) and (2, 3)", [&] { select_rows({true, true, true}, x, x); });
    check_rejected("select_rows: 2 choices for rows of (2, 3) and (2, 4)", [&] { select_rows({true, true}, x, y); });
    check_rejected("sum: no dimension 2 in the shape (2, 3)", [&] { sum(x, 2); });
    check_rejected("mean: no dimension -3 in the shape (2, 3)", [&] { mean(x, -3); });
    check_rejected("mean: of no elements: (2, 0)", [&] { mean(Tensor({2, 0}), 1); });
}

TEST_CASE("reshape refuses two unknown sizes, other negative sizes, and an unknown size that does not come out even") {
    for (const Shape& shape : {Shape{-1, -1}, Shape{-2, -3}, Shape{-1, -6}, Shape{4, -1}, Shape{0, -1}})
        CHECK_THROWS_AS(reshape(Tensor({2, 3}), shape), std::invalid_argument);
    CHECK_THROWS_AS(reshape(Tensor({0, 3}), {-1, -1}), std::invalid_argument);
    CHECK_THROWS_AS(reshape(Tensor({0, 3}), {0, -5}), std::invalid_argument);
}

TEST_CASE("select counts a negative index from the last") {
    const Tensor x({2, 3}, {1, 2, 3, 4, 5, 6});
    CHECK(select(x, 1, -1).values() == std::vector<real>{3, 6});
    CHECK(select(x, 0, -2).values() == std::vector<real>{1, 2, 3});
    check_rejected("select: no index -3 in dimension 0 of (2, 3)", [&] { select(x, 0, -3); });
}
