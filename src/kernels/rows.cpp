#include <algorithm>
#include <bit>

#include "elementary.h"
#include "kernels.h"
#include "reference.h"

// Each function says once, for a register, what reference.cpp says for an element; `part` is Whole or the first lanes.
namespace lookback::kernels {

using std::size_t;

namespace {

// The sixteen lanes of a sum, in as many registers as they fill.
struct SixteenLanes {
    static constexpr int registers = 16 / lanes;
    static_assert(registers >= 1);
    Vector lane[registers] = {};

    // l + (l+8), l + (l+4), l + (l+2), l + (l+1)
    real folded() const {
        using Eight [[gnu::vector_size(8 * sizeof(real))]] = real;
        using Four [[gnu::vector_size(4 * sizeof(real))]] = real;
        Eight eight[2];
        std::memcpy(eight, lane, sizeof eight);
        const Eight e = eight[0] + eight[1];
        Four four[2];
        std::memcpy(four, &e, sizeof four);
        const Four f = four[0] + four[1];
        return (f[0] + f[2]) + (f[1] + f[3]);
    }

    // step(register, i, part) for the register that element i goes to; it must leave alone what is beyond n.
    template <class Step>
    void run(size_t n, Step step) {
        size_t i = 0;
        for (; i + 16 <= n; i += 16)
            for (int r = 0; r < registers; ++r) step(lane[r], i + r * lanes, Whole());
        each(n - i, [&](size_t rest, auto part) { step(lane[rest / lanes], i + rest, part); });
    }
};

}    // namespace

real sum(size_t n, const real* x) {
    if (use_reference()) return reference::sum(n, x);
    SixteenLanes total;
    total.run(n, [x](Vector& lane, size_t i, auto part) { lane = lane + load(x + i, part); });
    return total.folded();
}

real dot(size_t n, const real* a, const real* b) {
    if (use_reference()) return reference::dot(n, a, b);
    SixteenLanes total;
    total.run(
        n, [=](Vector& lane, size_t i, auto part) { lane = only(fma(load(a + i, part), load(b + i, part), lane), part, lane); });
    return total.folded();
}

// NaN where one of them is.
template <class V>
static V larger(V candidate, V largest) {
    const V seen = candidate > largest ? candidate : largest;
    return candidate != candidate ? candidate : seen;
}

static real largest_of(const Vector& lane) {
    if constexpr (lanes < 4) {
        return larger(real(lane[1]), real(lane[0]));
    } else {
        using Four [[gnu::vector_size(4 * sizeof(real))]] = real;
        Four fours[(lanes + 3) / 4];
        std::memcpy(fours, &lane, sizeof lane);
        Four four = fours[0];
        for (int i = 1; i < lanes / 4; ++i) four = larger(fours[i], four);
        return larger(larger(four[3], four[2]), larger(four[1], four[0]));
    }
}

real max(size_t n, const real* x) {
    if (use_reference()) return reference::max(n, x);
    constexpr real lowest = -elementary::infinity;
    Vector lane = elementary::all<Vector>(lowest);
    size_t i = 0;
    for (; i + lanes <= n; i += lanes) lane = larger(load(x + i), lane);
    if (i < n && n >= lanes) lane = larger(load(x + n - lanes), lane);    // some for the second time
    real rest = lowest;
    for (; n < lanes && i < n; ++i) rest = larger(x[i], rest);
    return larger(rest, largest_of(lane)) + 0;
}

// The last elements, fewer than a register, stay in one throughout: a processor cannot read what it has just stored in part, or with
// other bounds, before it has left for the cache, and a row of attention weights is short.
void softmax(size_t n, real factor, const real* x, real* y) {
    if (use_reference()) return reference::softmax(n, factor, x, y);
    const size_t whole = n / lanes * lanes;
    const Mask part = first(int(n - whole));
    Vector lane = elementary::all<Vector>(-elementary::infinity);
    Vector rest = whole < n ? only(factor * load(x + whole, part), part, lane) : lane;
    for (size_t i = 0; i < whole; i += lanes) lane = larger(factor * load(x + i), lane);
    const real largest = largest_of(larger(rest, lane)) + 0;
    if (largest == -elementary::infinity) return each(n, [y](size_t i, auto some) { store(y + i, some, Vector{}); });
    SixteenLanes total;
    for (size_t i = 0; i < whole; i += lanes) {
        const Vector e = elementary::exp(factor * load(x + i) - largest);
        store(y + i, e);
        Vector& sum = total.lane[i / lanes % SixteenLanes::registers];
        sum = sum + e;
    }
    if (whole < n) {
        rest = only(elementary::exp(rest - largest), part);
        Vector& sum = total.lane[whole / lanes % SixteenLanes::registers];
        sum = sum + rest;
    }
    const real divisor = total.folded();
    for (size_t i = 0; i < whole; i += lanes) store(y + i, load(y + i) / divisor);
    if (whole < n) store(y + whole, part, rest / divisor);
}

void softmax_backward(size_t n, const real* y, const real* dy, real* dx) {
    if (use_reference()) return reference::softmax_backward(n, y, dy, dx);
    const real shared = dot(n, dy, y);
    each(n, [=](size_t i, auto part) {
        store(dx + i, part, load(dx + i, part) + load(y + i, part) * (load(dy + i, part) - shared));
    });
}

void add(size_t n, const real* a, const real* b, real* y) {
    if (use_reference()) return reference::add(n, a, b, y);
    each(n, [=](size_t i, auto part) { store(y + i, part, load(a + i, part) + load(b + i, part)); });
}

void multiply(size_t n, const real* a, const real* b, real* y) {
    if (use_reference()) return reference::multiply(n, a, b, y);
    each(n, [=](size_t i, auto part) { store(y + i, part, load(a + i, part) * load(b + i, part)); });
}

void shift(size_t n, real a, const real* x, real* y) {
    if (use_reference()) return reference::shift(n, a, x, y);
    each(n, [=](size_t i, auto part) { store(y + i, part, load(x + i, part) + a); });
}

void scale(size_t n, real a, const real* x, real* y) {
    if (use_reference()) return reference::scale(n, a, x, y);
    each(n, [=](size_t i, auto part) { store(y + i, part, a * load(x + i, part)); });
}

void accumulate(size_t n, const real* x, real* y) {
    if (use_reference()) return reference::accumulate(n, x, y);
    each(n, [=](size_t i, auto part) { store(y + i, part, load(y + i, part) + load(x + i, part)); });
}

void accumulate_product(size_t n, const real* a, const real* b, real* y) {
    if (use_reference()) return reference::accumulate_product(n, a, b, y);
    each(n, [=](size_t i, auto part) { store(y + i, part, fma(load(a + i, part), load(b + i, part), load(y + i, part))); });
}

void axpy(size_t n, real a, const real* x, real* y) {
    if (use_reference()) return reference::axpy(n, a, x, y);
    const Vector factor = elementary::all<Vector>(a);
    each(n, [=](size_t i, auto part) { store(y + i, part, fma(factor, load(x + i, part), load(y + i, part))); });
}

void relu(size_t n, const real* x, real* y) {
    if (use_reference()) return reference::relu(n, x, y);
    each(n, [=](size_t i, auto part) {
        const Vector in = load(x + i, part);
        store(y + i, part, in < 0 ? Vector{} : in);
    });
}

void relu_backward(size_t n, const real* y, const real* dy, real* dx) {
    if (use_reference()) return reference::relu_backward(n, y, dy, dx);
    each(n, [=](size_t i, auto part) {
        const Vector out = load(y + i, part), old = load(dx + i, part);
        const Vector passed = out > 0 ? old + load(dy + i, part) : old;
        store(dx + i, part, out != out ? out : passed);
    });
}

void tanh_backward(size_t n, const real* y, const real* dy, real* dx) {
    if (use_reference()) return reference::tanh_backward(n, y, dy, dx);
    const Vector one = elementary::all<Vector>(1);
    each(n, [=](size_t i, auto part) {
        const Vector out = load(y + i, part);
        store(dx + i, part, fma(load(dy + i, part), fma(-out, out, one), load(dx + i, part)));
    });
}

void sigmoid_backward(size_t n, const real* y, const real* dy, real* dx) {
    if (use_reference()) return reference::sigmoid_backward(n, y, dy, dx);
    each(n, [=](size_t i, auto part) {
        const Vector out = load(y + i, part);
        store(dx + i, part, fma(load(dy + i, part), fma(-out, out, out), load(dx + i, part)));
    });
}

void additive_score(int S, int A, const real* q, const real* keys, const real* v, real* score) {
    if (use_reference()) return reference::additive_score(S, A, q, keys, v, score);
    for (int s = 0; s < S; ++s) {
        const real* key = keys + size_t(s) * A;
        SixteenLanes total;
        total.run(A, [=](Vector& lane, size_t a, auto part) {
            const Vector sum = fma(load(v + a, part), elementary::tanh(load(q + a, part) + load(key + a, part)), lane);
            lane = only(sum, part, lane);
        });
        score[s] = total.folded();
    }
}

void additive_score_backward(int S, int A, const real* dscore, const real* q, const real* keys, const real* v, real* dq,
                             real* dkeys, real* dv) {
    if (use_reference()) return reference::additive_score_backward(S, A, dscore, q, keys, v, dq, dkeys, dv);
    const Vector one = elementary::all<Vector>(1);
    each(A, [=](size_t a, auto part) {    // a outside and s inside keeps dq and dv in registers
        const Vector query = load(q + a, part), weight = load(v + a, part);
        Vector dq_sum = load(dq + a, part), dv_sum = load(dv + a, part);
        for (int s = 0; s < S; ++s) {
            const size_t sa = size_t(s) * A + a;
            const Vector ds = elementary::all<Vector>(dscore[s]), t = elementary::tanh(query + load(keys + sa, part));
            const Vector dpre = (ds * weight) * fma(-t, t, one);
            dq_sum = dq_sum + dpre;
            store(dkeys + sa, part, load(dkeys + sa, part) + dpre);
            dv_sum = fma(ds, t, dv_sum);
        }
        store(dq + a, part, dq_sum);
        store(dv + a, part, dv_sum);
    });
}

size_t first_not_finite(size_t n, const real* x) {
    // The bits of its exponent are all ones: inf, or NaN with a fraction. No other number's are as large.
    constexpr auto largest = std::bit_cast<RealBits>(elementary::infinity);
    const auto exponent = [](real value) { return std::bit_cast<RealBits>(value) & largest; };
    constexpr size_t block = 1024;
    for (size_t start = 0; start < n; start += block) {
        const size_t end = std::min(n, start + block);
        RealBits most = 0;
        for (size_t i = start; i < end; ++i) most = std::max(most, exponent(x[i]));
        for (size_t i = start; most == largest && i < end; ++i)
            if (exponent(x[i]) == largest) return i;
    }
    return n;
}

void adam(size_t n, real* w, const real* g, real* m, real* v, const AdamStep& step) {
    if (use_reference()) return reference::adam(n, w, g, m, v, step);
    const auto all = elementary::all<Vector>;
    const Vector beta1 = all(step.beta1), beta2 = all(step.beta2), decay = all(step.weight_decay);
    const Vector down = all(-step.learning_rate);
    const real rest1 = 1 - step.beta1, rest2 = 1 - step.beta2;
    each(n, [&, correction1 = step.correction1, correction2 = step.correction2, epsilon = step.epsilon](size_t i, auto part) {
        const Vector slope = load(g + i, part), old = load(w + i, part);
        const Vector mean = fma(beta1, load(m + i, part), rest1 * slope);
        const Vector square = fma(beta2, load(v + i, part), (rest2 * slope) * slope);
        const Vector update = (mean * correction1) / (sqrt(square * correction2) + epsilon);
        store(m + i, part, mean);
        store(v + i, part, square);
        store(w + i, part, fma(down, fma(decay, old, update), old));
    });
}

}    // namespace lookback::kernels
