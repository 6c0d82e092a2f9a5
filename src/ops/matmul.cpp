#include "lookback/ops/matmul.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <numeric>

#include "kernels/kernels.h"
#include "lookback/tensor/node.h"
#include "tensor/memory.h"
#include "tensor/weight_product.h"

namespace lookback {

namespace op {

// y_mn = sum_k a_mk b_kn          da_mk = sum_n dy_mn b_kn          db_kn = sum_m a_mk dy_mn
struct Matmul final : Node {
    int batches, M, K, N;    // with a shared b there is one batch, and M counts all rows of a

    void forward() override {
        const real *a = inputs[0].data(), *b = inputs[1].data();
        real* y = data;
        const Zeros zeros(N);
        for (int batch = 0; batch < batches; ++batch, a += M * K, b += K * N, y += M * N)
            kernels::gemm_nn(M, N, K, a, K, b, N, y, N, zeros.data());
    }
    void backward() override {
        const real *a = inputs[0].data(), *b = inputs[1].data(), *dy = grad;
        const auto [da, da_start] = growing_grad_of(0, K);
        const auto [db, db_start] = growing_grad_of(1, N);
        for (int batch = 0; batch < batches; ++batch, a += M * K, b += K * N, dy += M * N) {
            if (da) kernels::gemm_nt(M, K, N, dy, N, b, N, da + batch * M * K, K, da_start);
            if (db) kernels::gemm_tn(K, N, M, a, K, dy, N, db + batch * K * N, N, db_start);
        }
    }
};

// y_mn = b_n + sum_k x_mk W_nk    dx_mk = sum_n dy_mn W_nk    dW_nk = sum_m dy_mn x_mk    db_n = sum_m dy_mn
struct Linear final : Node {
    int M, K, N;         // rows of x, inputs, outputs
    int row, column;     // where W begins in its tensor,
    int weight_width;    // whose rows are so long

    void forward() override {
        const real *x = inputs[0].data(), *b = inputs.size() > 2 ? inputs[2].data() + row : nullptr;
        const Zeros zeros(b ? 0 : N);
        times_weight_transposed(M, N, K, x, inputs[1], data, b ? b : zeros.data(), row, column);
    }
    void backward() override {
        const real *x = inputs[0].data(), *W = inputs[1].data() + row * weight_width + column, *dy = grad;
        const auto [dx, dx_start] = growing_grad_of(0, K);
        if (dx) kernels::gemm_nn(M, K, N, dy, N, W, weight_width, dx, K, dx_start);
        add_to_weight_grad(*this, 1, M, N, K, dy, x, row, column);
        real* db = inputs.size() > 2 ? grad_of(2) : nullptr;
        if (db)
            for (int m = 0; m < M; ++m) kernels::accumulate(N, dy + m * N, db + row);
    }
};

}    // namespace op

// The product of the first `count` sizes.
static int leading(const Shape& shape, int count) {
    return std::accumulate(shape.begin(), shape.begin() + count, 1, std::multiplies<>());
}

Tensor matmul(const Tensor& a, const Tensor& b, Where where) {
    if (a.rank() < 2 || b.rank() < 2)
        reject(fmt::format("matmul: needs two dimensions or more: {} x {}; reshape a vector to (1, n) or (n, 1)",
                           to_string(a.shape()), to_string(b.shape())),
               where);
    if (a.size(-1) != b.size(-2))
        reject(fmt::format("matmul: inner sizes differ: {} x {}; transpose an argument?", to_string(a.shape()),
                           to_string(b.shape())),
               where);
    const bool shared = b.rank() == 2;
    if (!shared && !std::equal(a.shape().begin(), a.shape().end() - 2, b.shape().begin(), b.shape().end() - 2))
        reject(
            fmt::format("matmul: leading sizes differ: {} x {}; expand one of them", to_string(a.shape()), to_string(b.shape())),
            where);
    Shape shape = a.shape();
    shape.back() = b.size(-1);
    auto* node = new op::Matmul;
    node->K = a.size(-1);
    node->N = b.size(-1);
    node->M = shared ? leading(a.shape(), a.rank() - 1) : a.size(-2);
    node->batches = shared ? 1 : leading(a.shape(), a.rank() - 2);
    return record(node, "matmul", std::move(shape), {a, b}, where);
}

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, Where where) {
    return linear(x, weight, bias, Block{}, where);
}

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, Block block, Where where) {
    if (weight.rank() != 2) reject(fmt::format("linear: a weight is (out, in), not {}", to_string(weight.shape())), where);
    const int rows = block.rows ? block.rows : weight.size(0) - block.row;
    const int columns = block.columns ? block.columns : weight.size(1) - block.column;
    if (block.row < 0 || rows < 0 || rows > weight.size(0) - block.row || block.column < 0 || columns < 0 ||
        columns > weight.size(1) - block.column)
        reject(fmt::format("linear: a block of {} rows from {} and {} columns from {} is not within a weight (out, in) of {}",
                           rows, block.row, columns, block.column, to_string(weight.shape())),
               where);
    if (x.rank() < 1 || x.size(-1) != columns)
        reject(fmt::format("linear: the input's last size is not the weight's: {} with a weight (out, in) of {}",
                           to_string(x.shape()), to_string({rows, columns})),
               where);
    if (bias && bias.shape() != Shape{weight.size(0)})
        reject(fmt::format("linear: a bias of {} does not fit a weight (out, in) of {}", to_string(bias.shape()),
                           to_string(weight.shape())),
               where);
    Shape shape = x.shape();
    shape.back() = rows;
    auto* node = new op::Linear;
    node->K = columns;
    node->N = rows;
    node->M = leading(shape, x.rank() - 1);
    node->row = block.row;
    node->column = block.column;
    node->weight_width = weight.size(1);
    return bias ? record(node, "linear", std::move(shape), {x, weight, bias}, where)
                : record(node, "linear", std::move(shape), {x, weight}, where);
}

}    // namespace lookback
