#include "lookback/draw/figure.h"

#include <fmt/format.h>

#include <stdexcept>

namespace lookback {

namespace {

// The bytes 10xxxxxx continue a code point; all others begin one.
bool begins_code_point(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) != 0x80; }

}    // namespace

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

int text_width(std::string_view text) {
    int width = 0;
    for (const char byte : text) width += begins_code_point(byte);
    return width;
}

std::string printable(std::string_view text) {
    std::string result;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto byte = static_cast<unsigned char>(text[i]);
        const std::string_view rest = text.substr(i);
        if (byte < 0x20 || byte == 0x7F) {
            result += ' ';
        } else if (rest.size() > 1 && byte == 0xC2 && (rest[1] & 0xE0) == 0x80) {    // U+0080 to U+009F
            result += ' ';
            i += 1;
        } else if (rest.starts_with("\xEF\xBF\xBE") || rest.starts_with("\xEF\xBF\xBF")) {
            result += ' ';
            i += 2;
        } else {
            result += text[i];
        }
    }
    return result;
}

std::string cut_text(std::string_view text, int width) {
    if (text_width(text) <= width) return std::string(text);
    std::size_t end = 0;
    for (int seen = 0; end < text.size(); ++end) {
        if (begins_code_point(text[end]) && ++seen >= width) break;
    }
    return std::string(text.substr(0, end)) + (width > 0 ? "…" : "");
}

}    // namespace lookback
