#include "reference.h"

#include <cmath>
#include <cstdlib>
#include <limits>
#include <string_view>

#include "elementary.h"

namespace lookback::kernels {

static bool environment_asks_for_reference() {
    const char* value = std::getenv("LOOKBACK_REFERENCE");
    return value != nullptr && std::string_view(value) == "1";
}

bool reference_loops = environment_asks_for_reference();

bool use_reference() { return reference_loops; }

namespace reference {

void gemm_nn(int M, int N, int K, const real* A, int lda, const real* B, int ldb, real* C, int ldc, const real* start) {
    for (std::ptrdiff_t i = 0; i < M; ++i)
        for (std::ptrdiff_t j = 0; j < N; ++j) {
            if (start) C[i * ldc + j] = start[j];
            for (std::ptrdiff_t k = 0; k < K; ++k) C[i * ldc + j] = std::fma(A[i * lda + k], B[k * ldb + j], C[i * ldc + j]);
        }
}

void gemm_nt(int M, int N, int K, const real* A, int lda, const real* B, int ldb, real* C, int ldc, const real* start) {
    for (std::ptrdiff_t i = 0; i < M; ++i)
        for (std::ptrdiff_t j = 0; j < N; ++j) {
            if (start) C[i * ldc + j] = start[j];
            for (std::ptrdiff_t k = 0; k < K; ++k) C[i * ldc + j] = std::fma(A[i * lda + k], B[j * ldb + k], C[i * ldc + j]);
        }
}

void gemm_tn(int M, int N, int K, const real* A, int lda, const real* B, int ldb, real* C, int ldc, const real* start) {
    for (std::ptrdiff_t i = 0; i < M; ++i)
        for (std::ptrdiff_t j = 0; j < N; ++j) {
            if (start) C[i * ldc + j] = start[j];
            for (std::ptrdiff_t k = 0; k < K; ++k) C[i * ldc + j] = std::fma(A[k * lda + i], B[k * ldb + j], C[i * ldc + j]);
        }
}

void transpose(int rows, int columns, const real* from, std::ptrdiff_t ld_from, real* to, std::ptrdiff_t ld_to) {
    for (int r = 0; r < rows; ++r)
        for (int c = 0; c < columns; ++c) to[c * ld_to + r] = from[r * ld_from + c];
}

real exp(real x) { return elementary::exp(x); }
real log(real x) { return elementary::log(x); }
real tanh(real x) { return elementary::tanh(x); }
real sigmoid(real x) { return elementary::sigmoid(x); }
real erf(real x) { return elementary::erf(x); }

void exp(std::size_t n, const real* x, real* y) {
    for (std::size_t i = 0; i < n; ++i) y[i] = elementary::exp(x[i]);
}

void log(std::size_t n, const real* x, real* y) {
    for (std::size_t i = 0; i < n; ++i) y[i] = elementary::log(x[i]);
}

void tanh(std::size_t n, const real* x, real* y) {
    for (std::size_t i = 0; i < n; ++i) y[i] = elementary::tanh(x[i]);
}

void sigmoid(std::size_t n, const real* x, real* y) {
    for (std::size_t i = 0; i < n; ++i) y[i] = elementary::sigmoid(x[i]);
}

void erf(std::size_t n, const real* x, real* y) {
    for (std::size_t i = 0; i < n; ++i) y[i] = elementary::erf(x[i]);
}

static real fold(real lane[16]) {
    for (int half = 8; half > 0; half /= 2)
        for (int l = 0; l < half; ++l) lane[l] = lane[l] + lane[l + half];
    return lane[0];
}

real sum(std::size_t n, const real* x) {
    real lane[16] = {};
    for (std::size_t i = 0; i < n; ++i) lane[i % 16] = lane[i % 16] + x[i];
    return fold(lane);
}

real dot(std::size_t n, const real* a, const real* b) {
    real lane[16] = {};
    for (std::size_t i = 0; i < n; ++i) lane[i % 16] = std::fma(a[i], b[i], lane[i % 16]);
    return fold(lane);
}

real max(std::size_t n, const real* x) {
    real largest = -std::numeric_limits<real>::infinity();
    for (std::size_t i = 0; i < n; ++i) {
        const bool is_nan = x[i] != x[i];    // once largest is NaN, no comparison replaces it
        if (is_nan || x[i] > largest) largest = x[i];
    }
    return largest + 0;    // -0 and 0 compare equal, so which of them was met first would show: + 0 makes both 0
}

void softmax(std::size_t n, real factor, const real* x, real* y) {
    scale(n, factor, x, y);
    const real largest = max(n, y);
    if (largest == -std::numeric_limits<real>::infinity()) {
        for (std::size_t i = 0; i < n; ++i) y[i] = 0;
        return;
    }
    for (std::size_t i = 0; i < n; ++i) y[i] = elementary::exp(y[i] - largest);
    const real total = sum(n, y);
    for (std::size_t i = 0; i < n; ++i) y[i] = y[i] / total;
}

void softmax_backward(std::size_t n, const real* y, const real* dy, real* dx) {
    const real shared = dot(n, dy, y);
    for (std::size_t i = 0; i < n; ++i) dx[i] = dx[i] + y[i] * (dy[i] - shared);
}

void add(std::size_t n, const real* a, const real* b, real* y) {
    for (std::size_t i = 0; i < n; ++i) y[i] = a[i] + b[i];
}

void multiply(std::size_t n, const real* a, const real* b, real* y) {
    for (std::size_t i = 0; i < n; ++i) y[i] = a[i] * b[i];
}

void shift(std::size_t n, real a, const real* x, real* y) {
    for (std::size_t i = 0; i < n; ++i) y[i] = x[i] + a;
}

void scale(std::size_t n, real a, const real* x, real* y) {
    for (std::size_t i = 0; i < n; ++i) y[i] = a * x[i];
}

void accumulate(std::size_t n, const real* x, real* y) {
    for (std::size_t i = 0; i < n; ++i) y[i] = y[i] + x[i];
}

void accumulate_product(std::size_t n, const real* a, const real* b, real* y) {
    for (std::size_t i = 0; i < n; ++i) y[i] = std::fma(a[i], b[i], y[i]);
}

void axpy(std::size_t n, real a, const real* x, real* y) {
    for (std::size_t i = 0; i < n; ++i) y[i] = std::fma(a, x[i], y[i]);
}

void relu(std::size_t n, const real* x, real* y) {
    for (std::size_t i = 0; i < n; ++i) y[i] = x[i] < 0 ? 0 : x[i];
}

void relu_backward(std::size_t n, const real* y, const real* dy, real* dx) {
    for (std::size_t i = 0; i < n; ++i) {
        const bool is_nan = y[i] != y[i];
        if (is_nan) dx[i] = y[i];
        if (y[i] > 0) dx[i] = dx[i] + dy[i];
    }
}

void tanh_backward(std::size_t n, const real* y, const real* dy, real* dx) {
    for (std::size_t i = 0; i < n; ++i) dx[i] = std::fma(dy[i], std::fma(-y[i], y[i], real(1)), dx[i]);
}

void sigmoid_backward(std::size_t n, const real* y, const real* dy, real* dx) {
    for (std::size_t i = 0; i < n; ++i) dx[i] = std::fma(dy[i], std::fma(-y[i], y[i], y[i]), dx[i]);
}

void additive_score(int S, int A, const real* q, const real* keys, const real* v, real* score) {
    for (int s = 0; s < S; ++s) {
        real lane[16] = {};
        for (int a = 0; a < A; ++a)
            lane[a % 16] = std::fma(v[a], elementary::tanh(q[a] + keys[std::size_t(s) * A + a]), lane[a % 16]);
        score[s] = fold(lane);
    }
}

void additive_score_backward(int S, int A, const real* dscore, const real* q, const real* keys, const real* v, real* dq,
                             real* dkeys, real* dv) {
    for (int s = 0; s < S; ++s)
        for (int a = 0; a < A; ++a) {
            const std::size_t sa = std::size_t(s) * A + a;
            const real t = elementary::tanh(q[a] + keys[sa]);
            const real dpre = (dscore[s] * v[a]) * std::fma(-t, t, real(1));
            dq[a] = dq[a] + dpre;
            dkeys[sa] = dkeys[sa] + dpre;
            dv[a] = std::fma(dscore[s], t, dv[a]);
        }
}

void adam(std::size_t n, real* w, const real* g, real* m, real* v, const AdamStep& step) {
    for (std::size_t i = 0; i < n; ++i) {
        m[i] = std::fma(step.beta1, m[i], (1 - step.beta1) * g[i]);
        v[i] = std::fma(step.beta2, v[i], ((1 - step.beta2) * g[i]) * g[i]);
        const real update = (m[i] * step.correction1) / (std::sqrt(v[i] * step.correction2) + step.epsilon);
        w[i] = std::fma(-step.learning_rate, std::fma(step.weight_decay, w[i], update), w[i]);
    }
}

}    // namespace reference
}    // namespace lookback::kernels
