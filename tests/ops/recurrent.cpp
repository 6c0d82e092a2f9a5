#include "lookback/ops/recurrent.h"

#include "lookback/ops/matmul.h"
#include "ops/expect.h"

using namespace lookback;
using namespace lookback::expect;

namespace {

Tensor gate(const Tensor& gates, int index, int width) { return slice(gates, 1, index * width, (index + 1) * width); }

Tensor composed_gru(const Tensor& p, const Tensor& h, const Tensor& weight, const Tensor& bias) {
    const int H = h.size(1);
    const Tensor q = linear(h, weight, bias);
    const Tensor r = sigmoid(gate(p, 0, H) + gate(q, 0, H));
    const Tensor z = sigmoid(gate(p, 1, H) + gate(q, 1, H));
    const Tensor n = tanh(gate(p, 2, H) + r * gate(q, 2, H));
    return (1 - z) * n + z * h;
}

Tensor composed_lstm(const Tensor& p, const Tensor& h, const Tensor& c, const Tensor& weight, const Tensor& bias) {
    const int H = h.size(1);
    const Tensor a = linear(h, weight, bias) + p;
    const Tensor i = sigmoid(gate(a, 0, H)), f = sigmoid(gate(a, 1, H)), g = tanh(gate(a, 2, H)), o = sigmoid(gate(a, 3, H));
    const Tensor c_next = f * c + i * g;
    return concat({o * tanh(c_next), c_next}, 1);
}

}    // namespace

TEST_CASE("a GRU cell with all weights 0 keeps half of its state") {
    const Tensor h({1, 2}, {2, -4});
    CHECK(gru_cell(Tensor({1, 6}), h, Tensor({6, 2}), Tensor({6})).values() == Values{1, -2});
}

TEST_CASE("the gates of a GRU cell are r, z, n") {
    const Tensor h({1, 1}, {0.5}), weight({3, 1}, {0, 0, 2});
    const auto step = [&](real r, real z, real n) {
        return gru_cell(Tensor({1, 3}, {r, z, n}), h, weight, Tensor({3}, {0, 0, 1})).item();
    };
    CHECK(step(0, 100, 0) == 0.5);                                       // z = 1: the state stays
    CHECK(step(-100, -100, 0.3f) == doctest::Approx(std::tanh(0.3)));    // r = 0: the past is not asked
    CHECK(step(100, -100, 0.3f) == doctest::Approx(std::tanh(0.3 + 2 * 0.5 + 1)));
}

TEST_CASE("a GRU cell equals its composition from primitives, its value to the bit") {
    for (const auto& [B, H] : {std::pair(3, 5), std::pair(1, 1), std::pair(4, 33)}) {
        const Tensor p = random_tensor({B, 3 * H}), h = random_tensor({B, H}, 3);
        const Tensor weight = random_tensor({3 * H, H}, 4), bias = random_tensor({3 * H}, 5);
        check_same([&] { return gru_cell(p, h, weight, bias); }, [&] { return composed_gru(p, h, weight, bias); },
                   {p, h, weight, bias}, 0, 2e-6);
    }
}

TEST_CASE("a GRU sequence equals its cells one by one, its value to the bit") {
    const int B = 3, T = 5;
    for (const int H : {1, 4, 33})
        for (const bool reverse : {false, true})
            for (const std::vector<int>& lengths : {std::vector<int>(), {5, 1, 3}, {2, 4, 2}}) {
                const Tensor p = random_tensor({B, T, 3 * H}), h = random_tensor({B, H}, 3);
                const Tensor weight = random_tensor({3 * H, H}, 4), bias = random_tensor({3 * H}, 5);
                const auto cells = [&] {
                    Tensor state = h;
                    std::vector<Tensor> y(T);
                    for (int step = 0; step < T; ++step) {
                        const int t = reverse ? T - 1 - step : step;
                        const Tensor next = gru_cell(select(p, 1, t), state, weight, bias);
                        std::vector<bool> active(B);
                        for (int b = 0; b < B; ++b) active[b] = lengths.empty() || t < lengths[b];
                        state = select_rows(active, next, state);
                        y[t] = select_rows(active, next, Tensor({B, H}));
                    }
                    return stack(y, 1);
                };
                check_same([&] { return gru_sequence(p, h, weight, bias, lengths, reverse); }, cells, {p, h, weight, bias}, 0,
                           2e-6);
            }
}

