#include "lookback/optim/data_parallel.h"

#include <fmt/format.h>

#include <stdexcept>

#include "kernels/kernels.h"
#include "lookback/tensor/node.h"

namespace lookback {

void move_gradient(const Tensor& source, const Tensor& target) {
    if (source.shape() != target.shape())
        throw std::invalid_argument(
            fmt::format("move_gradient: from {} to {}: shapes differ", to_string(source.shape()), to_string(target.shape())));
    if (!source.grad() || source.node == target.node) return;
    if (!target.grad()) target.node->zero_grad();
    kernels::accumulate(source.size(), source.grad(), target.grad());
    source.node->free_grad();
}

void free_gradients(const std::vector<Tensor>& leaves) {
    for (const Tensor& leaf : leaves) leaf.node->free_grad();
}

}    // namespace lookback
