#pragma once

#include "lookback/tensor/tensor.h"

namespace lookback {

// One step of a gated recurrent unit, fused. `projected` is W_ih x + b_ih, (B, 3H) with the gates in the order r, z, n: it does
// not depend on the recurrence, so a sequence computes it in one product for all its steps.
//     r = sigmoid(p_r + W_hr h + b_hr)              z = sigmoid(p_z + W_hz h + b_hz)
//     n = tanh(p_n + r (W_hn h + b_hn))             h' = (1 - z) n + z h
// h (B, H), weight_hh (3H, H), bias_hh (3H) -> (B, H). Cho et al. 2014, arXiv:1406.1078, eq. 5-8, with r outside the product
// as in torch.nn.GRU.
Tensor gru_cell(const Tensor& projected, const Tensor& h, const Tensor& weight_hh, const Tensor& bias_hh,
                Where where = Where::current());

// gru_cell at all steps of a sequence, fused: projected (B, T, 3H), h (B, H) -> (B, T, H), the state after each step; in reverse
// from the last step to the first. Where a sentence is over (lengths (B), or none) the state stays, and the output is 0.
// std::invalid_argument for a length outside 1 .. T.
Tensor gru_sequence(const Tensor& projected, const Tensor& h, const Tensor& weight_hh, const Tensor& bias_hh,
                    const std::vector<int>& lengths = {}, bool reverse = false, Where where = Where::current());

// One step of a long short-term memory, fused. `projected` is W_ih x + b_ih, (B, 4H) with the gates in the order i, f, g, o.
//     i, f, o = sigmoid(p + W_h h + b_h)            g = tanh(p_g + W_hg h + b_hg)
//     c' = f c + i g                                h' = o tanh c'
// h, c (B, H), weight_hh (4H, H), bias_hh (4H) -> (B, 2H), which is h' | c'. Hochreiter & Schmidhuber 1997; forget gate: Gers 2000.
Tensor lstm_cell(const Tensor& projected, const Tensor& h, const Tensor& c, const Tensor& weight_hh, const Tensor& bias_hh,
                 Where where = Where::current());

}    // namespace lookback
