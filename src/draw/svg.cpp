#include "lookback/draw/svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numeric>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "draw/range.h"
#include "lookback/program/screen.h"

namespace lookback::svg {

namespace {

// The series' colours follow Okabe & Ito (2008), darkened where white paper would swallow them; lighter ones for dark
// paper.
constexpr std::string_view style = R"(<style>
.paper{fill:#fff}
text{fill:#222}
.quiet{fill:#666}
.grid{stroke:#ddd}
.empty{fill:#f2f2f2}
.weight{fill:#0b5a9c}
.half{fill:#000}
.on{fill:#fff}
.gold{fill:none;stroke:#d55e00;stroke-width:2}
.line{fill:none;stroke-linejoin:round}
.mark{stroke:#fff}
.c0{stroke:#0072b2}.c1{stroke:#d55e00}.c2{stroke:#00895f}.c3{stroke:#b4568c}.c4{stroke:#7a5600}.c5{stroke:#444}
.f0{fill:#0072b2}.f1{fill:#d55e00}.f2{fill:#00895f}.f3{fill:#b4568c}.f4{fill:#7a5600}.f5{fill:#444}
@media (prefers-color-scheme:dark){
.paper{fill:#16181d}
text{fill:#e6e6e6}
.quiet{fill:#a0a4ab}
.grid{stroke:#383c44}
.empty{fill:#24272e}
.weight{fill:#6fc3ff}
.off{fill:#fff}
.half,.on{fill:#000}
.gold{stroke:#ff9a4d}
.mark{stroke:#16181d}
.c0{stroke:#56b4e9}.c1{stroke:#ff9a4d}.c2{stroke:#3ccfa0}.c3{stroke:#e6a5cb}.c4{stroke:#fff0a0}.c5{stroke:#888}
.f0{fill:#56b4e9}.f1{fill:#ff9a4d}.f2{fill:#3ccfa0}.f3{fill:#e6a5cb}.f4{fill:#fff0a0}.f5{fill:#888}
}
</style>
)";

// XML's own signs are written as names.
std::string escaped(std::string_view text) {
    constexpr std::string_view signs = "&<>\"'";
    constexpr std::array<std::string_view, 5> names = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
    std::string result;
    for (const char byte : printable(text)) {
        const std::size_t sign = signs.find(byte);
        if (sign != signs.npos)
            result += names[sign];
        else
            result += byte;
    }
    return result;
}

// A length in pixels, at most one digit after the point.
std::string px(double length) {
    std::string text = fmt::format("{:.1f}", length);
    if (text.ends_with(".0")) text.resize(text.size() - 2);
    return text == "-0" ? "0" : text;
}

// An upper estimate: the reader's font is not known, and titles, of size 16, are bold.
double width_in_px(std::string_view text, double size) { return text_width(text) * size * (size < 16 ? 0.7 : 0.75); }

// A text at its left baseline; `more` holds further attributes.
std::string text_at(double x, double y, double size, std::string_view text, std::string_view more = "") {
    if (text.empty()) return "";
    return fmt::format("<text x=\"{}\" y=\"{}\" font-size=\"{}\"{}{}>{}</text>\n", px(x), px(y), px(size),
                       more.empty() ? "" : " ", more, escaped(text));
}

std::string document(double width, double height, std::string_view title, std::string_view description, std::string_view body) {
    return fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" "
        "font-family=\"system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif\">\n"
        "<title>{2}</title>\n<desc>{3}</desc>\n{4}<rect class=\"paper\" width=\"{0}\" height=\"{1}\"/>\n{5}{6}</svg>\n",
        px(std::ceil(width)), px(std::ceil(height)), escaped(title), escaped(description), style,
        text_at(16, 28, 16, title, "font-weight=\"600\""), body);
}

// A mark of its own shape for each series, of radius r around (x, y).
std::string mark(std::size_t series, double x, double y, double r) {
    using Corners = std::vector<std::pair<double, double>>;
    static const std::array<Corners, 6> shapes = {{
        {},                                                  // a circle
        {{-1, -1}, {1, -1}, {1, 1}, {-1, 1}},                // a square
        {{0, -1.3}, {1.3, 1}, {-1.3, 1}},                    // a triangle
        {{0, -1.4}, {1.4, 0}, {0, 1.4}, {-1.4, 0}},          // a diamond
        {{0, 1.3}, {1.3, -1}, {-1.3, -1}},                   // a triangle on its head
        {{-1.3, -.5}, {1.3, -.5}, {1.3, .5}, {-1.3, .5}},    // a bar
    }};
    if (series == 0) {
        return fmt::format("<circle class=\"mark f0\" cx=\"{}\" cy=\"{}\" r=\"{}\"/>\n", px(x), px(y), px(r * 1.1));
    }
    std::string points;
    for (const auto& [dx, dy] : shapes[series]) {
        points += fmt::format("{}{},{}", points.empty() ? "" : " ", px(x + dx * r), px(y + dy * r));
    }
    return fmt::format("<polygon class=\"mark f{}\" points=\"{}\"/>\n", series, points);
}

// What a screen reader says of a chart: all values of short series, the ends of long ones.
std::string description_of(const LineChart& chart) {
    std::string text = fmt::format("{} by {}.", chart.y_label, chart.x_label);
    for (const Series& series : chart.series) {
        text += fmt::format(" {}:", series.name);
        for (std::size_t i = 0; i < series.ys.size(); ++i) {
            if (series.ys.size() > 12 && i > 0 && i + 1 < series.ys.size()) continue;
            text += fmt::format(" {:.3g} at {:g}{}", series.ys[i], series.xs[i], i + 1 < series.ys.size() ? "," : ".");
        }
    }
    return text;
}

// Moves labels apart to `gap`, keeping their order and staying at or above `bottom`.
void spread(std::vector<double>& ys, double gap, double bottom) {
    for (std::size_t i = 1; i < ys.size(); ++i) ys[i] = std::max(ys[i], ys[i - 1] + gap);
    for (std::size_t i = ys.size(); i-- > 0; bottom = ys[i] - gap) ys[i] = std::min(ys[i], bottom);
}

// What a screen reader says of a map: where each row looks most.
std::string description_of(const AttentionMap& map) {
    if (!map.about.empty()) return map.about;
    std::string text = "Rows are target tokens, columns source tokens.";
    const std::size_t columns = map.columns.size();
    for (std::size_t t = 0; t < map.rows.size() && columns > 0; ++t) {
        const auto row = map.weights.begin() + static_cast<std::ptrdiff_t>(t * columns);
        const auto most = std::max_element(row, row + static_cast<std::ptrdiff_t>(columns),
                                           [](double a, double b) { return std::isnan(a) ? !std::isnan(b) : a < b; });
        if (std::isnan(*most)) continue;
        text +=
            fmt::format(" {} looks most at {}, {:.2f}.", map.rows[t], map.columns[static_cast<std::size_t>(most - row)], *most);
    }
    return text;
}

// The fields of a map, with their numbers where they fit, and the outlines of the gold alignment.
std::string cells(const AttentionMap& map, double left, double top, double size) {
    std::string text =
        fmt::format("<rect class=\"empty\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>\n", px(left), px(top),
                    px(size * static_cast<double>(map.columns.size())), px(size * static_cast<double>(map.rows.size())));
    std::map<int, std::string> fields;    // by hundredths of weight: one path for all that are alike keeps the file small
    std::string numbers;
    for (std::size_t i = 0; i < map.weights.size(); ++i) {
        const std::size_t row = i / map.columns.size(), column = i % map.columns.size();
        const double x = left + size * static_cast<double>(column), y = top + size * static_cast<double>(row);
        const double weight = map.weights[i] > 0 ? std::min(map.weights[i], 1.0) : 0;    // of a NaN: 0
        const int hundredths = static_cast<int>(std::lround(weight * 100));
        if (hundredths == 0) continue;
        fields[hundredths] += fmt::format("M{} {}h{}v{}h-{}z", px(x + .5), px(y + .5), px(size - 1), px(size - 1), px(size - 1));
        if (size < 28 || hundredths < 5) continue;
        numbers += text_at(x + size / 2, y + size / 2 + 4, 11, fmt::format("{:.2f}", weight),
                           fmt::format("text-anchor=\"middle\" class=\"{}\"", weight > .78   ? "on"
                                                                              : weight > .53 ? "half"
                                                                                             : "off"));
    }
    for (const auto& [hundredths, path] : fields) {
        text += fmt::format("<path class=\"weight\" fill-opacity=\"{:.2f}\" d=\"{}\"/>\n", hundredths / 100.0, path);
    }
    text += numbers;
    for (const auto& [row, column] : map.gold) {
        text += fmt::format("<rect class=\"gold\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>\n",
                            px(left + size * column + 1.5), px(top + size * row + 1.5), px(size - 3), px(size - 3));
    }
    return text;
}

double widest(const std::vector<std::string>& texts, double size) {
    double width = 0;
    for (const std::string& text : texts) width = std::max(width, width_in_px(text, size));
    return width;
}

std::string caption_of(const AttentionMap& map) {
    return map.about.empty() ? "each row: a token written, and where it looked" : map.about;
}

std::string row_labels(const AttentionMap& map, double right, double top, double cell, double size) {
    std::string text;
    for (std::size_t t = 0; t < map.rows.size(); ++t) {
        text +=
            text_at(right, top + cell * (static_cast<double>(t) + 0.5) + size * 0.35, size, map.rows[t], "text-anchor=\"end\"");
    }
    return text;
}

}    // namespace

std::string line_chart(const LineChart& chart) {
    check(chart);
    const Range xs = x_range(chart), ys = y_range(chart);
    const double width = 640, height = 400, left = 56, top = 70, bottom = height - 50;
    double names = 0;
    for (const Series& series : chart.series) names = std::max(names, width_in_px(series.name, 13));
    const double right = width - std::min(names + 40, 300.0);
    const auto x_of = [&](double x) { return left + xs.share(x) * (right - left); };
    const auto y_of = [&](double y) { return bottom - ys.share(y) * (bottom - top); };

    std::string body = text_at(16, 52, 12, chart.y_label, "class=\"quiet\"");
    for (const double tick : ys.ticks) {
        body += fmt::format("<path class=\"grid\" d=\"M{} {}H{}\"/>\n", px(left), px(y_of(tick)), px(right));
        body += text_at(left - 8, y_of(tick) + 4, 12, ys.label(tick), "text-anchor=\"end\" class=\"quiet\"");
    }
    for (const double tick : xs.ticks) {
        body += text_at(x_of(tick), bottom + 20, 12, xs.label(tick), "text-anchor=\"middle\" class=\"quiet\"");
    }
    body += text_at((left + right) / 2, height - 12, 12, chart.x_label, "text-anchor=\"middle\" class=\"quiet\"");

    // Lines may lie on each other: later ones are dashed and have smaller marks, so that the earlier ones show.
    static constexpr std::array<const char*, 6> dashes = {"none", "9 4", "3 4", "9 3 2 3", "5 2", "1 3"};
    std::string marks;
    std::vector<double> ends(chart.series.size(), bottom), sums(chart.series.size());
    for (std::size_t s = 0; s < chart.series.size(); ++s) {
        const Series& series = chart.series[s];
        const bool few = series.xs.size() <= 24;
        std::string path;
        for (std::size_t i = 0; i < series.xs.size(); ++i) {
            if (!is_drawn(chart, series.xs[i], series.ys[i])) continue;
            const double x = x_of(series.xs[i]), y = y_of(series.ys[i]);
            path += fmt::format("{}{} {}", path.empty() ? "M" : " ", px(x), px(y));
            if (few) marks += mark(s, x, y, 5.5 - 0.5 * static_cast<double>(s));
            ends[s] = y;
            sums[s] += y;
        }
        body += fmt::format("<path class=\"line c{}\" stroke-width=\"{}\" stroke-dasharray=\"{}\" d=\"{}\"/>\n", s,
                            few ? "2.5" : "1.5", few ? dashes[s] : "none", path);
    }
    body += marks;

    // The names stand at the ends of their lines, in the order of the lines.
    std::vector<std::size_t> order(chart.series.size());
    std::iota(order.begin(), order.end(), 0u);
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return std::pair(ends[a], sums[a]) < std::pair(ends[b], sums[b]); });
    std::vector<double> label_ys;
    for (const std::size_t s : order) label_ys.push_back(ends[s]);
    spread(label_ys, 19, bottom);
    for (std::size_t i = 0; i < order.size(); ++i) {
        body += mark(order[i], right + 18, label_ys[i], 4.5);
        body += text_at(right + 28, label_ys[i] + 4.5, 13, cut_text(chart.series[order[i]].name, 28));
    }
    return document(std::max(width, width_in_px(chart.title, 16) + 32), height, chart.title, description_of(chart), body);
}

std::string attention_map(const AttentionMap& map) {
    check(map);
    const double columns = static_cast<double>(map.columns.size()), rows = static_cast<double>(map.rows.size());
    const double cell = std::clamp(std::floor(520 / std::max({columns, rows, 1.0})), 18.0, 40.0);
    const double size = cell < 24 ? 11 : 13;
    const bool slanted = widest(map.columns, size) > cell - 4;
    const double head = slanted ? widest(map.columns, size) * 0.75 + 14 : 24;
    const double left = 24 + widest(map.rows, size), top = 44 + head, bottom = top + cell * rows;
    const std::string caption = caption_of(map);

    std::string body = row_labels(map, left - 8, top, cell, size);
    for (std::size_t s = 0; s < map.columns.size(); ++s) {
        const double x = left + cell * (static_cast<double>(s) + 0.5);
        body += slanted ? text_at(x, top - 8, size, map.columns[s],
                                  fmt::format("transform=\"rotate(-45 {} {})\"", px(x), px(top - 8)))
                        : text_at(x, top - 8, size, map.columns[s], "text-anchor=\"middle\"");
    }
    body += cells(map, left, top, cell);
    body += text_at(16, bottom + 24, 11, caption, "class=\"quiet\"");
    double height = bottom + 38;
    if (!map.gold.empty()) {
        body += fmt::format("<rect class=\"gold\" x=\"17\" y=\"{}\" width=\"11\" height=\"11\"/>\n", px(bottom + 34));
        body += text_at(36, bottom + 44, 11, "the true alignment", "class=\"quiet\"");
        height += 20;
    }
    // A slanted label of the last column reaches beyond it.
    const double reach = slanted ? widest(map.columns, size) * 0.75 - cell / 2 : 0;
    const double width =
        32 + std::max({left - 16 + cell * columns + std::max(reach, 0.0), width_in_px(map.title, 16), width_in_px(caption, 11)});
    return document(width, height, map.title, description_of(map), body);
}

std::string small_multiples(const std::string& title, const std::vector<AttentionMap>& maps, int across) {
    if (maps.empty() || across < 1) {
        throw std::invalid_argument(
            fmt::format("small_multiples: {} maps, {} in a row: give one or more of each", maps.size(), across));
    }
    const AttentionMap& first = maps.front();
    const double columns = static_cast<double>(first.columns.size()), rows = static_cast<double>(first.rows.size());
    const double cell = std::clamp(std::floor(160 / std::max({columns, rows, 1.0})), 11.0, 24.0);
    const double size = std::min(cell - 1, 12.0), gap = 18;
    const double left = 24 + widest(first.rows, size), top = 66;
    double map_width = cell * columns;
    for (const AttentionMap& map : maps) map_width = std::max(map_width, width_in_px(map.title, 12));
    const double step_x = map_width + gap, step_y = cell * rows + gap + 14;

    std::string body, description = first.about.empty() ? "Rows are target tokens, columns source tokens." : first.about + ".";
    const std::size_t lines = (maps.size() + static_cast<std::size_t>(across) - 1) / static_cast<std::size_t>(across);
    const double bottom = top + step_y * static_cast<double>(lines) - gap - 14;
    for (std::size_t i = 0; i < maps.size(); ++i) {
        const AttentionMap& map = maps[i];
        check(map);
        if (map.rows.size() != first.rows.size() || map.columns.size() != first.columns.size()) {
            throw std::invalid_argument(fmt::format("small_multiples: map {} is {} x {}, the first {} x {}: draw the same tokens",
                                                    i, map.rows.size(), map.columns.size(), first.rows.size(),
                                                    first.columns.size()));
        }
        const int row = static_cast<int>(i) / across, column = static_cast<int>(i) % across;
        const double x = left + step_x * column, y = top + step_y * row;
        body += text_at(x, y - 6, 12, map.title, "class=\"quiet\"");
        if (i % static_cast<std::size_t>(across) == 0) body += row_labels(first, left - 6, y, cell, size);
        body += cells(map, x, y, cell);
        description += fmt::format(" {}.", map.title);
        if (i + static_cast<std::size_t>(across) < maps.size()) continue;    // another map stands below
        for (std::size_t s = 0; s < first.columns.size(); ++s) {
            const double label_x = x + cell * (static_cast<double>(s) + 0.5) + size * 0.35, label_y = y + cell * rows + 6;
            body += text_at(label_x, label_y, size, first.columns[s],
                            fmt::format("text-anchor=\"end\" transform=\"rotate(-90 {} {})\"", px(label_x), px(label_y)));
        }
    }
    const std::string caption = caption_of(first);
    const double caption_y = bottom + widest(first.columns, size) + 26;
    body += text_at(16, caption_y, 11, caption, "class=\"quiet\"");
    const double width = std::max({left + step_x * std::min(static_cast<double>(maps.size()), static_cast<double>(across)),
                                   width_in_px(title, 16) + 32, width_in_px(caption, 11) + 32});
    return document(width, caption_y + 16, title, description, body);
}

}    // namespace lookback::svg
