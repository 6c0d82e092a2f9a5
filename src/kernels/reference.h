#pragma once

#include "kernels.h"

// The plain loops that define what the kernels compute; contracts in kernels.h.
namespace lookback::kernels::reference {

Gemm gemm_nn;
Gemm gemm_nt;
Gemm gemm_tn;
void transpose(int rows, int columns, const real* from, std::ptrdiff_t ld_from, real* to, std::ptrdiff_t ld_to);

real exp(real x);
real log(real x);
real tanh(real x);
real sigmoid(real x);
real erf(real x);

void exp(std::size_t n, const real* x, real* y);
void log(std::size_t n, const real* x, real* y);
void tanh(std::size_t n, const real* x, real* y);
void sigmoid(std::size_t n, const real* x, real* y);
void erf(std::size_t n, const real* x, real* y);

real sum(std::size_t n, const real* x);
real dot(std::size_t n, const real* a, const real* b);
real max(std::size_t n, const real* x);
void softmax(std::size_t n, real factor, const real* x, real* y);
void softmax_backward(std::size_t n, const real* y, const real* dy, real* dx);

void add(std::size_t n, const real* a, const real* b, real* y);
void multiply(std::size_t n, const real* a, const real* b, real* y);
void shift(std::size_t n, real a, const real* x, real* y);
void scale(std::size_t n, real a, const real* x, real* y);
void accumulate(std::size_t n, const real* x, real* y);
void accumulate_product(std::size_t n, const real* a, const real* b, real* y);
void axpy(std::size_t n, real a, const real* x, real* y);
void relu(std::size_t n, const real* x, real* y);
void relu_backward(std::size_t n, const real* y, const real* dy, real* dx);
void tanh_backward(std::size_t n, const real* y, const real* dy, real* dx);
void sigmoid_backward(std::size_t n, const real* y, const real* dy, real* dx);

void additive_score(int S, int A, const real* q, const real* keys, const real* v, real* score);
void additive_score_backward(int S, int A, const real* dscore, const real* q, const real* keys, const real* v, real* dq,
                             real* dkeys, real* dv);

void adam(std::size_t n, real* w, const real* g, real* m, real* v, const AdamStep& step);

}    // namespace lookback::kernels::reference
