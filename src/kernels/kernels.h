#pragma once

#include <cstddef>

#include "lookback/real.h"

// Plain functions over plain arrays: the arithmetic of the whole library, and the only place with blocking and SIMD.
//
// The order of every sum is part of its contract, and every fused multiply-add is written down, so the result is one set of
// bits: fast path or reference loops, g++ or clang++, AVX2 or AVX-512, -O0 or -O3. What fma(a, b, c) means is a*b + c
// rounded once. NaN goes through every kernel; none of them allocates, none keeps state, all may be called from many threads.
//
// Arrays may be the same array where a kernel works element by element (y = x is fine), and may not overlap otherwise.
namespace lookback::kernels {

// True when the environment has LOOKBACK_REFERENCE=1: every kernel then runs the loops of reference.cpp, which give the same bits
// and can be stepped through. The debugger's command `reference on` sets it too.
extern bool reference_loops;
bool use_reference();

// ---- Matrix products. Row-major; ld* is the distance between rows in elements. ------------------------------------------

// C (M,N) = start + op(A) op(B). Each c(i,j) starts from start(j), a row such as a bias, or where there is none from its old
// value, and adds k = 0, 1, ..., K-1 in this order:
//     c(i,j) = fma(a(i,k), b(k,j), c(i,j))
using Gemm = void(int M, int N, int K, const real* A, int lda, const real* B, int ldb, real* C, int ldc, const real* start);
void gemm_nn(int M, int N, int K, const real* A, int lda, const real* B, int ldb, real* C, int ldc,
             const real* start = nullptr);    // A (M,K), B (K,N)
void gemm_nt(int M, int N, int K, const real* A, int lda, const real* B, int ldb, real* C, int ldc,
             const real* start = nullptr);    // A (M,K), B (N,K)
void gemm_tn(int M, int N, int K, const real* A, int lda, const real* B, int ldb, real* C, int ldc,
             const real* start = nullptr);    // A (K,M), B (K,N)

// The same as gemm_nn for a B (K,N) that many products share, copied once into the order in which they read it. There is no plain twin:
// where use_reference() says so, take gemm_nn or gemm_nt. pack reads b(k,n) = B[k * row + n * column], of which one step is 1.
std::size_t packed_size(int K, int N);
void pack(int K, int N, const real* B, std::ptrdiff_t row, std::ptrdiff_t column, real* packed);
void gemm_packed(int M, int N, int K, const real* A, int lda, const real* packed, real* C, int ldc, const real* start = nullptr);

// to (columns, rows) = the transpose of from (rows, columns).
void transpose(int rows, int columns, const real* from, std::ptrdiff_t ld_from, real* to, std::ptrdiff_t ld_to);

// ---- Elementary functions: our own polynomials, at most 2 ulp in float. ------------------------------------------------------

// exp(-inf) = 0, exp(x) = inf above 88.73 (float); log(0) = -inf, log(x < 0) = NaN; tanh(+-inf) = erf(+-inf) = +-1.
real exp(real x);
real log(real x);
real tanh(real x);
real sigmoid(real x);    // 1 / (1 + e^-x)
real erf(real x);

// The same, element by element and to the same bits: y_i = f(x_i).
void exp(std::size_t n, const real* x, real* y);
void log(std::size_t n, const real* x, real* y);
void tanh(std::size_t n, const real* x, real* y);
void sigmoid(std::size_t n, const real* x, real* y);
void erf(std::size_t n, const real* x, real* y);

// For positions and for the cosine schedule: absolute error below 2e-16 for |x| <= 1e9, NaN beyond.
double sin(double x);
double cos(double x);

// ---- Sums over a row. ------------------------------------------------------------------------------------------------------

// Sixteen lanes from 0, lane l taking the elements l, l+16, l+32, ..., then folded: l + (l+8), l + (l+4), l + (l+2), l + (l+1).
real sum(std::size_t n, const real* x);                   // lane = lane + x_i
real dot(std::size_t n, const real* a, const real* b);    // lane = fma(a_i, b_i, lane)
real max(std::size_t n, const real* x);                   // any NaN gives NaN, so an error is not hidden; n = 0 gives -inf

// The place of the first NaN or inf, n if there is none. For the checked mode, so it has no slow twin.
std::size_t first_not_finite(std::size_t n, const real* x);

// ---- Softmax of a row (equations at op::Softmax). -------------------------------------------------------------------------------

// y_i = exp(f x_i - max f x) / sum of these; x = y is fine. -inf gives 0, a row of nothing but -inf gives zeros.
void softmax(std::size_t n, real f, const real* x, real* y);
void softmax_backward(std::size_t n, const real* y, const real* dy, real* dx);    // dx = dx + y (dy - dot(dy, y))

// ---- Element by element: one rounding for each operation written. --------------------------------------------------------

void add(std::size_t n, const real* a, const real* b, real* y);                   // y = a + b
void multiply(std::size_t n, const real* a, const real* b, real* y);              // y = a b
void shift(std::size_t n, real a, const real* x, real* y);                        // y = x + a
void scale(std::size_t n, real a, const real* x, real* y);                        // y = a x
void accumulate(std::size_t n, const real* x, real* y);                           // y = y + x
void accumulate_product(std::size_t n, const real* a, const real* b, real* y);    // y = fma(a, b, y)
void axpy(std::size_t n, real a, const real* x, real* y);                         // y = fma(a, x, y)
void relu(std::size_t n, const real* x, real* y);                                 // y = x < 0 ? 0 : x

// Backward forms add to dx; y is the output of the forward pass.
void relu_backward(std::size_t n, const real* y, const real* dy, real* dx);       // dx = y > 0 ? dx + dy : dx (y NaN: NaN)
void tanh_backward(std::size_t n, const real* y, const real* dy, real* dx);       // dx = fma(dy, fma(-y, y, 1), dx)
void sigmoid_backward(std::size_t n, const real* y, const real* dy, real* dx);    // dx = fma(dy, fma(-y, y, y), dx)

// ---- Additive attention for one target position (Bahdanau, Cho & Bengio 2015, appendix A.1.2). -------------------------------

// t(s,a) = tanh(q(a) + keys(s,a)), score(s) = dot(A, v, t(s,:)). q, v (A); keys (S,A); score (S).
void additive_score(int S, int A, const real* q, const real* keys, const real* v, real* score);

// Adds to dq, dv (A) and dkeys (S,A), s = 0, 1, ..., S-1 in this order, with t computed anew:
//     dpre = (dscore(s) v(a)) fma(-t, t, 1);   dq(a) = dq(a) + dpre;   dkeys(s,a) = dkeys(s,a) + dpre;
//     dv(a) = fma(dscore(s), t(s,a), dv(a))
void additive_score_backward(int S, int A, const real* dscore, const real* q, const real* keys, const real* v, real* dq,
                             real* dkeys, real* dv);

// ---- Optimiser. --------------------------------------------------------------------------------------------------------------

// What one Adam step needs beside the arrays. Step t = 1, 2, ... has correction_k = 1 / (1 - beta_k^t).
struct AdamStep {
    real learning_rate;
    real beta1 = real(0.9);
    real beta2 = real(0.999);
    real epsilon = real(1e-8);
    real weight_decay = 0;    // decoupled: Loshchilov & Hutter 2019, algorithm 2
    real correction1 = 1;
    real correction2 = 1;
};

// Adam (Kingma & Ba 2015, algorithm 1). w parameters, g their gradient, m and v the running moments, all (n):
//     m = fma(beta1, m, (1 - beta1) g)                    v = fma(beta2, v, ((1 - beta2) g) g)
//     update = (m correction1) / (sqrt(v correction2) + epsilon)
//     w = fma(-learning_rate, fma(weight_decay, w, update), w)
void adam(std::size_t n, real* w, const real* g, real* m, real* v, const AdamStep& step);

}    // namespace lookback::kernels
