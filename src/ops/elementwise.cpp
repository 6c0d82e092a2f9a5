#include "lookback/ops/elementwise.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "kernels/kernels.h"
#include "lookback/tensor/node.h"
#include "ops/broadcast.h"
#include "tensor/memory.h"

namespace lookback {

namespace op {

// y = a + b                da = dy                    db = dy
struct Add final : Node {
    void forward() override {
        const real *a = inputs[0].data(), *b = inputs[1].data();
        kernels::add(size, a, b, data);
    }
    void backward() override {
        const real* dy = grad;
        add_to_grad_of(0, dy);
        add_to_grad_of(1, dy);
    }
};

// y = a - b                da = dy                    db = -dy
struct Subtract final : Node {
    void forward() override {
        const real *a = inputs[0].data(), *b = inputs[1].data();
        for (std::size_t i = 0; i < size; ++i) data[i] = a[i] - b[i];
    }
    void backward() override {
        const real* dy = grad;
        add_to_grad_of(0, dy);
        if (real* db = grad_of(1)) kernels::axpy(size, -1, dy, db);
    }
};

// y = a b                  da = dy b                  db = dy a
struct Multiply final : Node {
    void forward() override {
        const real *a = inputs[0].data(), *b = inputs[1].data();
        kernels::multiply(size, a, b, data);
    }
    void backward() override {
        const real *a = inputs[0].data(), *b = inputs[1].data(), *dy = grad;
        if (real* da = grad_of(0)) kernels::accumulate_product(size, dy, b, da);
        if (real* db = grad_of(1)) kernels::accumulate_product(size, dy, a, db);
    }
};

// y = a / b                da = dy / b                db = -dy y / b
struct Divide final : Node {
    void forward() override {
        const real *a = inputs[0].data(), *b = inputs[1].data();
        for (std::size_t i = 0; i < size; ++i) data[i] = a[i] / b[i];
    }
    void backward() override {
        const real *b = inputs[1].data(), *y = data, *dy = grad;
        real *da = grad_of(0), *db = grad_of(1);
        for (std::size_t i = 0; i < size; ++i) {
            const real quotient = dy[i] / b[i];
            if (da) da[i] += quotient;
            if (db) db[i] -= quotient * y[i];
        }
    }
};

// y = -x                   dx = -dy
struct Negate final : Node {
    void forward() override {
        const real* x = inputs[0].data();
        for (std::size_t i = 0; i < size; ++i) data[i] = -x[i];
    }
    void backward() override {
        if (real* dx = grad_of(0)) kernels::axpy(size, -1, grad, dx);
    }
};

// y_r = x_{source of r}    dx_s = sum of dy_r over all r that come from s
struct Expand final : Node {
    void forward() override {
        const real* x = inputs[0].data();
        real* y = data;
        BroadcastRows source(inputs[0].shape(), shape);
        for (int row = 0; row < source.rows; ++row, source.next(), y += source.columns) {
            if (source.step == 0)
                std::fill_n(y, source.columns, x[source.offset]);
            else
                std::copy_n(x + source.offset, source.columns, y);
        }
    }
    void backward() override {
        real* dx = grad_of(0);
        const real* dy = grad;
        BroadcastRows source(inputs[0].shape(), shape);
        for (int row = 0; row < source.rows; ++row, source.next(), dy += source.columns) {
            if (source.step == 0)
                dx[source.offset] += kernels::sum(source.columns, dy);
            else
                kernels::accumulate(source.columns, dy, dx + source.offset);
        }
    }
};

// y = e^x                  dx = dy y
struct Exp final : Node {
    void forward() override { kernels::exp(size, inputs[0].data(), data); }
    void backward() override { kernels::accumulate_product(size, grad, data, grad_of(0)); }
};

// y = ln x                 dx = dy / x
struct Log final : Node {
    void forward() override { kernels::log(size, inputs[0].data(), data); }
    void backward() override {
        const real *x = inputs[0].data(), *dy = grad;
        real* dx = grad_of(0);
        for (std::size_t i = 0; i < size; ++i) dx[i] += dy[i] / x[i];
    }
};

// y = sqrt x               dx = dy / (2 y)
struct Sqrt final : Node {
    void forward() override {
        const real* x = inputs[0].data();
        for (std::size_t i = 0; i < size; ++i) data[i] = std::sqrt(x[i]);
    }
    void backward() override {
        const real *y = data, *dy = grad;
        real* dx = grad_of(0);
        for (std::size_t i = 0; i < size; ++i) dx[i] += dy[i] / (2 * y[i]);
    }
};

// y = tanh x               dx = dy (1 - y^2)
struct Tanh final : Node {
    void forward() override { kernels::tanh(size, inputs[0].data(), data); }
    void backward() override { kernels::tanh_backward(size, data, grad, grad_of(0)); }
};

// y = 1 / (1 + e^-x)       dx = dy y (1 - y)
struct Sigmoid final : Node {
    void forward() override { kernels::sigmoid(size, inputs[0].data(), data); }
    void backward() override { kernels::sigmoid_backward(size, data, grad, grad_of(0)); }
};

// y = max(x, 0)            dx = dy where y > 0
struct Relu final : Node {
    void forward() override { kernels::relu(size, inputs[0].data(), data); }
    void backward() override { kernels::relu_backward(size, data, grad, grad_of(0)); }
};

// y = x Phi(x),  Phi(x) = (1 + erf(x / sqrt 2)) / 2           dx = dy (Phi(x) + x phi(x)),  phi(x) = e^{-x^2/2} / sqrt(2 pi)
struct GeluErf final : Node {
    static constexpr real root_half = real(0.70710678118654752440), inverse_root_2pi = real(0.39894228040143267794);

