#include "lookback/ops/recurrent.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/kernels.h"
#include "lookback/tensor/node.h"
#include "lookback/tensor/packed_weights.h"
#include "tensor/memory.h"
#include "tensor/weight_product.h"

namespace lookback {

namespace op {

// r = sigmoid(p_r + q_r),  z = sigmoid(p_z + q_z),  n = tanh(p_n + r q_n),  h' = (1 - z) n + z h,  with q = W h + b
// One row: gates holds q at first, and r | z | n at the end.
static void gru_row(int H, const real* p, const real* h, real* gates, real* qn, real* y) {
    real *r = gates, *z = gates + H, *n = gates + 2 * H;
    kernels::accumulate(2 * H, p, gates);
    kernels::sigmoid(2 * H, gates, gates);
    std::copy_n(n, H, qn);
    for (int i = 0; i < H; ++i) n[i] = p[2 * H + i] + r[i] * qn[i];
    kernels::tanh(H, n, n);
    for (int i = 0; i < H; ++i) y[i] = (1 - z[i]) * n[i] + z[i] * h[i];
}

// dn = dh' (1 - z) (1 - n^2)          dz = dh' (h - n) z (1 - z)          dr = dn q_n r (1 - r)          (before the squashing)
// dp = (dr, dz, dn)                   dq = (dr, dz, dn r)                 dh = dh' z + W^T dq            dW = dq h^T          db = dq
// One row: adds dp where it is asked for, and gives dq. A loop for each of the three, or g++ would not vectorise them.
static void gru_row_backward(int H, const real* dy, const real* h, const real* gates, const real* qn, real* dp, real* dq) {
    const real *r = gates, *z = gates + H, *n = gates + 2 * H;
    real *dr = dq, *dz = dq + H, *dn = dq + 2 * H;
    for (int i = 0; i < H; ++i) dn[i] = dy[i] * (1 - z[i]) * (1 - n[i] * n[i]);
    for (int i = 0; i < H; ++i) dz[i] = dy[i] * (h[i] - n[i]) * z[i] * (1 - z[i]);
    for (int i = 0; i < H; ++i) dr[i] = dn[i] * qn[i] * r[i] * (1 - r[i]);
    if (dp) kernels::accumulate(3 * H, dq, dp);
    for (int i = 0; i < H; ++i) dn[i] *= r[i];
}

struct GruCell final : Node {
    int B, H;
    Buffer saved_gates, saved_qn;    // (B, 3H): r | z | n, and (B, H)

    void forward() override {
        const real *p = inputs[0].data(), *h = inputs[1].data(), *b = inputs[3].data();
        real *gates = saved_gates.resize(3 * size), *qn = saved_qn.resize(size);
        times_weight_transposed(B, 3 * H, H, h, inputs[2], gates, b);
        for (int row = 0; row < B; ++row)
            gru_row(H, p + row * 3 * H, h + row * H, gates + row * 3 * H, qn + row * H, data + row * H);
    }
    void backward() override {
        const real *h = inputs[1].data(), *W = inputs[2].data(), *dy = grad;
        real *dp = grad_of(0), *dh = grad_of(1), *db = grad_of(3);
        Buffer gradient_of_q;
        real* dq = gradient_of_q.resize(3 * size);
        for (int row = 0; row < B; ++row) {
            const real* gates = saved_gates.data + row * 3 * H;
            gru_row_backward(H, dy + row * H, h + row * H, gates, saved_qn.data + row * H, dp ? dp + row * 3 * H : nullptr,
                             dq + row * 3 * H);
            if (dh) kernels::accumulate_product(H, dy + row * H, gates + H, dh + row * H);
            if (db) kernels::accumulate(3 * H, dq + row * 3 * H, db);
        }
        if (dh) kernels::gemm_nn(B, H, 3 * H, dq, 3 * H, W, H, dh, H);
        add_to_weight_grad(*this, 2, B, 3 * H, H, dq, h);
    }
};

// The same cell at T steps one after the other, y_t = h_t. Where a sentence is over, h stays and y is 0.
// Kept by step, (T, B, ...), so that what all steps add to dW is one product of all their rows.
struct GruSequence final : Node {
    int B, T, H;
    bool reverse;
    std::vector<int> lengths;                 // (B), or none
    Buffer saved_h, saved_gates, saved_qn;    // (T + 1, B, H) from the initial state on, (T, B, 3H), (T, B, H)

    int place(int step) const { return reverse ? T - 1 - step : step; }
    bool active(int row, int step) const { return lengths.empty() || place(step) < lengths[row]; }

