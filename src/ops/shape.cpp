#include "lookback/ops/shape.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "kernels/kernels.h"
#include "lookback/tensor/node.h"
#include "tensor/memory.h"

namespace lookback {

namespace {

// Around one dimension a row-major tensor is `outer` blocks of `size` pieces of `inner` adjacent elements.
struct Split {
    std::size_t outer = 1, size = 1, inner = 1;

    Split(const Shape& shape, int dim) {
        for (int i = 0; i < static_cast<int>(shape.size()); ++i)
            (i < dim ? outer : i == dim ? size : inner) *= static_cast<std::size_t>(shape[i]);
    }
};

}    // namespace

namespace op {

// y = x                    dx = dy
struct Reshape final : Node {
    void forward() override { std::copy_n(inputs[0].data(), size, data); }
    void backward() override { add_to_grad_of(0, grad); }
};

// y_{..j..i..} = x_{..i..j..}                                 dx_{..i..j..} = dy_{..j..i..}
// x is seen as (outer, I, middle, J, inner), y as (outer, J, middle, I, inner).
struct Transpose final : Node {
    std::size_t outer = 1, I = 1, middle = 1, J = 1, inner = 1;

    std::size_t x_index(std::size_t o, std::size_t i, std::size_t m, std::size_t j) const {
        return (((o * I + i) * middle + m) * J + j) * inner;
    }
    bool is_matrices() const { return middle == 1 && inner == 1; }    // (outer, I, J) -> (outer, J, I)

    void forward() override {
        const real* x = inputs[0].data();
        real* y = data;
        if (is_matrices()) {
            const int rows = static_cast<int>(I), columns = static_cast<int>(J);
            for (std::size_t o = 0; o < outer; ++o, x += I * J, y += I * J)
                kernels::transpose(rows, columns, x, columns, y, rows);
            return;
        }
        for (std::size_t o = 0; o < outer; ++o)
            for (std::size_t j = 0; j < J; ++j)
                for (std::size_t m = 0; m < middle; ++m)
                    for (std::size_t i = 0; i < I; ++i, y += inner) std::copy_n(x + x_index(o, i, m, j), inner, y);
    }
    void backward() override {
        const real* dy = grad;
        real* dx = grad_of(0);
        if (is_matrices()) {
            const int rows = static_cast<int>(J), columns = static_cast<int>(I);
            Buffer turned;
            real* dy_turned = turned.resize(I * J);
            for (std::size_t o = 0; o < outer; ++o, dx += I * J, dy += I * J) {
                kernels::transpose(rows, columns, dy, columns, dy_turned, rows);
                kernels::accumulate(I * J, dy_turned, dx);
            }
            return;
        }
        for (std::size_t o = 0; o < outer; ++o)
            for (std::size_t j = 0; j < J; ++j)
                for (std::size_t m = 0; m < middle; ++m)
                    for (std::size_t i = 0; i < I; ++i, dy += inner) kernels::accumulate(inner, dy, dx + x_index(o, i, m, j));
    }
};

// y = x_{start..stop-1}    dx_{start..stop-1} = dy, and 0 elsewhere
struct Slice final : Node {
    std::size_t outer, x_block, y_block, start;    // elements in a block of x, of y, and before the slice

    void forward() override {
        const real* x = inputs[0].data();
        for (std::size_t o = 0; o < outer; ++o) std::copy_n(x + o * x_block + start, y_block, data + o * y_block);
    }
    void backward() override {
        real* dx = grad_of(0);
        for (std::size_t o = 0; o < outer; ++o) kernels::accumulate(y_block, grad + o * y_block, dx + o * x_block + start);
    }
};

// y = x_1 | x_2 | ...      dx_i = the part of dy that x_i became
struct Concat final : Node {
    std::size_t outer, y_block;
    std::vector<std::size_t> blocks;

    void forward() override {
        real* y = data;
        for (std::size_t part = 0; part < inputs.size(); y += blocks[part++]) {
            const real* x = inputs[part].data();
            for (std::size_t o = 0; o < outer; ++o) std::copy_n(x + o * blocks[part], blocks[part], y + o * y_block);
        }
    }
    void backward() override {
        const real* dy = grad;
        for (std::size_t part = 0; part < inputs.size(); dy += blocks[part++]) {
            real* dx = grad_of(part);
            if (!dx) continue;
            for (std::size_t o = 0; o < outer; ++o) kernels::accumulate(blocks[part], dy + o * y_block, dx + o * blocks[part]);
        }
    }
};

// y_b = rows_b ? yes_b : no_b                                 dyes_b = rows_b ? dy_b : 0          dno_b = rows_b ? 0 : dy_b
struct SelectRows final : Node {
    std::vector<bool> rows;

