#include "lookback/draw/figure.h"

#include <fmt/format.h>

#include <stdexcept>

namespace lookback {

void check(const LineChart& chart) {
    if (chart.series.empty() || chart.series.size() > 6) {
        throw std::invalid_argument(fmt::format("line_chart: {} series: give 1 to 6", chart.series.size()));
    }
    for (const Series& series : chart.series) {
        if (series.xs.size() != series.ys.size()) {
            throw std::invalid_argument(fmt::format("line_chart: series '{}' has {} xs and {} ys: give one y for each x",
                                                    series.name, series.xs.size(), series.ys.size()));
        }
    }
}

void check(const AttentionMap& map) {
    const std::size_t rows = map.rows.size(), columns = map.columns.size();
    if (map.weights.size() != rows * columns) {
        throw std::invalid_argument(fmt::format("attention_map: {} rows x {} columns want {} weights, got {}", rows, columns,
                                                rows * columns, map.weights.size()));
    }
    for (const auto& [row, column] : map.gold) {
        if (row >= 0 && static_cast<std::size_t>(row) < rows && column >= 0 && static_cast<std::size_t>(column) < columns)
            continue;
        throw std::invalid_argument(
            fmt::format("attention_map: gold cell ({}, {}) lies outside {} rows x {} columns", row, column, rows, columns));
    }
}

}    // namespace lookback
