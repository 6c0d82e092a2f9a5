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

const real* packed_block(const Tensor& weight, const Packed::Block& block, const real* at) {
    if (kernels::use_reference()) return nullptr;
    for (Packed* packed = innermost; packed; packed = packed->outer) {
        if (std::ranges::none_of(packed->weights, [&](const Tensor& one) { return one.node == weight.node; })) continue;
        const auto [copy, is_new] = packed->copies.try_emplace({weight.node, block});
        Buffer& panels = copy->second;
        const auto [row, column, N, K] = block;
        if (is_new) kernels::pack(K, N, at, 1, weight.size(1), panels.resize(kernels::packed_size(K, N)));
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
    const int height = weight.size(0), width = weight.size(1);
    const real* at = weight.data() + row * width + column;
    if (const real* transposed = frozen_transpose(weight))
        kernels::gemm_nn(M, N, K, x, K, transposed + column * height + row, height, y, N, start);
    else if (const real* packed = packed_block(weight, {row, column, N, K}, at))
        kernels::gemm_packed(M, N, K, x, K, packed, y, N, start);
    else
        kernels::gemm_nt(M, N, K, x, K, at, width, y, N, start);
}

}    // namespace lookback
