#pragma once

#include <span>
#include <string>
#include <vector>

#include "lookback/draw/figure.h"
#include "lookback/program/screen.h"

// Figures as text, for the terminal. Each function returns whole lines and prints nothing itself.
namespace lookback::terminal {

// The series against x on a linear y axis, each with its own mark and so readable without colour; marks that share an x
// stand side by side, or where the chart is an overlay the later on the earlier, and then curves of more than 24 points
// are dotted. The plot has `rows` lines; the legend, the axis and its labels take three more. The chart's title is left
// to the caller.
//
//     fmt::print("{}", terminal::line_chart(scores, terminal::style_of(stdout)));
std::string line_chart(const LineChart& chart, const Style& style, int rows = 11);

// One line a target token, one cell a source token, with its weight in tenths, cut off (9: 0.9 or more; a dot: under
// 0.1), on a colour or a shade. Columns are headed by their tokens, or by numbers and a legend where the tokens are too
// wide; columns beyond the width of the screen follow below. The gold alignment is not shown.
std::string attention_map(const AttentionMap& map, const Style& style);

// Maps of the same rows side by side, as many as fit on a line, each under its own title; the rows are named at the left. One that
// is too wide for a line is drawn as attention_map draws it.
std::string small_multiples(const std::vector<AttentionMap>& maps, const Style& style);

// The values as little bars from the lowest to the highest, `█▆▄▂▁▁`: a loss at a glance. More than `width` values are
// averaged in groups; a NaN shows as `?`.
std::string sparkline(std::span<const double> values, int width = 40);

}    // namespace lookback::terminal
