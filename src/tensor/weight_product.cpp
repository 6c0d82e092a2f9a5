#include "tensor/weight_product.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "kernels/kernels.h"
#include "lookback/tensor/packed_weights.h"
#include "tensor/frozen.h"
#include "tensor/memory.h"

namespace lookback {

struct Packed {
    using Block = std::array<int, 4>;    // row, column, N, K

    std::vector<Tensor> weights;    // holds the nodes, so that no other gets their addresses
    Packed* outer;
    std::map<std::pair<const Node*, Block>, Buffer> copies;
};

namespace {

thread_local Packed* innermost = nullptr;

// The panels of a block, or null where nobody keeps them.
const real* panels_of(const Tensor& weight, const Packed::Block& block, const real* at) {
    if (kernels::use_reference()) return nullptr;
    const auto [row, column, N, K] = block;
    const std::size_t size = kernels::packed_size(K, N);
    if (Tensor* copy = frozen_result({&weight}, block)) {
        if (!*copy) kernels::pack(K, N, at, 1, weight.size(1), (*copy = Tensor({static_cast<int>(size)})).data());
        return copy->data();
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

}    // namespace

PackedWeights::PackedWeights(const std::vector<Tensor>& weights) : packed(new Packed{weights, innermost, {}}) {
    innermost = packed.get();
}

PackedWeights::~PackedWeights() { innermost = packed->outer; }

Unpacked::Unpacked() : before(std::exchange(innermost, nullptr)) {}
Unpacked::~Unpacked() { innermost = before; }

void times_weight_transposed(int M, int N, int K, const real* x, const Tensor& weight, int row, int column, real* y,
                             const real* start) {
    const real* at = weight.data() + row * weight.size(1) + column;
    if (const real* panels = panels_of(weight, {row, column, N, K}, at))
        kernels::gemm_packed(M, N, K, x, K, panels, y, N, start);
    else
        kernels::gemm_nt(M, N, K, x, K, at, weight.size(1), y, N, start);
}

}    // namespace lookback
