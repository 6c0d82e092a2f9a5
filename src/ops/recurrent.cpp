#include "lookback/ops/recurrent.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/kernels.h"
#include "lookback/tensor/node.h"
#include "tensor/memory.h"

namespace lookback {

namespace op {

// r = sigmoid(p_r + q_r),  z = sigmoid(p_z + q_z),  n = tanh(p_n + r q_n),  h' = (1 - z) n + z h,  with q = W h + b
//
// dn = dh' (1 - z) (1 - n^2)          dz = dh' (h - n) z (1 - z)          dr = dn q_n r (1 - r)          (before the squashing)
// dp = (dr, dz, dn)                   dq = (dr, dz, dn r)                 dh = dh' z + W^T dq            dW = dq h^T          db = dq
struct GruCell final : Node {
    int B, H;
    Buffer saved_gates, saved_qn;     // (B, 3H): r | z | n, and (B, H)

    void forward() override {
        const real *p = inputs[0].data(), *h = inputs[1].data(), *W = inputs[2].data(), *b = inputs[3].data();
        real *gates = saved_gates.resize(3 * size), *qn = saved_qn.resize(size), *y = data;
        for (int row = 0; row < B; ++row) std::copy_n(b, 3 * H, gates + row * 3 * H);
        kernels::gemm_nt(B, 3 * H, H, h, H, W, H, gates, 3 * H);
        for (int row = 0; row < B; ++row, p += 3 * H, h += H, y += H, gates += 3 * H, qn += H) {
            real *r = gates, *z = gates + H, *n = gates + 2 * H;
            kernels::accumulate(2 * H, p, gates);
            kernels::sigmoid(2 * H, gates, gates);
            std::copy_n(n, H, qn);
            for (int i = 0; i < H; ++i) n[i] = p[2 * H + i] + r[i] * qn[i];
            kernels::tanh(H, n, n);
            for (int i = 0; i < H; ++i) y[i] = (1 - z[i]) * n[i] + z[i] * h[i];
        }
    }
    void backward() override {
        const real *h = inputs[1].data(), *W = inputs[2].data(), *dy = grad;
        real *dp = grad_of(0), *dh = grad_of(1), *dW = grad_of(2), *db = grad_of(3);
        Buffer gradient_of_q;
        real* dq = gradient_of_q.resize(3 * size);
        for (int row = 0; row < B; ++row) {
            const real *r = saved_gates.data + row * 3 * H, *z = r + H, *n = z + H, *qn = saved_qn.data + row * H;
            const real *dy_row = dy + row * H, *h_row = h + row * H;
            real *dr = dq + row * 3 * H, *dz = dr + H, *dn = dz + H;
            for (int i = 0; i < H; ++i) {
                dn[i] = dy_row[i] * (1 - z[i]) * (1 - n[i] * n[i]);
                dz[i] = dy_row[i] * (h_row[i] - n[i]) * z[i] * (1 - z[i]);
                dr[i] = dn[i] * qn[i] * r[i] * (1 - r[i]);
            }
            if (dp) kernels::accumulate(3 * H, dr, dp + row * 3 * H);
            for (int i = 0; i < H; ++i) dn[i] *= r[i];
            if (dh) kernels::accumulate_product(H, dy_row, z, dh + row * H);
            if (db) kernels::accumulate(3 * H, dr, db);
        }
        if (dh) kernels::gemm_nn(B, H, 3 * H, dq, 3 * H, W, H, dh, H);
        if (dW) kernels::gemm_tn(3 * H, H, B, dq, 3 * H, h, H, dW, H);
    }
};

// i, f, o = sigmoid(a),  g = tanh(a_g),  a = p + W h + b,  c' = f c + i g,  t = tanh c',  h' = o t
//
// dc' += dh' o (1 - t^2)              do = dh' t o (1 - o)                di = dc' g i (1 - i)           df = dc' c f (1 - f)
// dg = dc' i (1 - g^2)                dc = dc' f                          dp = da,  dh = W^T da,  dW = da h^T,  db = da
struct LstmCell final : Node {
    int B, H;
    Buffer saved_gates, saved_t;      // (B, 4H): i | f | g | o, and (B, H)

    void forward() override {
        const real *p = inputs[0].data(), *h = inputs[1].data(), *c = inputs[2].data();
        const real *W = inputs[3].data(), *b = inputs[4].data();
        real *gates = saved_gates.resize(2 * size), *t = saved_t.resize(size / 2), *y = data;
        for (int row = 0; row < B; ++row) std::copy_n(b, 4 * H, gates + row * 4 * H);
        kernels::gemm_nt(B, 4 * H, H, h, H, W, H, gates, 4 * H);
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
        real *dp = grad_of(0), *dh = grad_of(1), *dc = grad_of(2), *dW = grad_of(3), *db = grad_of(4);
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
        if (dW) kernels::gemm_tn(4 * H, H, B, da, 4 * H, h, H, dW, H);
    }
};

}  // namespace op

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

}  // namespace

Tensor gru_cell(const Tensor& projected, const Tensor& h, const Tensor& weight_hh, const Tensor& bias_hh, Where where) {
    check_cell("gru_cell", 3, projected, h, weight_hh, bias_hh, where);
    auto* node = new op::GruCell;
    node->B = h.size(0);
    node->H = h.size(1);
    return record(node, "gru_cell", h.shape(), {projected, h, weight_hh, bias_hh}, where);
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

}  // namespace lookback