    void forward() override {
        const std::size_t row = rows.empty() ? 0 : size / rows.size();
        for (std::size_t b = 0; b < rows.size(); ++b) {
            const real* x = inputs[rows[b] ? 0 : 1].data();
            std::copy_n(x + b * row, row, data + b * row);
        }
    }
    void backward() override {
        const std::size_t row = rows.empty() ? 0 : size / rows.size();
        for (std::size_t b = 0; b < rows.size(); ++b) {
            real* dx = grad_of(rows[b] ? 0 : 1);
            if (dx) kernels::accumulate(row, grad + b * row, dx + b * row);
        }
    }
};

// y = scale * sum_i x_i    dx_i = scale * dy                  (sum: scale = 1; mean: scale = 1/n)
struct Sum final : Node {
    std::size_t outer, n, inner;
    real scale;

    void forward() override {
        const real* x = inputs[0].data();
        real* y = data;
        for (std::size_t o = 0; o < outer; ++o, x += n * inner, y += inner) {
            if (inner == 1) {
                y[0] = scale * kernels::sum(n, x);
                continue;
            }
            std::fill_n(y, inner, real(0));
            for (std::size_t i = 0; i < n; ++i) kernels::accumulate(inner, x + i * inner, y);
            for (std::size_t k = 0; k < inner; ++k) y[k] *= scale;
        }
    }
    void backward() override {
        const real* dy = grad;
        real* dx = grad_of(0);
        for (std::size_t o = 0; o < outer; ++o, dy += inner) {
            if (inner == 1) {
                kernels::shift(n, scale * dy[0], dx, dx);
                dx += n;
                continue;
            }
            for (std::size_t i = 0; i < n; ++i, dx += inner)
                for (std::size_t k = 0; k < inner; ++k) dx[k] += scale * dy[k];
        }
    }
};

}    // namespace op

Tensor reshape(const Tensor& x, Shape shape, Where where) {
    const Shape asked = shape;
    const auto unknown = std::ranges::find(shape, -1);
    if (unknown != shape.end()) {
        *unknown = 1;
        const std::size_t known = element_count(shape);
        *unknown = known ? static_cast<int>(x.size() / known) : 0;
    }
    if (std::ranges::any_of(shape, [](int size) { return size < 0; }) || element_count(shape) != x.size())
        reject(fmt::format("reshape: {} has {} elements, which do not fill {}", to_string(x.shape()), x.size(), to_string(asked)),
               where);
    return record(new op::Reshape, "reshape", std::move(shape), {x}, where);
}

Tensor transpose(const Tensor& x, int dim0, int dim1, Where where) {
    const int first = checked_dim("transpose", x, dim0, where), second = checked_dim("transpose", x, dim1, where);
    const int low = std::min(first, second), high = std::max(first, second);
    if (low == high) return x;
    auto* node = new op::Transpose;
    for (int i = 0; i < x.rank(); ++i) {
        const auto size = static_cast<std::size_t>(x.size(i));
        (i < low ? node->outer : i == low ? node->I : i < high ? node->middle : i == high ? node->J : node->inner) *= size;
    }
    Shape shape = x.shape();
    std::swap(shape[low], shape[high]);
    return record(node, "transpose", std::move(shape), {x}, where);
}

namespace {

Tensor slice_as(const char* name, const Tensor& x, int dim, int start, int stop, Shape shape, const Where& where) {
    if (start < 0 || stop > x.size(dim) || start > stop)
        reject(fmt::format("{}: {} .. {} is not within dimension {} of {}", name, start, stop - 1, dim, to_string(x.shape())),
               where);
    const Split split(x.shape(), dim);
    auto* node = new op::Slice;
    node->outer = split.outer;
    node->x_block = split.size * split.inner;
    node->y_block = static_cast<std::size_t>(stop - start) * split.inner;
    node->start = static_cast<std::size_t>(start) * split.inner;
    return record(node, name, std::move(shape), {x}, where);
}

}    // namespace

Tensor slice(const Tensor& x, int dim, int start, int stop, Where where) {
    const int checked = checked_dim("slice", x, dim, where);
    Shape shape = x.shape();
    shape[checked] = stop - start;
    return slice_as("slice", x, checked, start, stop, std::move(shape), where);
}

Tensor select(const Tensor& x, int dim, int index, Where where) {
    const int checked = checked_dim("select", x, dim, where);
    Shape shape = x.shape();
    const int count = shape[checked], at = index < 0 ? index + count : index;
    if (at < 0 || at >= count)
        reject(fmt::format("select: no index {} in dimension {} of {}", index, checked, to_string(shape)), where);
    shape.erase(shape.begin() + checked);
    return slice_as("select", x, checked, at, at + 1, std::move(shape), where);
}

Tensor concat(const std::vector<Tensor>& parts, int dim, Where where) {
    if (parts.empty()) reject("concat: there is nothing to join", where);
    const int index = checked_dim("concat", parts[0], dim, where);
    Shape shape = parts[0].shape();
    shape[index] = 0;
    for (const Tensor& part : parts) {
        Shape expected = shape;
        if (part.rank() == static_cast<int>(shape.size())) expected[index] = part.size(index);
        if (part.shape() != expected)
            reject(fmt::format("concat: shapes differ in more than dimension {}: {} and {}", index, to_string(parts[0].shape()),
                               to_string(part.shape())),
                   where);
        if (part.size(index) > std::numeric_limits<int>::max() - shape[index])    // of parts that may have no elements
            reject(fmt::format("concat: dimension {} would be longer than 2^31 - 1", index), where);
        shape[index] += part.size(index);
    }
    auto* node = new op::Concat;
    const Split split(shape, index);
    node->outer = split.outer;
    node->y_block = split.size * split.inner;
    for (const Tensor& part : parts) node->blocks.push_back(static_cast<std::size_t>(part.size(index)) * split.inner);
    return record(node, "concat", std::move(shape), parts, where);
}

Tensor stack(const std::vector<Tensor>& parts, int dim, Where where) {
    if (parts.empty()) reject("stack: there is nothing to join", where);
    const int rank = parts[0].rank(), index = dim < 0 ? dim + rank + 1 : dim;
    if (index < 0 || index > rank)
        reject(fmt::format("stack: no place {} for a new dimension in {}", dim, to_string(parts[0].shape())), where);
    for (const Tensor& part : parts)
        if (part.shape() != parts[0].shape())
            reject(fmt::format("stack: shapes differ: {} and {}", to_string(parts[0].shape()), to_string(part.shape())), where);
    Shape shape = parts[0].shape();
    shape.insert(shape.begin() + index, static_cast<int>(parts.size()));
    auto* node = new op::Concat;    // stacking is joining along a dimension of size 1
    const Split split(shape, index);
    node->outer = split.outer;
    node->y_block = split.size * split.inner;
    node->blocks.assign(parts.size(), split.inner);
    return record(node, "stack", std::move(shape), parts, where);
}

Tensor select_rows(const std::vector<bool>& rows, const Tensor& yes, const Tensor& no, Where where) {
    if (yes.shape() != no.shape() || yes.rank() < 1 || yes.size(0) != static_cast<int>(rows.size()))
        reject(fmt::format("select_rows: {} choices for rows of {} and {}", rows.size(), to_string(yes.shape()),
                           to_string(no.shape())),
               where);
    auto* node = new op::SelectRows;
    node->rows = rows;
    return record(node, "select_rows", yes.shape(), {yes, no}, where);
}

namespace {

Tensor reduce(const char* name, const Tensor& x, const Split& split, Shape shape, bool is_mean, const Where& where) {
    if (is_mean && split.size == 0) reject(fmt::format("{}: of no elements: {}", name, to_string(x.shape())), where);
    auto* node = new op::Sum;
    node->outer = split.outer;
    node->n = split.size;
    node->inner = split.inner;
    node->scale = is_mean ? 1 / static_cast<real>(split.size) : real(1);
    return record(node, name, std::move(shape), {x}, where);
}

Tensor reduce(const char* name, const Tensor& x, int dim, bool is_mean, const Where& where) {
    const int index = checked_dim(name, x, dim, where);
    Shape shape = x.shape();
    shape.erase(shape.begin() + index);
    return reduce(name, x, Split(x.shape(), index), std::move(shape), is_mean, where);
}

}    // namespace

Tensor sum(const Tensor& x, Where where) { return reduce("sum", x, Split({static_cast<int>(x.size())}, 0), {}, false, where); }
Tensor mean(const Tensor& x, Where where) { return reduce("mean", x, Split({static_cast<int>(x.size())}, 0), {}, true, where); }
Tensor sum(const Tensor& x, int dim, Where where) { return reduce("sum", x, dim, false, where); }
Tensor mean(const Tensor& x, int dim, Where where) { return reduce("mean", x, dim, true, where); }

}    // namespace lookback
