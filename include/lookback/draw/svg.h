#pragma once

#include <string>
#include <vector>

#include "lookback/draw/figure.h"

// Figures as SVG documents that need no other file: legible at their own size, in colours that all eyes can tell apart,
// light or dark as the reader's system is, with a title and a description for screen readers. The same figure gives the
// same bytes.
namespace lookback::svg {

// Lines over x, each named at its end; up to 24 points of a line have marks of their own shape.
//
//     write_file(options.out / "loss.svg", svg::line_chart(losses));
std::string line_chart(const LineChart& chart);

// Where the decoder looked: rows are target tokens, columns source tokens, the fill of a cell its weight. Cells of the
// gold alignment have an outline.
std::string attention_map(const AttentionMap& map);

// Many small maps over the same tokens, such as the heads of a Transformer: `across` in a row, each under its own
// title; the tokens are named at the left and at the bottom only. Maps that differ in size are a std::invalid_argument.
std::string small_multiples(const std::string& title, const std::vector<AttentionMap>& maps, int across);

}    // namespace lookback::svg