TEST_CASE("a GRU sequence refuses lengths that do not fit, with the line") {
    const Tensor p({2, 4, 9}), h({2, 3}), weight({9, 3}), bias({9});
    check_rejected("gru_sequence: 1 lengths for 2 rows", [&] { gru_sequence(p, h, weight, bias, {4}); });
    check_rejected("gru_sequence: a length of 5 is not in 1 .. 4", [&] { gru_sequence(p, h, weight, bias, {4, 5}); });
    check_rejected(
        "gru_sequence: the sizes do not fit: projected (2, 3), h (2, 3), weight_hh (9, 3), bias_hh (9); expected "
        "(B, T, 3H), (B, H), (3H, H), (3H)",
        [&] { gru_sequence(h, h, weight, bias); });
}

TEST_CASE("an LSTM cell with all weights 0 halves its cell state") {
    const Tensor y = lstm_cell(Tensor({1, 8}), Tensor({1, 2}, {9, 9}), Tensor({1, 2}, {2, -4}), Tensor({8, 2}), Tensor({8}));
    CHECK(y.shape() == Shape{1, 4});
    CHECK(y.values()[2] == 1);
    CHECK(y.values()[3] == -2);
    CHECK(y.values()[0] == doctest::Approx(std::tanh(1.0) / 2));
}

TEST_CASE("the gates of an LSTM cell are i, f, g, o, and it returns h' before c'") {
    const auto step = [](real i, real f, real g, real o) {
        return lstm_cell(Tensor({1, 4}, {i, f, g, o}), Tensor({1, 1}), Tensor({1, 1}, {0.5}), Tensor({4, 1}), Tensor({4}))
            .values();
    };
    CHECK(step(-100, 100, 3, 100)[1] == 0.5);                                   // i = 0, f = 1: it remembers
    CHECK(step(100, -100, 0.3f, 100)[1] == doctest::Approx(std::tanh(0.3)));    // i = 1, f = 0: it takes g alone
    CHECK(step(-100, 100, 3, 100)[0] == doctest::Approx(std::tanh(0.5)));       // o = 1: it shows
    CHECK(step(-100, 100, 3, -200)[0] == 0);                                    // o = 0: it hides
}

TEST_CASE("an LSTM cell equals its composition from primitives, its value to the bit") {
    for (const auto& [B, H] : {std::pair(3, 5), std::pair(1, 1), std::pair(4, 33)}) {
        const Tensor p = random_tensor({B, 4 * H}), h = random_tensor({B, H}, 3), c = random_tensor({B, H}, 6);
        const Tensor weight = random_tensor({4 * H, H}, 4), bias = random_tensor({4 * H}, 5);
        check_same([&] { return lstm_cell(p, h, c, weight, bias); }, [&] { return composed_lstm(p, h, c, weight, bias); },
                   {p, h, c, weight, bias}, 0, 2e-6);
    }
}

TEST_CASE("recurrent cells refuse sizes that do not fit, with the shapes and the line") {
    const Tensor p({2, 9}), h({2, 3}), weight({9, 3}), bias({9});
    const std::string expected = "; expected (B, 3H), (B, H), (3H, H), (3H)";
    check_rejected("gru_cell: the sizes do not fit: projected (2, 3), h (2, 3), weight_hh (9, 3), bias_hh (9)" + expected,
                   [&] { gru_cell(h, h, weight, bias); });
    check_rejected("gru_cell: the sizes do not fit: projected (2, 9), h (9), weight_hh (9, 3), bias_hh (9)" + expected,
                   [&] { gru_cell(p, bias, weight, bias); });
    check_rejected("gru_cell: the sizes do not fit: projected (2, 9), h (2, 3), weight_hh (2, 9), bias_hh (9)" + expected,
                   [&] { gru_cell(p, h, p, bias); });
    check_rejected("gru_cell: the sizes do not fit: projected (2, 9), h (2, 3), weight_hh (9, 3), bias_hh (2, 3)" + expected,
                   [&] { gru_cell(p, h, weight, h); });
    CHECK_THROWS_AS(lstm_cell(p, h, h, weight, bias), std::invalid_argument);
    const Tensor p4({2, 12}), weight4({12, 3}), bias4({12}), c({2, 4});
    check_rejected("lstm_cell: h and c differ: (2, 3) and (2, 4)", [&] { lstm_cell(p4, h, c, weight4, bias4); });
}

TEST_CASE("a sentence of no steps is refused beside others") {
    check_rejected("gru_sequence: a length of 0 is not in 1 .. 4", [] {
        gru_sequence(Tensor({2, 4, 9}), Tensor({2, 3}), Tensor({9, 3}), Tensor({9}), {4, 0});
    });
}
