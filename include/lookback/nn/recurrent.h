#pragma once

#include "lookback/nn/layers.h"

namespace lookback {

// What the three cells have in common: weights as in torch.nn.RNNCell, GRUCell, LSTMCell (G gates of H rows each), and an
// equation in two halves. project() does not depend on the recurrence, so a sequence takes it in one product over all its
// steps; step() does.
struct Cell {
    Tensor weight_ih, weight_hh, bias_ih, bias_hh;    // (G H, E), (G H, H), (G H), (G H)

    Cell() = default;
    Cell(int gates, int input, int hidden, Random& random);    // uniform in +-1/sqrt(H)
    int hidden() const { return weight_hh.size(1); }
    Tensor project(const Tensor& x, Where where = Where::current()) const;    // W_ih x + b_ih: (..., E) -> (..., G H)
    void parameters(const Visit& visit);
};

// h' = tanh(W_ih x + b_ih + W_hh h + b_hh). Elman 1990.
struct RnnCell : Cell {
    RnnCell() = default;
    RnnCell(int input, int hidden, Random& random) : Cell(1, input, hidden, random) {}
    Tensor operator()(const Tensor& x, const Tensor& h, Where where = Where::current()) const {
        return step(project(x, where), h, where);
    }    // (B, E), (B, H) -> (B, H)
    Tensor step(const Tensor& projected, const Tensor& h, Where where = Where::current()) const;
    Tensor output(const Tensor& state) const { return state; }
    int state_size() const { return hidden(); }
};

// Gates reset | update | new. Equations at gru_cell. Cho et al. 2014, arXiv:1406.1078, eq. 5-8.
struct GruCell : Cell {
    GruCell() = default;
    GruCell(int input, int hidden, Random& random) : Cell(3, input, hidden, random) {}
    Tensor operator()(const Tensor& x, const Tensor& h, Where where = Where::current()) const {
        return step(project(x, where), h, where);
    }    // (B, E), (B, H) -> (B, H)
    Tensor step(const Tensor& projected, const Tensor& h, Where where = Where::current()) const;
    Tensor output(const Tensor& state) const { return state; }
    int state_size() const { return hidden(); }
};

// Gates input | forget | cell | output. Equations at lstm_cell. The state is h | c side by side. Hochreiter & Schmidhuber 1997.
struct LstmCell : Cell {
    LstmCell() = default;
    LstmCell(int input, int hidden, Random& random) : Cell(4, input, hidden, random) {}
    Tensor operator()(const Tensor& x, const Tensor& state, Where where = Where::current()) const {
        return step(project(x, where), state, where);
    }    // (B, 2H) -> (B, 2H)
    Tensor step(const Tensor& projected, const Tensor& state, Where where = Where::current()) const;
    Tensor output(const Tensor& state) const;    // h of h | c
    int state_size() const { return 2 * hidden(); }
};

// A cell over sequences, in one direction or in both, with the parameters of a one-layer torch.nn.RNN, GRU or LSTM. Where a
// sentence is over (lengths), the state stays and the output is zero. std::invalid_argument for a length outside 1 .. T, or no T.
template <class CellType>
struct Recurrent {
    CellType forward_cell, backward_cell;
    bool bidirectional = false;

    struct Output {
        Tensor y;        // (B, T, D H), with D = 2 in both directions, else 1: forward | backward
        Tensor state;    // (B, D H): the last state forward | the state at the first token backward (LSTM: D 2H, h | c each)
    };

    Recurrent() = default;
    Recurrent(int input, int hidden, Random& random, bool both_ways = false);
    // x (B, T, E), lengths (B) or none, initial state as in Output or none (zeros).
    Output operator()(const Tensor& x, const std::vector<int>& lengths = {}, const Tensor& initial = {},
                      Where where = Where::current()) const;
    // The same for tokens (B, T), embedded.
    Output operator()(const Ids& tokens, const Embedding& embedding, const std::vector<int>& lengths = {},
                      const Tensor& initial = {}, Where where = Where::current()) const;
    void parameters(const Visit& visit);    // weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, and ..._reverse

  private:
    Output run(const Tensor& projected, const Tensor& projected_backward, const std::vector<int>& lengths, const Tensor& initial,
               Where where) const;
};

extern template struct Recurrent<RnnCell>;
extern template struct Recurrent<GruCell>;
extern template struct Recurrent<LstmCell>;

using Rnn = Recurrent<RnnCell>;
using Gru = Recurrent<GruCell>;
using Lstm = Recurrent<LstmCell>;

}    // namespace lookback