    void forward() override {
        const real* x = inputs[0].data();
        Buffer erf_of_x;
        real* e = erf_of_x.resize(size);
        kernels::scale(size, root_half, x, e);
        kernels::erf(size, e, e);
        for (std::size_t i = 0; i < size; ++i) data[i] = x[i] * ((1 + e[i]) / 2);
    }
    void backward() override {
        const real *x = inputs[0].data(), *dy = grad;
        real* dx = grad_of(0);
        Buffer erf_of_x, density_of_x;
        real *e = erf_of_x.resize(size), *density = density_of_x.resize(size);
        kernels::scale(size, root_half, x, e);
        kernels::erf(size, e, e);
        for (std::size_t i = 0; i < size; ++i) density[i] = -x[i] * x[i] / 2;
        kernels::exp(size, density, density);
        for (std::size_t i = 0; i < size; ++i) dx[i] += dy[i] * ((1 + e[i]) / 2 + x[i] * (inverse_root_2pi * density[i]));
    }
};

// y = x (1 + t) / 2,  t = tanh u,  u = sqrt(2/pi) (x + 0.044715 x^3)
// dx = dy ((1 + t) / 2 + x (1 - t^2) u' / 2),  u' = sqrt(2/pi) (1 + 3 * 0.044715 x^2)
struct GeluTanh final : Node {
    static constexpr real root = real(0.79788456080286535588), cubic = real(0.044715);

    Buffer saved_t;

    void forward() override {
        const real* x = inputs[0].data();
        real* t = saved_t.resize(size);
        for (std::size_t i = 0; i < size; ++i) t[i] = root * (x[i] + cubic * x[i] * x[i] * x[i]);
        kernels::tanh(size, t, t);
        for (std::size_t i = 0; i < size; ++i) data[i] = x[i] * ((1 + t[i]) / 2);
    }
    void backward() override {
        const real *x = inputs[0].data(), *t = saved_t.data, *dy = grad;
        real* dx = grad_of(0);
        for (std::size_t i = 0; i < size; ++i) {
            const real slope = root * (1 + 3 * cubic * x[i] * x[i]), rest = 1 - t[i] * t[i];
            dx[i] += dy[i] * ((1 + t[i]) / 2 + (rest == 0 ? 0 : x[i] * rest * slope / 2));    // far out the slope is inf
        }
    }
};

}    // namespace op

namespace {

struct Pair {
    Tensor a, b;
};

Pair broadcast(const char* name, const Operand& a, const Operand& b) {
    const Shape &shape_a = a.tensor.shape(), &shape_b = b.tensor.shape();
    if (shape_a == shape_b) return {a.tensor, b.tensor};
    const std::optional<Shape> shape = broadcast_shape(shape_a, shape_b);
    if (!shape)
        reject(fmt::format("{}: shapes do not broadcast: {} and {}; sizes must be equal or 1, counted from the last", name,
                           to_string(shape_a), to_string(shape_b)),
               a.where);
    return {shape_a == *shape ? a.tensor : expand(a.tensor, *shape, a.where),
            shape_b == *shape ? b.tensor : expand(b.tensor, *shape, a.where)};
}

}    // namespace

Tensor operator+(const Operand& left, const Operand& right) {
    const auto [a, b] = broadcast("add", left, right);
    return record(new op::Add, "add", a.shape(), {a, b}, left.where);
}

Tensor operator-(const Operand& left, const Operand& right) {
    const auto [a, b] = broadcast("subtract", left, right);
    return record(new op::Subtract, "subtract", a.shape(), {a, b}, left.where);
}

Tensor operator*(const Operand& left, const Operand& right) {
    const auto [a, b] = broadcast("multiply", left, right);
    return record(new op::Multiply, "multiply", a.shape(), {a, b}, left.where);
}

Tensor operator/(const Operand& left, const Operand& right) {
    const auto [a, b] = broadcast("divide", left, right);
    return record(new op::Divide, "divide", a.shape(), {a, b}, left.where);
}

Tensor operator-(const Operand& x) { return record(new op::Negate, "negate", x.tensor.shape(), {x.tensor}, x.where); }

Tensor expand(const Tensor& x, Shape shape, Where where) {
    if (broadcast_shape(x.shape(), shape) != shape || std::ranges::any_of(shape, [](int size) { return size < 0; }))
        reject(fmt::format("expand: {} cannot be repeated into {}", to_string(x.shape()), to_string(shape)), where);
    return record(new op::Expand, "expand", std::move(shape), {x}, where);
}

Tensor exp(const Tensor& x, Where where) { return record(new op::Exp, "exp", x.shape(), {x}, where); }
Tensor log(const Tensor& x, Where where) { return record(new op::Log, "log", x.shape(), {x}, where); }
Tensor sqrt(const Tensor& x, Where where) { return record(new op::Sqrt, "sqrt", x.shape(), {x}, where); }
Tensor tanh(const Tensor& x, Where where) { return record(new op::Tanh, "tanh", x.shape(), {x}, where); }
Tensor sigmoid(const Tensor& x, Where where) { return record(new op::Sigmoid, "sigmoid", x.shape(), {x}, where); }
Tensor relu(const Tensor& x, Where where) { return record(new op::Relu, "relu", x.shape(), {x}, where); }

Tensor gelu(const Tensor& x, Gelu form, Where where) {
    Node* node = form == Gelu::erf ? static_cast<Node*>(new op::GeluErf) : new op::GeluTanh;
    return record(node, "gelu", x.shape(), {x}, where);
}

}    // namespace lookback
