#include "lookback/ops/lookup.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/kernels.h"
#include "lookback/tensor/node.h"
#include "tensor/memory.h"

namespace lookback {

namespace op {

// y_i = W_{id_i}           dW_{id_i} += dy_i               (index_select: W = x, of any rank)
struct Embedding final : Node {
    std::vector<int> ids;
    int E;

    void forward() override {
        const real* W = inputs[0].data();
        for (std::size_t i = 0; i < ids.size(); ++i) std::copy_n(W + ids[i] * E, E, data + i * E);
    }
    void backward() override {
        real* dW = grad_of(0);
        for (std::size_t i = 0; i < ids.size(); ++i) kernels::accumulate(E, grad + i * E, dW + ids[i] * E);
    }
};

// y_i = x_i m_i,  m_i = 0 with probability p, else 1 / (1 - p)          dx_i = dy_i m_i
struct Dropout final : Node {
    Buffer mask;

    void forward() override { kernels::multiply(size, inputs[0].data(), mask.data, data); }
    void backward() override { kernels::accumulate_product(size, grad, mask.data, grad_of(0)); }
};

// p = softmax(x),  q_v = (1 - s) [v = target] + s / V,  y = -1/n sum_rows sum_v q_v ln p_v          dx_v = dy (p_v - q_v) / n
struct CrossEntropy final : Node {
    std::vector<int> targets;
    int V, ignore_index;
    real smoothing, divisor;
    Buffer saved_p;

    void forward() override {
        const real* x = inputs[0].data();
        real* p = saved_p.resize(inputs[0].size());
        real total = 0;
        for (std::size_t row = 0; row < targets.size(); ++row, x += V, p += V) {
            if (targets[row] == ignore_index) continue;
            const real max = kernels::max(V, x);
            for (int v = 0; v < V; ++v) p[v] = x[v] - max;
            // sum_v q_v ln p_v = sum_v q_v (x_v - max) - ln sum_v e^{x_v - max}, since sum_v q_v = 1
            real expected = (1 - smoothing) * p[targets[row]];
            if (smoothing != 0) expected += smoothing / static_cast<real>(V) * kernels::sum(V, p);
            kernels::exp(V, p, p);
            const real sum = kernels::sum(V, p);
            for (int v = 0; v < V; ++v) p[v] /= sum;
            total += kernels::log(sum) - expected;
        }
        data[0] = divisor == 0 ? real(0) : total / divisor;
    }
    void backward() override {
        if (divisor == 0) return;
        const real* p = saved_p.data;
        real* dx = grad_of(0);
        const real scale = grad[0] / divisor;
        const real even = smoothing / static_cast<real>(V);
        for (std::size_t row = 0; row < targets.size(); ++row, dx += V, p += V) {
            if (targets[row] == ignore_index) continue;
            for (int v = 0; v < V; ++v) dx[v] += scale * (p[v] - even);
            dx[targets[row]] -= scale * (1 - smoothing);
        }
    }
};

}    // namespace op

Tensor embedding(const Ids& ids, const Tensor& weight, Where where) {
    if (weight.rank() != 2) reject(fmt::format("embedding: a table is (V, E), not {}", to_string(weight.shape())), where);
    for (std::size_t i = 0; i < ids.values.size(); ++i)
        if (ids.values[i] < 0 || ids.values[i] >= weight.size(0))
            reject(fmt::format("embedding: id {} at position {} is not in a table of {} rows", ids.values[i], i, weight.size(0)),
                   where);
    if (std::ranges::any_of(ids.shape, [](int size) { return size < 0; }) || element_count(ids.shape) != ids.values.size())
        reject(fmt::format("embedding: {} ids do not fill {}", ids.values.size(), to_string(ids.shape)), where);
    auto* node = new op::Embedding;
    node->ids = ids.values;
    node->E = weight.size(1);
    Shape shape = ids.shape;
    shape.push_back(node->E);
    return record(node, "embedding", std::move(shape), {weight}, where);
}

Tensor index_select(const Tensor& x, const std::vector<int>& rows, Where where) {
    if (x.rank() < 1) reject("index_select: a scalar has no rows", where);
    for (const int row : rows)
        if (row < 0 || row >= x.size(0)) reject(fmt::format("index_select: no row {} in {}", row, to_string(x.shape())), where);
    auto* node = new op::Embedding;
    node->ids = rows;
    node->E = static_cast<int>(x.size()) / std::max(x.size(0), 1);
    Shape shape = x.shape();
    shape[0] = static_cast<int>(rows.size());
    return record(node, "index_select", std::move(shape), {x}, where);
}

Tensor dropout(const Tensor& x, double p, Mode mode, Where where) {
    if (!(p >= 0 && p < 1)) reject(fmt::format("dropout: p must be in [0, 1), not {}", p), where);
    if (!mode.training() || p == 0) return x;
    auto* node = new op::Dropout;
    real* mask = node->mask.resize(x.size());
    const real kept = static_cast<real>(1 / (1 - p));
    for (std::size_t i = 0; i < x.size(); ++i) mask[i] = mode.random->uniform() < p ? real(0) : kept;
    return record(node, "dropout", x.shape(), {x}, where);
}

Tensor cross_entropy(const Tensor& logits, const Ids& targets, const CrossEntropyOptions& options, Where where) {
    Shape rows = logits.shape();
    const int V = rows.empty() ? 0 : rows.back();
    if (!rows.empty()) rows.pop_back();
    if (V == 0 || rows != targets.shape || element_count(rows) != targets.values.size())
        reject(fmt::format("cross_entropy: logits of {} need one target a row, not targets of {}", to_string(logits.shape()),
                           to_string(targets.shape)),
               where);
    if (!(options.label_smoothing >= 0 && options.label_smoothing <= 1))
        reject(fmt::format("cross_entropy: label_smoothing must be in [0, 1], not {}", options.label_smoothing), where);
    std::size_t counted = 0;
    for (std::size_t i = 0; i < targets.values.size(); ++i) {
        const int target = targets.values[i];
        if (target == options.ignore_index) continue;
        if (target < 0 || target >= V)
            reject(fmt::format("cross_entropy: target {} at position {} is not one of {} classes", target, i, V), where);
        ++counted;
    }
    auto* node = new op::CrossEntropy;
    node->targets = targets.values;
    node->V = V;
    node->ignore_index = options.ignore_index;
    node->smoothing = static_cast<real>(options.label_smoothing);
    node->divisor = static_cast<real>(options.divisor != 0 ? options.divisor : static_cast<double>(counted));
    return record(node, "cross_entropy", {}, {logits}, where);
}

}    // namespace lookback
