#include "lookback/text/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <stdexcept>

namespace lookback {

namespace {

double share(std::size_t right, std::size_t all) { return all == 0 ? 0 : static_cast<double>(right) / static_cast<double>(all); }

void check_as_many(const char* op, std::size_t given, std::size_t expected) {
    if (given != expected) {
        throw std::invalid_argument(fmt::format("{}: {} sentences for {} references: give one for each", op, given, expected));
    }
}

void check_map(const AttentionWeights& map, const Alignment& links, std::size_t sentence) {
    if (map.weights.size() != static_cast<std::size_t>(map.rows) * static_cast<std::size_t>(map.columns)) {
        throw std::invalid_argument(fmt::format("alignment_accuracy: {} weights do not fill map {} of {} x {}",
                                                map.weights.size(), sentence, map.rows, map.columns));
    }
    if (std::ranges::any_of(map.weights, [](real weight) { return std::isnan(weight); }))
        throw std::invalid_argument(fmt::format("alignment_accuracy: map {} has a NaN", sentence));
    for (const auto& [source, target] : links) {
        if (source >= 0 && source < map.columns && target >= 0 && target < map.rows) continue;
        throw std::invalid_argument(
            fmt::format("alignment_accuracy: the link {}-{} lies outside map {} of {} target x {} source tokens: draw the map "
                        "while the model reads the reference",
                        source, target, sentence, map.rows, map.columns));
    }
}

int most_attended(const AttentionWeights& map, int row) {
    int best = 0;
    for (int column = 1; column < map.columns; ++column)
        if (map.at(row, column) > map.at(row, best)) best = column;
    return best;
}

}    // namespace

double exact_match(std::span<const std::vector<int>> hypotheses, std::span<const std::vector<int>> references) {
    check_as_many("exact_match", hypotheses.size(), references.size());
    std::size_t right = 0;
    for (std::size_t i = 0; i < references.size(); ++i) right += hypotheses[i] == references[i] ? 1 : 0;
    return share(right, references.size());
}

double token_accuracy(std::span<const std::vector<int>> hypotheses, std::span<const std::vector<int>> references) {
    check_as_many("token_accuracy", hypotheses.size(), references.size());
    std::size_t right = 0, all = 0;
    for (std::size_t i = 0; i < references.size(); ++i) {
        const std::vector<int>&hypothesis = hypotheses[i], &reference = references[i];
        const std::size_t both = std::min(hypothesis.size(), reference.size());
        for (std::size_t t = 0; t < both; ++t) right += hypothesis[t] == reference[t] ? 1 : 0;
        all += std::max(hypothesis.size(), reference.size());
    }
    return share(right, all);
}

double alignment_accuracy(std::span<const AttentionWeights> maps, std::span<const Alignment> gold) {
    check_as_many("alignment_accuracy", maps.size(), gold.size());
    std::size_t right = 0, all = 0;
    for (std::size_t i = 0; i < gold.size(); ++i) {
        const AttentionWeights& map = maps[i];
        check_map(map, gold[i], i);
        std::vector<bool> is_linked(map.rows), is_right(map.rows);
        for (const auto& [source, target] : gold[i]) {
            is_linked[target] = true;
            if (source == most_attended(map, target)) is_right[target] = true;
        }
        all += static_cast<std::size_t>(std::count(is_linked.begin(), is_linked.end(), true));
        right += static_cast<std::size_t>(std::count(is_right.begin(), is_right.end(), true));
    }
    return share(right, all);
}

}    // namespace lookback
