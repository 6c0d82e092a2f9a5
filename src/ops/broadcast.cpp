#include "ops/broadcast.h"

#include <algorithm>

namespace lookback {

std::optional<Shape> broadcast_shape(const Shape& a, const Shape& b) {
    Shape shape(std::max(a.size(), b.size()), 1);
    for (std::size_t i = 1; i <= shape.size(); ++i) {
        const int size_a = i <= a.size() ? a[a.size() - i] : 1;
        const int size_b = i <= b.size() ? b[b.size() - i] : 1;
        if (size_a != size_b && size_a != 1 && size_b != 1) return std::nullopt;
        shape[shape.size() - i] = size_a == 1 ? size_b : size_a;
    }
    return shape;
}

BroadcastRows::BroadcastRows(const Shape& source, const Shape& shape) {
    std::size_t stride = 1;
    for (std::size_t i = 1; i <= shape.size(); ++i) {
        const int size = shape[shape.size() - i];
        const int source_size = i <= source.size() ? source[source.size() - i] : 1;
        if (i == 1) {
            columns = size;
            step = source_size == 1 && size != 1 ? 0 : 1;
        } else {
            outer.push_back({size, 0, source_size == 1 ? 0 : stride});
            rows *= size;
        }
        stride *= static_cast<std::size_t>(source_size);
    }
}

void BroadcastRows::next() {
    for (Dimension& dimension : outer) {
        offset += dimension.stride;
        if (++dimension.index < dimension.size) return;
        offset -= dimension.stride * static_cast<std::size_t>(dimension.size);
        dimension.index = 0;
    }
}

}    // namespace lookback
