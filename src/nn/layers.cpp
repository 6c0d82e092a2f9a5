#include "lookback/nn/layers.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "lookback/ops/softmax.h"
#include "lookback/tensor/node.h"
#include "tensor/frozen.h"

namespace lookback {

Visit within(std::string prefix, const Visit& visit) {
    return [prefix = std::move(prefix), visit](const std::string& name, Tensor& parameter) {
        visit(prefix + "." + name, parameter);
    };
}

void zero_grad_of(const std::string&, Tensor& parameter) {
    if (!parameter || parameter.node->requires_grad) parameter.zero_grad();    // which tells an empty one
}

Tensor uniform_parameter(Shape shape, double bound, Random& random) {
    return Tensor::uniform(std::move(shape), -bound, bound, random).requires_grad();
}

Tensor constant_parameter(Shape shape, double value) {
    Tensor parameter(std::move(shape));
    std::fill_n(parameter.data(), parameter.size(), static_cast<real>(value));
    return parameter.requires_grad();
}

Linear::Linear(int in, int out, Random& random, bool with_bias) {
    const double bound = 1 / std::sqrt(std::max(in, 1));
    weight = uniform_parameter({out, in}, bound, random);
    if (with_bias) bias = uniform_parameter({out}, bound, random);
}

Tensor Linear::operator()(const Tensor& x, Where where) const { return linear(x, weight, bias, where); }

void Linear::parameters(const Visit& visit) {
    visit("weight", weight);
    if (bias) visit("bias", bias);
}

Embedding::Embedding(int vocabulary, int size, Random& random, double deviation)
    : weight(Tensor::normal({vocabulary, size}, deviation, random).requires_grad()) {}

Tensor Embedding::operator()(const Ids& ids, Where where) const { return embedding(ids, weight, where); }

void Embedding::parameters(const Visit& visit) { visit("weight", weight); }

Tensor embedded_linear(const Ids& ids, const Embedding& table, const Tensor& weight, const Tensor& bias, Block block,
                       Where where) {
    const int V = table.weight.size(0);
    const int out = block.rows ? block.rows : weight.size(0) - block.row;
    const bool fits = out > 0 && static_cast<long>(V) * out <= std::numeric_limits<int>::max();
    FrozenResult* kept =
        !fits ? nullptr : frozen_result({&table.weight, &weight, &bias}, {block.row, block.rows, block.column, block.columns});
    const auto is_kept = [&](int id) { return kept && kept->tensor && kept->is_row[id]; };
    Ids distinct{{0}, {}}, place{ids.shape, {}};    // each new token once, and where it stands among these
    std::vector<int> place_of(static_cast<std::size_t>(V), -1);
    for (const int id : ids.values) {
        if (id < 0 || id >= V) return table(ids, where);    // which says what is wrong
        if (place_of[id] < 0 && !is_kept(id)) {
            place_of[id] = distinct.shape[0]++;
            distinct.values.push_back(id);
        }
        place.values.push_back(place_of[id]);
    }
    if (!kept) return embedding(place, linear(table(distinct, where), weight, bias, block, where), where);

    // (V, out): the rows of the tokens met so far; the others are not read.
    if (!kept->tensor || !distinct.values.empty()) {
        const Tensor rows = linear(table(distinct, where), weight, bias, block, where);
        const int N = rows.size(-1);
        if (!kept->tensor) *kept = {Tensor({V, N}), std::vector<bool>(V)};
        for (int i = 0; i < distinct.shape[0]; ++i) {
            const int id = distinct.values[i];
            std::copy_n(rows.data() + i * N, N, kept->tensor.data() + id * N);
            kept->is_row[id] = true;
        }
    }
    return embedding(ids, kept->tensor, where);
}

LayerNorm::LayerNorm(int size) : weight(constant_parameter({size}, 1)), bias(constant_parameter({size}, 0)) {}

Tensor LayerNorm::operator()(const Tensor& x, Where where) const { return layer_norm(x, weight, bias, epsilon, where); }

void LayerNorm::parameters(const Visit& visit) {
    visit("weight", weight);
    visit("bias", bias);
}

}    // namespace lookback
