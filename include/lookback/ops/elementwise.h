#pragma once

#include "lookback/tensor/tensor.h"

namespace lookback {

// An operand of an operator. Operators cannot have default arguments, a converting constructor can: this is how `a + b`
// knows its line. A plain number becomes a scalar tensor.
struct Operand {
    Tensor tensor;
    Where where;
    Operand(const Tensor& t, Where w = Where::current()) : tensor(t), where(w) {}
    Operand(double number, Where w = Where::current()) : tensor(Tensor::scalar(static_cast<real>(number), w)), where(w) {}
};

// Element by element. Shapes are broadcast as in NumPy: aligned at the last dimension, sizes must be equal or 1; what was
// repeated is summed in the gradient (see expand). std::invalid_argument, with both shapes, where they do not fit.
//
// C++ leaves open which operand of f(x) + g(x), or which argument of a call, is made first, and backward goes by the order in which
// nodes were made: name operands that are calls, or the last bits of the gradient of what is used three times depend on the compiler.
Tensor operator+(const Operand& a, const Operand& b);
Tensor operator-(const Operand& a, const Operand& b);
Tensor operator*(const Operand& a, const Operand& b);
Tensor operator/(const Operand& a, const Operand& b);
Tensor operator-(const Operand& x);

// Repeats x along its dimensions of size 1, and along new leading ones, until it has `shape`. The gradient of a value that
// was used many times is the sum of the gradients of its uses.
Tensor expand(const Tensor& x, Shape shape, Where where = Where::current());

Tensor exp(const Tensor& x, Where where = Where::current());
Tensor log(const Tensor& x, Where where = Where::current());
Tensor sqrt(const Tensor& x, Where where = Where::current());
Tensor tanh(const Tensor& x, Where where = Where::current());
Tensor sigmoid(const Tensor& x, Where where = Where::current());    // 1 / (1 + e^-x)
Tensor relu(const Tensor& x, Where where = Where::current());       // max(x, 0), with slope 0 at 0

// x Phi(x), where Phi is the normal distribution function, by erf or by its approximation with tanh.
// Hendrycks & Gimpel 2016, arXiv:1606.08415, section 2.
enum class Gelu { erf, tanh };
Tensor gelu(const Tensor& x, Gelu form = Gelu::erf, Where where = Where::current());

}    // namespace lookback