    void forward() override {
        const real *p = inputs[0].data(), *h0 = inputs[1].data(), *b = inputs[3].data();
        const int rows = T * B;
        real *h = saved_h.resize((rows + B) * H), *gates = saved_gates.resize(rows * 3 * H), *qn = saved_qn.resize(rows * H);
        std::copy_n(h0, B * H, h);
        const PackedWeights packed({inputs[2]});
        for (int step = 0; step < T; ++step, h += B * H, gates += B * 3 * H, qn += B * H) {
            times_weight_transposed(B, 3 * H, H, h, inputs[2], gates, b);
            for (int row = 0; row < B; ++row) {
                const int out = row * T + place(step);
                const real* before = h + row * H;
                real *after = h + (B + row) * H, *y = data + out * H;
                if (active(row, step)) {
                    gru_row(H, p + out * 3 * H, before, gates + row * 3 * H, qn + row * H, after);
                    std::copy_n(after, H, y);
                } else {
                    std::copy_n(before, H, after);
                    std::fill_n(y, H, real(0));
                }
            }
        }
    }
    void backward() override {
        const real *W = inputs[2].data(), *dy = grad;
        real *dp = grad_of(0), *dh0 = grad_of(1), *db = grad_of(3);
        const int rows = T * B;
        Buffer gradient_of_h, gradient_of_q;
        real *dh = gradient_of_h.resize(B * H), *dq = gradient_of_q.resize(rows * 3 * H);
        std::fill_n(dh, B * H, real(0));
        for (int step = T - 1; step >= 0; --step) {
            real* dq_step = dq + step * B * 3 * H;
            for (int row = 0; row < B; ++row) {
                real *dh_row = dh + row * H, *dq_row = dq_step + row * 3 * H;
                if (!active(row, step)) {
                    std::fill_n(dq_row, 3 * H, real(0));
                    continue;
                }
                const int out = row * T + place(step), kept = step * B + row;
                const real* gates = saved_gates.data + kept * 3 * H;
                kernels::accumulate(H, dy + out * H, dh_row);
                gru_row_backward(H, dh_row, saved_h.data + kept * H, gates, saved_qn.data + kept * H,
                                 dp ? dp + out * 3 * H : nullptr, dq_row);
                kernels::multiply(H, dh_row, gates + H, dh_row);
            }
            kernels::gemm_nn(B, H, 3 * H, dq_step, 3 * H, W, H, dh, H);
        }
        if (dh0) kernels::accumulate(B * H, dh, dh0);
        add_to_weight_grad(*this, 2, rows, 3 * H, H, dq, saved_h.data);
        for (int row = 0; db && row < rows; ++row) kernels::accumulate(3 * H, dq + row * 3 * H, db);
    }
};

// i, f, o = sigmoid(a),  g = tanh(a_g),  a = p + W h + b,  c' = f c + i g,  t = tanh c',  h' = o t
//
// dc' += dh' o (1 - t^2)              do = dh' t o (1 - o)                di = dc' g i (1 - i)           df = dc' c f (1 - f)
// dg = dc' i (1 - g^2)                dc = dc' f                          dp = da,  dh = W^T da,  dW = da h^T,  db = da
struct LstmCell final : Node {
    int B, H;
    Buffer saved_gates, saved_t;    // (B, 4H): i | f | g | o, and (B, H)

