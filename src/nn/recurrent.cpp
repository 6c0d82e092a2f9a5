#include "lookback/nn/recurrent.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "lookback/ops/elementwise.h"
#include "lookback/ops/lookup.h"
#include "lookback/ops/matmul.h"
#include "lookback/ops/recurrent.h"
#include "lookback/ops/shape.h"
#include "lookback/tensor/node.h"
#include "lookback/tensor/packed_weights.h"
#include "lookback/tensor/scope.h"

namespace lookback {

Cell::Cell(int gates, int input, int hidden, Random& random) {
    const double bound = 1 / std::sqrt(hidden);
    weight_ih = uniform_parameter({gates * hidden, input}, bound, random);
    weight_hh = uniform_parameter({gates * hidden, hidden}, bound, random);
    bias_ih = uniform_parameter({gates * hidden}, bound, random);
    bias_hh = uniform_parameter({gates * hidden}, bound, random);
}

Tensor Cell::project(const Tensor& x, Where where) const { return linear(x, weight_ih, bias_ih, where); }

// projected (B, G H), state (B, size)
static void check_state(const Tensor& state, const Tensor& projected, int size, const Where& where) {
    if (state.shape() != Shape{projected.size(0), size})
        reject(fmt::format("recurrent: a state {} is needed, not {}", to_string({projected.size(0), size}),
                           to_string(state.shape())),
               where);
}

void Cell::parameters(const Visit& visit) {
    visit("weight_ih", weight_ih);
    visit("weight_hh", weight_hh);
    visit("bias_ih", bias_ih);
    visit("bias_hh", bias_hh);
}

Tensor RnnCell::step(const Tensor& projected, const Tensor& h, Where where) const {
    check_state(h, projected, state_size(), where);
    return tanh(projected + linear(h, weight_hh, bias_hh));
}

Tensor GruCell::step(const Tensor& projected, const Tensor& h, Where where) const {
    return gru_cell(projected, h, weight_hh, bias_hh, where);
}

Tensor LstmCell::step(const Tensor& projected, const Tensor& state, Where where) const {
    const int H = hidden();
    check_state(state, projected, state_size(), where);
    const Tensor h = slice(state, 1, 0, H), c = slice(state, 1, H, 2 * H);
    return lstm_cell(projected, h, c, weight_hh, bias_hh, where);
}

Tensor LstmCell::output(const Tensor& state) const { return slice(state, 1, 0, hidden()); }

namespace {

struct Direction {
    Tensor y, state;    // (B, T, H), (B, H)
};

template <class CellType>
Direction run_cell(const CellType& cell, const Tensor& projected, const std::vector<int>& lengths, Tensor state, bool reverse) {
    const int B = projected.size(0), T = projected.size(1);
    if (!state) state = Tensor({B, cell.state_size()});
    const PackedWeights packed({cell.weight_hh});
    std::vector<Tensor> y(T);
    for (int step = 0; step < T; ++step) {
        const int t = reverse ? T - 1 - step : step;
        const Scope scope("step", t);
        const Tensor next = cell.step(select(projected, 1, t), state);
        std::vector<bool> active(B);
        for (int b = 0; b < B; ++b) active[b] = lengths.empty() || t < lengths[b];
        if (std::ranges::find(active, false) == active.end()) {
            state = next;
            y[t] = cell.output(next);
        } else {
            state = select_rows(active, next, state);
            y[t] = select_rows(active, cell.output(next), Tensor({B, cell.hidden()}));
        }
    }
    return {stack(y, 1), state};
}

// The same in one op.
Direction run_cell(const GruCell& cell, const Tensor& projected, const std::vector<int>& lengths, Tensor state, bool reverse) {
    const int B = projected.size(0), T = projected.size(1), H = cell.hidden();
    if (!state) state = Tensor({B, H});
    const Tensor y = gru_sequence(projected, state, cell.weight_hh, cell.bias_hh, lengths, reverse);
    if (reverse) return {y, select(y, 1, 0)};
    if (lengths.empty()) return {y, select(y, 1, T - 1)};
    Ids last{{B}, {}};
    for (int b = 0; b < B; ++b) last.values.push_back(b * T + lengths[b] - 1);
    return {y, embedding(last, reshape(y, {B * T, H}))};
}

}    // namespace

template <class CellType>
Recurrent<CellType>::Recurrent(int input, int hidden, Random& random, bool both_ways)
    : forward_cell(input, hidden, random), bidirectional(both_ways) {
    if (bidirectional) backward_cell = CellType(input, hidden, random);
}

template <class CellType>
typename Recurrent<CellType>::Output Recurrent<CellType>::operator()(const Tensor& x, const std::vector<int>& lengths,
                                                                     const Tensor& initial, Where where) const {
    if (x.rank() != 3 || x.size(1) == 0 || x.size(2) != forward_cell.weight_ih.size(1))
        reject(fmt::format("recurrent: an input (B, T, E) with E = {} and T > 0 is needed, not {}",
                           forward_cell.weight_ih.size(1), to_string(x.shape())),
               where);
    const Tensor forward = forward_cell.project(x), backward = bidirectional ? backward_cell.project(x) : Tensor();
    return run(forward, backward, lengths, initial, where);
}

template <class CellType>
typename Recurrent<CellType>::Output Recurrent<CellType>::operator()(const Ids& tokens, const Embedding& embedding,
                                                                     const std::vector<int>& lengths, const Tensor& initial,
                                                                     Where where) const {
    if (tokens.shape.size() != 2 || tokens.shape[1] == 0)
        reject(fmt::format("recurrent: tokens (B, T) with T > 0 are needed, not {}", to_string(tokens.shape)), where);
    const auto project = [&](const CellType& cell) { return embedded_linear(tokens, embedding, cell.weight_ih, cell.bias_ih); };
    const Tensor forward = project(forward_cell), backward = bidirectional ? project(backward_cell) : Tensor();
    return run(forward, backward, lengths, initial, where);
}

template <class CellType>
typename Recurrent<CellType>::Output Recurrent<CellType>::run(const Tensor& projected, const Tensor& projected_backward,
                                                              const std::vector<int>& lengths, const Tensor& initial,
                                                              Where where) const {
    const int B = projected.size(0), T = projected.size(1), size = forward_cell.state_size();
    if (!lengths.empty() && static_cast<int>(lengths.size()) != B)
        reject(fmt::format("recurrent: {} lengths for {} rows", lengths.size(), B), where);
    for (const int length : lengths)
        if (length < 1 || length > T) reject(fmt::format("recurrent: a length of {} is not in 1 .. {}", length, T), where);
    if (const Shape needed{B, (bidirectional ? 2 : 1) * size}; initial && initial.shape() != needed)
        reject(fmt::format("recurrent: an initial state {} is needed, not {}", to_string(needed), to_string(initial.shape())),
               where);
    if (!bidirectional) {
        const Direction forward = run_cell(forward_cell, projected, lengths, initial, false);
        return {forward.y, forward.state};
    }
    const Tensor start_forward = initial ? slice(initial, 1, 0, size) : Tensor();
    const Tensor start_backward = initial ? slice(initial, 1, size, 2 * size) : Tensor();
    const Direction forward = run_cell(forward_cell, projected, lengths, start_forward, false);
    const Direction backward = run_cell(backward_cell, projected_backward, lengths, start_backward, true);
    return {concat({forward.y, backward.y}, 2), concat({forward.state, backward.state}, 1)};
}

template <class CellType>
void Recurrent<CellType>::parameters(const Visit& visit) {
    forward_cell.parameters([&](const std::string& name, Tensor& parameter) { visit(name + "_l0", parameter); });
    if (bidirectional)
        backward_cell.parameters([&](const std::string& name, Tensor& parameter) { visit(name + "_l0_reverse", parameter); });
}

template struct Recurrent<RnnCell>;
template struct Recurrent<GruCell>;
template struct Recurrent<LstmCell>;

}    // namespace lookback
