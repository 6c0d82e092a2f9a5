#include "tensor/frozen.h"

#include <map>
#include <optional>

#include "lookback/tensor/node.h"

namespace lookback {

namespace {

struct Kept {
    std::array<Tensor, 3> of;    // holds the nodes, so that no other gets their addresses
    FrozenResult result;
};
using Key = std::pair<std::array<const Node*, 3>, std::array<int, 4>>;

thread_local std::optional<std::map<Key, Kept>> kept;

}    // namespace

Frozen::Frozen() : outermost(!kept) {
    if (outermost) kept.emplace();
}

Frozen::~Frozen() {
    if (outermost) kept.reset();
}

FrozenResult* frozen_result(const FrozenOf& of, const std::array<int, 4>& part) {
    if (!kept) return nullptr;
    Key key{{}, part};
    for (std::size_t i = 0; i < of.size(); ++i) {
        if (!of[i] || !*of[i]) continue;
        if (of[i]->node->id != 0) return nullptr;
        key.first[i] = of[i]->node;
    }
    const auto [entry, is_new] = kept->try_emplace(key);
    for (std::size_t i = 0; is_new && i < of.size(); ++i)
        if (of[i]) entry->second.of[i] = *of[i];
    return &entry->second.result;
}

}    // namespace lookback
