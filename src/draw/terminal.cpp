#include "lookback/draw/terminal.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "draw/range.h"

namespace lookback::terminal {

namespace {

// Of the 256-colour palette, which nearly every terminal has; close to the SVG's, and readable on black and on white.
constexpr std::array<int, 6> series_colours = {33, 166, 29, 170, 136, 244};
constexpr std::array<const char*, 6> series_marks = {"o", "x", "+", "*", "#", "@"};

// From dark blue to yellow, each lighter than the one before, so that all eyes see the order (the idea of viridis).
constexpr std::array<int, 10> weight_colours = {17, 19, 61, 31, 67, 37, 72, 113, 184, 226};

std::string blanks(int count) { return std::string(static_cast<std::size_t>(std::max(count, 0)), ' '); }

std::string padded(const std::string& text, int width) { return text + blanks(width - text_width(text)); }

std::string centred(const std::string& text, int width) { return padded(blanks((width - text_width(text)) / 2) + text, width); }

std::string repeated(std::string_view text, int count) {
    std::string result;
    for (int i = 0; i < count; ++i) result += text;
    return result;
}

std::string line(std::string text) {
    text.erase(text.find_last_not_of(' ') + 1);
    return text + "\n";
}

// The parts, each with its width on the screen, in lines of at most `width` columns with two blanks between parts.
std::string wrapped(const std::vector<std::pair<std::string, int>>& parts, int width) {
    std::string text;
    int used = 0;
    for (const auto& [part, part_width] : parts) {
        const bool fits = used + 2 + part_width <= width;
        if (used > 0) text += fits ? "  " : "\n";
        used = used > 0 && fits ? used + 2 + part_width : part_width;
        text += part;
    }
    return text + "\n";
}

// One cell of a map: the weight in tenths, on a colour or between shades.
std::string cell(double weight, int width, const Style& style) {
    const int tenths = weight >= 0 ? static_cast<int>(std::min(weight * 10, 9.0)) : 0;    // of a NaN: 0
    const std::string digit = tenths == 0 ? "·" : std::to_string(tenths);
    if (style.colour) {
        return fmt::format("\x1b[48;5;{};38;5;{}m{}\x1b[0m", weight_colours[tenths], tenths < 3 ? 255 : 16,
                           centred(digit, width));
    }
    const char* shade = tenths == 0 ? " " : tenths < 4 ? "░" : tenths < 7 ? "▒" : tenths < 9 ? "▓" : "█";
    return repeated(shade, (width - 2) / 2) + digit + repeated(shade, (width - 1) / 2) + " ";
}

}    // namespace

std::string line_chart(const LineChart& chart, const Style& style, int rows) {
    check(chart);
    rows = std::max(rows, 2);
    const Range xs = x_range(chart), ys = y_range(chart);
    const int count = static_cast<int>(chart.series.size());
    const auto row_of = [&](double y) { return static_cast<int>(std::lround((1 - ys.share(y)) * (rows - 1))); };

    // Each tick gets a row of its own; where there are too few rows, each second one is left out, and so on.
    std::vector<std::string> labels(rows);
    std::vector<double> ticks_of_y = ys.ticks;
    const auto in_one_row = [&](double a, double b) { return row_of(a) == row_of(b); };
    while (std::ranges::adjacent_find(ticks_of_y, in_one_row) != ticks_of_y.end()) {
        std::size_t kept = 0;
        for (std::size_t i = 0; i < ticks_of_y.size(); i += 2) ticks_of_y[kept++] = ticks_of_y[i];
        ticks_of_y.resize(kept);
    }
    int gutter = 7;    // the width of the axis labels
    for (const double tick : ticks_of_y) {
        labels[row_of(tick)] = ys.label(tick);
        gutter = std::max(gutter, text_width(labels[row_of(tick)]) + 2);
    }

    // Marks at the same x stand side by side in a group, with its tick in the middle.
    const int apart = chart.overlay ? 0 : 2;
    const int width = std::max(std::min(style.width, 72) - gutter, 4 + apart * count);    // of the plot
    const int middle = apart * (count - 1) / 2, last = width - 3 - apart * (count - 1);
    const auto column_of = [&](double x) { return static_cast<int>(std::lround(1 + xs.share(x) * last)); };

    std::vector<std::vector<std::string>> grid(rows, std::vector<std::string>(width, " "));
    std::vector<std::pair<std::string, int>> legend = {{chart.y_label, text_width(chart.y_label)}};
    for (int s = 0; s < count; ++s) {
        const Series& series = chart.series[s];
        const char* sign = chart.overlay && series.xs.size() > 24 ? "·" : series_marks[s];
        const std::string mark = style.colour ? fmt::format("\x1b[38;5;{}m{}\x1b[0m", series_colours[s], sign) : sign;
        for (std::size_t i = 0; i < series.xs.size(); ++i) {
            if (is_drawn(chart, series.xs[i], series.ys[i]))
                grid[row_of(series.ys[i])][column_of(series.xs[i]) + apart * s] = mark;
        }
        legend.emplace_back(mark + " " + series.name, text_width(series.name) + 2);
    }

    std::string text = wrapped(legend, style.width);
    for (int row = 0; row < rows; ++row) {
        std::string marks;
        for (const std::string& mark : grid[row]) marks += mark;
        text += line(fmt::format("{:>{}} {}{}", labels[row], gutter - 2, labels[row].empty() ? "│" : "┤", marks));
    }

    std::string axis = repeated("─", width), ticks;
    for (const double tick : xs.ticks) {
        const std::string label = xs.label(tick);
        const int column = column_of(tick) + middle;
        if (text_width(ticks) > 0 && text_width(ticks) >= column) continue;    // no room
        ticks = padded(ticks, column) + label;
    }
    // The axis is named after its last tick or, where the screen ends before that, in its line.
    if (gutter + text_width(ticks) + 2 + text_width(chart.x_label) <= style.width) {
        ticks += "  " + chart.x_label;
    } else {
        const std::string label = cut_text(chart.x_label, width - 2);
        axis = repeated("─", width - text_width(label) - 1) + " " + label;
    }
    text += blanks(gutter - 1) + "└" + axis + "\n";
    return text + line(blanks(gutter) + ticks);
}

std::string attention_map(const AttentionMap& map, const Style& style) {
    check(map);
    const int count = static_cast<int>(map.columns.size());
    int label_width = 0, all_widths = 0;
    std::vector<int> widths;
    for (const std::string& row : map.rows) label_width = std::max(label_width, std::min(text_width(row), 16));
    for (const std::string& column : map.columns) widths.push_back(std::max(text_width(column), 3) + 1);
    for (const int width : widths) all_widths += width;
    const int room = std::max(style.width - label_width - 2, 4);

    std::vector<std::string> heads = map.columns;
    std::vector<std::pair<std::string, int>> legend;
    if (all_widths > room) {
        for (int s = 0; s < count; ++s) {
            heads[s] = std::to_string(s + 1);
            widths[s] = 4;
            const std::string entry = heads[s] + " " + map.columns[s];
            legend.emplace_back(entry, text_width(entry));
        }
    }
    std::string text = map.title.empty() ? "" : map.title + "\n";
    for (int first = 0, end = 0; first < count; first = end) {    // more columns than fit follow in a second map below
        for (int used = 0; end < count && used + widths[end] <= std::max(room, widths[first]); ++end) used += widths[end];
        std::string head = blanks(label_width + 2);
        for (int s = first; s < end; ++s) head += centred(heads[s], widths[s]);
        text += line(head);
        for (std::size_t t = 0; t < map.rows.size(); ++t) {
            std::string row = padded(cut_text(map.rows[t], 16), label_width + 2);
            for (int s = first; s < end; ++s) row += cell(map.weights[t * map.columns.size() + s], widths[s], style);
            text += line(row);
        }
    }
    return legend.empty() ? text : text + wrapped(legend, style.width);
}

std::string small_multiples(const std::vector<AttentionMap>& maps, const Style& style) {
    std::string text;
    for (std::size_t first = 0, end = 0; first < maps.size(); first = end) {
        const std::vector<std::string>& rows = maps[first].rows;
        int used = 0;
        for (const std::string& row : rows) used = std::max(used, std::min(text_width(row), 16));
        const int room = style.width - used - 2;
        std::vector<std::string> lines = {blanks(used), blanks(used)};    // titles, heads of the columns, rows
        for (const std::string& row : rows) lines.push_back(padded(cut_text(row, 16), used));
        for (; end < maps.size(); ++end) {
            const AttentionMap& map = maps[end];
            check(map);
            if (map.rows.size() != rows.size())
                throw std::invalid_argument(
                    fmt::format("small_multiples: map {} has {} rows, the one beside it {}: draw the same rows", end,
                                map.rows.size(), rows.size()));
            std::vector<int> widths;
            for (const std::string& column : map.columns) widths.push_back(std::max(text_width(column), 3) + 1);
            const int columns = std::accumulate(widths.begin(), widths.end(), 0);
            if (end == first && columns > room) {    // it stands alone, with numbered columns
                text += attention_map(map, style);
                lines.clear();
                ++end;
                break;
            }
            const int width = std::max(columns, std::min(text_width(map.title), room));
            if (end > first && used + 2 + width > style.width) break;    // the next line of maps begins with it
            used += 2 + width;
            for (std::string& each : lines) each += blanks(2);
            lines[0] += padded(cut_text(map.title, width), width);
            for (std::size_t s = 0; s < widths.size(); ++s) lines[1] += centred(map.columns[s], widths[s]);
            for (std::size_t i = 0; i < map.weights.size(); ++i)
                lines[2 + i / widths.size()] += cell(map.weights[i], widths[i % widths.size()], style);
            for (std::size_t i = 1; i < lines.size(); ++i) lines[i] += blanks(width - columns);
        }
        for (const std::string& each : lines) text += line(each);
    }
    return text;
}

std::string sparkline(std::span<const double> values, int width) {
    constexpr std::array<const char*, 8> bars = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    const std::size_t count = std::min(values.size(), static_cast<std::size_t>(std::max(width, 1)));
    std::vector<double> means(count);
    double low = HUGE_VAL, high = -HUGE_VAL;
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t begin = i * values.size() / count, end = (i + 1) * values.size() / count;
        for (std::size_t j = begin; j < end; ++j) means[i] += values[j] / static_cast<double>(end - begin);
        if (!std::isfinite(means[i])) continue;
        low = std::min(low, means[i]);
        high = std::max(high, means[i]);
    }
    std::string text;
    for (const double mean : means) {
        if (!std::isfinite(mean)) {
            text += "?";
        } else {
            text += bars[static_cast<std::size_t>(high > low ? std::lround((mean / 2 - low / 2) / (high / 2 - low / 2) * 7) : 0)];
        }
    }
    return text;
}

}    // namespace lookback::terminal
