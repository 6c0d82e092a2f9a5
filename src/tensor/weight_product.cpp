#include "tensor/weight_product.h"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <utility>

#include "kernels/kernels.h"
#include "lookback/tensor/node.h"
#include "lookback/tensor/packed_weights.h"
#include "tensor/frozen.h"

namespace lookback {

struct Packed {
    using Block = std::array<int, 4>;    // row, column, N, K

    std::vector<Tensor> weights;    // holds the nodes, so that no other gets their addresses
    Packed* outer;
    std::map<std::pair<const Node*, Block>, Buffer> copies;
};

namespace {

thread_local Packed* innermost = nullptr;
thread_local bool gathering = false, unpacked = false;

constexpr int few_rows = 32, gathered_rows = 128;
constexpr std::size_t large_weight = 4096;    // elements: a smaller one stays in the first cache anyway
constexpr int widest = 8192;                  // beyond it what is gathered would take some MiB

// The panels of a block, or null where nobody keeps them.
const real* panels_of(const Tensor& weight, const Packed::Block& block, const real* at) {
    if (kernels::use_reference() || unpacked) return nullptr;
    const auto [row, column, N, K] = block;
    const std::size_t size = kernels::packed_size(K, N);
    if (size > std::numeric_limits<int>::max()) return nullptr;
    if (FrozenResult* frozen = frozen_result({&weight}, block)) {
        Tensor& copy = frozen->tensor;
        if (!copy) kernels::pack(K, N, at, 1, weight.size(1), (copy = Tensor({static_cast<int>(size)})).data());
        return copy.data();
    }
    for (Packed* packed = innermost; packed; packed = packed->outer) {
        if (std::ranges::none_of(packed->weights, [&](const Tensor& one) { return one.node == weight.node; })) continue;
        const auto [copy, is_new] = packed->copies.try_emplace({weight.node, block});
        Buffer& panels = copy->second;
        if (is_new) kernels::pack(K, N, at, 1, weight.size(1), panels.resize(size));
        return panels.data;
    }
    return nullptr;
}

void add_product(Node& weight, int M, int N, int K, const real* dy, const real* x, int row, int column) {
    if (static_cast<std::size_t>(N) * K != weight.size) weight.fill_grad();    // the rest of it
    const auto [grad, start] = weight.growing_grad(K);
    const int width = weight.shape[1];
    kernels::gemm_tn(N, K, M, dy, N, x, K, grad + row * width + column, width, start);
}

}    // namespace

PackedWeights::PackedWeights(const std::vector<Tensor>& weights) : packed(new Packed{weights, innermost, {}}) {
    innermost = packed.get();
}

PackedWeights::~PackedWeights() { innermost = packed->outer; }

Unpacked::Unpacked() : before(std::exchange(unpacked, true)) {}
Unpacked::~Unpacked() { unpacked = before; }

void times_weight_transposed(int M, int N, int K, const real* x, const Tensor& weight, real* y, const real* start, int row,
                             int column) {
    const real* at = weight.data() + row * weight.size(1) + column;
    if (const real* panels = panels_of(weight, {row, column, N, K}, at))
        kernels::gemm_packed(M, N, K, x, K, panels, y, N, start);
    else
        kernels::gemm_nt(M, N, K, x, K, at, weight.size(1), y, N, start);
}

void add_to_weight_grad(const Node& op, std::size_t input, int M, int N, int K, const real* dy, const real* x, int row,
                        int column) {
    Node& weight = *op.inputs[input].node;
    if (!weight.requires_grad) return;
    std::unique_ptr<GradRows>& rows = weight.grad_rows;
    const auto fits = [&] {
        return rows->row == row && rows->column == column && rows->N == N && rows->K == K && rows->count + M <= gathered_rows;
    };
    if (!gathering || M > few_rows || std::max(N, K) > widest || static_cast<std::size_t>(N) * K < large_weight)
        return add_product(weight, M, N, K, dy, x, row, column);
    if (rows && !fits()) weight.finish_grad();
    if (!rows) {
        rows.reset(new GradRows{row, column, N, K, 0, {}, {}});
        rows->dy.resize(gathered_rows * N);
        rows->x.resize(gathered_rows * K);
    }
    std::copy_n(dy, M * N, rows->dy.data + rows->count * N);
    std::copy_n(x, M * K, rows->x.data + rows->count * K);
    rows->count += M;
}

void Node::finish_grad() {
    if (const std::unique_ptr<GradRows> rows = std::move(grad_rows))
        add_product(*this, rows->count, rows->N, rows->K, rows->dy.data, rows->x.data, rows->row, rows->column);
}

GatherGradRows::GatherGradRows(bool gather) : before(std::exchange(gathering, gather)) {}
GatherGradRows::~GatherGradRows() { gathering = before; }

}    // namespace lookback
