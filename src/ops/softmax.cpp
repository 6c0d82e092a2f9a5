#include "lookback/ops/softmax.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/kernels.h"
#include "lookback/ops/shape.h"
#include "lookback/tensor/node.h"
#include "ops/broadcast.h"
#include "tensor/memory.h"

namespace lookback {

namespace op {

// y_i = e^{x_i - max x} / sum_j e^{x_j - max x}               dx_i = y_i (dy_i - sum_j dy_j y_j)
struct Softmax final : Node {
    int rows, n;

    void forward() override {
        const real* x = inputs[0].data();
        for (int row = 0; row < rows; ++row) kernels::softmax(n, 1, x + row * n, data + row * n);
    }
    void backward() override {
        const real *y = data, *dy = grad;
        real* dx = grad_of(0);
        for (int row = 0; row < rows; ++row) kernels::softmax_backward(n, y + row * n, dy + row * n, dx + row * n);
    }
};

// y_i = e^{x_i} / sum_j e^{x_j} over the j whose mask is not 0, and 0 where mask_i is 0          dx_i = y_i (dy_i - sum_j dy_j y_j)
struct MaskedSoftmax final : Node {
    int n;

    void forward() override {
        const real *x = inputs[0].data(), *mask = inputs[1].data();
        BroadcastRows source(inputs[1].shape(), shape);
        for (int row = 0; row < source.rows; ++row, source.next()) {
            real* y = data + row * n;
            for (int i = 0; i < n; ++i)
                y[i] = mask[source.offset + i * source.step] != 0 ? x[row * n + i] : -std::numeric_limits<real>::infinity();
            kernels::softmax(n, 1, y, y);
        }
    }
    void backward() override {
        const real *y = data, *dy = grad;
        real* dx = grad_of(0);
        if (!dx) return;    // only the mask asks for a gradient, which is 0
        const int rows = static_cast<int>(size) / std::max(n, 1);
        for (int row = 0; row < rows; ++row) kernels::softmax_backward(n, y + row * n, dy + row * n, dx + row * n);
    }
};

// y_i = x_i - max x - ln sum_j e^{x_j - max x}                dx_i = dy_i - e^{y_i} sum_j dy_j
struct LogSoftmax final : Node {
    int rows, n;

    void forward() override {
        const real* x = inputs[0].data();
        for (int row = 0; row < rows; ++row, x += n) {
            real* y = data + row * n;
            const real max = kernels::max(n, x);
            for (int i = 0; i < n; ++i) y[i] = x[i] - max;
            kernels::exp(n, y, y);
            const real log_total = kernels::log(kernels::sum(n, y));
            for (int i = 0; i < n; ++i) y[i] = x[i] - max - log_total;
        }
    }
    void backward() override {
        const real* dy = grad;
        real* dx = grad_of(0);
        Buffer probability;
        real* p = probability.resize(n);
        for (int row = 0; row < rows; ++row, dy += n, dx += n) {
            kernels::exp(n, data + row * n, p);
            const real total = kernels::sum(n, dy);
            for (int i = 0; i < n; ++i) dx[i] += dy[i] - p[i] * total;
        }
    }
};

// xhat_i = (x_i - mean) r,  r = 1 / sqrt(variance + epsilon),  y_i = xhat_i w_i + b_i
// dxhat = dy w          dx_i = r (dxhat_i - mean(dxhat) - xhat_i mean(dxhat xhat))          dw += dy xhat          db += dy
struct LayerNorm final : Node {
    int rows, n;
    real epsilon;
    Buffer saved_xhat, saved_r;

    void forward() override {
        const real *x = inputs[0].data(), *w = inputs[1].data(), *b = inputs[2].data();
        real* xhat = saved_xhat.resize(size);
        real* r = saved_r.resize(rows);
        const real count = static_cast<real>(n);
        for (int row = 0; row < rows; ++row, x += n, xhat += n) {
            const real mean = kernels::sum(n, x) / count;
            for (int i = 0; i < n; ++i) xhat[i] = x[i] - mean;
            const real variance = kernels::dot(n, xhat, xhat) / count;
            r[row] = 1 / std::sqrt(variance + epsilon);
            for (int i = 0; i < n; ++i) xhat[i] *= r[row];
            real* y = data + row * n;
            for (int i = 0; i < n; ++i) y[i] = xhat[i] * w[i] + b[i];
        }
    }
    void backward() override {
        const real *w = inputs[1].data(), *xhat = saved_xhat.data, *r = saved_r.data, *dy = grad;
        real *dx = grad_of(0), *dw = grad_of(1), *db = grad_of(2);
        const real count = static_cast<real>(n);
        Buffer gradient_of_xhat;
        real* dxhat = gradient_of_xhat.resize(n);
        for (int row = 0; row < rows; ++row, xhat += n, dy += n) {
            if (dw) kernels::accumulate_product(n, dy, xhat, dw);
            if (db) kernels::accumulate(n, dy, db);
            if (!dx) continue;
            kernels::multiply(n, dy, w, dxhat);
            const real mean = kernels::sum(n, dxhat) / count;
            const real mean_with_xhat = kernels::dot(n, dxhat, xhat) / count;
            for (int i = 0; i < n; ++i) dx[row * n + i] += r[row] * (dxhat[i] - mean - xhat[i] * mean_with_xhat);
        }
    }
};

}    // namespace op

namespace {

template <class Op>
Tensor along_rows(const char* name, const Tensor& x, int dim, const Where& where) {
    const int index = checked_dim(name, x, dim, where);
    if (index != x.rank() - 1)
        return transpose(along_rows<Op>(name, transpose(x, index, -1, where), -1, where), index, -1, where);
    auto* node = new Op;
    node->n = x.size(-1);
    node->rows = static_cast<int>(x.size()) / std::max(node->n, 1);
    return record(node, name, x.shape(), {x}, where);
}

}    // namespace

Tensor softmax(const Tensor& x, int dim, Where where) { return along_rows<op::Softmax>("softmax", x, dim, where); }

Tensor log_softmax(const Tensor& x, int dim, Where where) { return along_rows<op::LogSoftmax>("log_softmax", x, dim, where); }

Tensor masked_softmax(const Tensor& x, const Tensor& mask, Where where) {
    if (x.rank() < 1 || broadcast_shape(x.shape(), mask.shape()) != x.shape())
        reject(fmt::format("masked_softmax: a mask of {} does not broadcast to scores of {}", to_string(mask.shape()),
                           to_string(x.shape())),
               where);
    auto* node = new op::MaskedSoftmax;
    node->n = x.size(-1);
    return record(node, "masked_softmax", x.shape(), {x, mask}, where);
}

Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double epsilon, Where where) {
    if (x.rank() < 1 || weight.shape() != Shape{x.size(-1)} || bias.shape() != weight.shape())
        reject(fmt::format("layer_norm: a weight of {} and a bias of {} do not fit the last size of {}",
                           to_string(weight.shape()), to_string(bias.shape()), to_string(x.shape())),
               where);
    auto* node = new op::LayerNorm;
    node->n = x.size(-1);
    node->rows = static_cast<int>(x.size()) / std::max(node->n, 1);
    node->epsilon = static_cast<real>(epsilon);
    return record(node, "layer_norm", x.shape(), {x, weight, bias}, where);
}

}    // namespace lookback