    void forward() override {
        const real *p = inputs[0].data(), *h = inputs[1].data(), *c = inputs[2].data();
        const real* b = inputs[4].data();
        real *gates = saved_gates.resize(2 * size), *t = saved_t.resize(size / 2), *y = data;
        times_weight_transposed(B, 4 * H, H, h, inputs[3], gates, b);
        for (int row = 0; row < B; ++row, p += 4 * H, c += H, y += 2 * H, gates += 4 * H, t += H) {
            real *i = gates, *f = gates + H, *g = gates + 2 * H, *o = gates + 3 * H, *h_next = y, *c_next = y + H;
            kernels::accumulate(4 * H, p, gates);
            kernels::sigmoid(2 * H, i, i);
            kernels::tanh(H, g, g);
            kernels::sigmoid(H, o, o);
            for (int k = 0; k < H; ++k) c_next[k] = f[k] * c[k] + i[k] * g[k];
            kernels::tanh(H, c_next, t);
            for (int k = 0; k < H; ++k) h_next[k] = o[k] * t[k];
        }
    }
    void backward() override {
        const real *h = inputs[1].data(), *c = inputs[2].data(), *W = inputs[3].data();
        real *dp = grad_of(0), *dh = grad_of(1), *dc = grad_of(2), *db = grad_of(4);
        Buffer gradient_of_a;
        real* da = gradient_of_a.resize(2 * size);
        for (int row = 0; row < B; ++row) {
            const real *i = saved_gates.data + row * 4 * H, *f = i + H, *g = f + H, *o = g + H;
            const real *t = saved_t.data + row * H, *c_row = c + row * H;
            const real *dh_next = grad + row * 2 * H, *dc_next = dh_next + H;
            real *di = da + row * 4 * H, *df = di + H, *dg = df + H, *d_o = dg + H;
            for (int k = 0; k < H; ++k) {
                const real dc_total = dc_next[k] + dh_next[k] * o[k] * (1 - t[k] * t[k]);
                di[k] = dc_total * g[k] * i[k] * (1 - i[k]);
                df[k] = dc_total * c_row[k] * f[k] * (1 - f[k]);
                dg[k] = dc_total * i[k] * (1 - g[k] * g[k]);
                d_o[k] = dh_next[k] * t[k] * o[k] * (1 - o[k]);
                if (dc) dc[row * H + k] += dc_total * f[k];
            }
            if (dp) kernels::accumulate(4 * H, di, dp + row * 4 * H);
            if (db) kernels::accumulate(4 * H, di, db);
        }
        if (dh) kernels::gemm_nn(B, H, 4 * H, da, 4 * H, W, H, dh, H);
        add_to_weight_grad(*this, 3, B, 4 * H, H, da, h);
    }
};

}    // namespace op

namespace {

void check_cell(const char* op, int gates, const Tensor& projected, const Tensor& h, const Tensor& weight_hh,
                const Tensor& bias_hh, const Where& where) {
    const bool state = h.rank() == 2;
    const int H = state ? h.size(1) : 0;
    if (!state || projected.shape() != Shape{h.size(0), gates * H} || weight_hh.shape() != Shape{gates * H, H} ||
        bias_hh.shape() != Shape{gates * H})
        reject(fmt::format("{}: the sizes do not fit: projected {}, h {}, weight_hh {}, bias_hh {}; expected (B, {}H), "
                           "(B, H), ({}H, H), ({}H)",
                           op, to_string(projected.shape()), to_string(h.shape()), to_string(weight_hh.shape()),
                           to_string(bias_hh.shape()), gates, gates, gates),
               where);
}

void check_lengths(const std::vector<int>& lengths, int B, int T, const Where& where) {
    if (lengths.empty()) return;
    if (static_cast<int>(lengths.size()) != B)
        reject(fmt::format("gru_sequence: {} lengths for {} rows", lengths.size(), B), where);
    for (const int length : lengths)
        if (length < 1 || length > T) reject(fmt::format("gru_sequence: a length of {} is not in 1 .. {}", length, T), where);
}

}    // namespace

Tensor gru_cell(const Tensor& projected, const Tensor& h, const Tensor& weight_hh, const Tensor& bias_hh, Where where) {
    check_cell("gru_cell", 3, projected, h, weight_hh, bias_hh, where);
    auto* node = new op::GruCell;
    node->B = h.size(0);
    node->H = h.size(1);
    return record(node, "gru_cell", h.shape(), {projected, h, weight_hh, bias_hh}, where);
}

Tensor gru_sequence(const Tensor& projected, const Tensor& h, const Tensor& weight_hh, const Tensor& bias_hh,
                    const std::vector<int>& lengths, bool reverse, Where where) {
    const Shape& p = projected.shape();
    const int H = h.rank() == 2 ? h.size(1) : 0;
    if (h.rank() != 2 || p != Shape{h.size(0), p.size() == 3 ? p[1] : 0, 3 * H} || weight_hh.shape() != Shape{3 * H, H} ||
        bias_hh.shape() != Shape{3 * H})
        reject(fmt::format("gru_sequence: the sizes do not fit: projected {}, h {}, weight_hh {}, bias_hh {}; expected "
                           "(B, T, 3H), (B, H), (3H, H), (3H)",
                           to_string(p), to_string(h.shape()), to_string(weight_hh.shape()), to_string(bias_hh.shape())),
               where);
    check_lengths(lengths, p[0], p[1], where);
    auto* node = new op::GruSequence;
    node->B = p[0];
    node->T = p[1];
    node->H = H;
    node->reverse = reverse;
    if (std::ranges::any_of(lengths, [&](int length) { return length < p[1]; })) node->lengths = lengths;
    return record(node, "gru_sequence", {p[0], p[1], H}, {projected, h, weight_hh, bias_hh}, where);
}

Tensor lstm_cell(const Tensor& projected, const Tensor& h, const Tensor& c, const Tensor& weight_hh, const Tensor& bias_hh,
                 Where where) {
    check_cell("lstm_cell", 4, projected, h, weight_hh, bias_hh, where);
    if (c.shape() != h.shape())
        reject(fmt::format("lstm_cell: h and c differ: {} and {}", to_string(h.shape()), to_string(c.shape())), where);
    auto* node = new op::LstmCell;
    node->B = h.size(0);
    node->H = h.size(1);
    return record(node, "lstm_cell", {h.size(0), 2 * h.size(1)}, {projected, h, c, weight_hh, bias_hh}, where);
}

}    // namespace lookback
