#pragma once

#include <string>
#include <utility>
#include <vector>

// What is drawn. Each figure is plain data, so that the same one goes to the terminal (draw/terminal.h) and into an SVG
// file (draw/svg.h).
namespace lookback {

// One line of a chart: y over x. A point whose y is not finite is left out.
struct Series {
    std::string name;
    std::vector<double> xs, ys;
};

struct LineChart {
    std::string title, x_label, y_label;
    std::vector<Series> series;     // at most 6: there are no more marks and colours that all can tell apart
    double y_min = 0, y_max = 0;    // equal: taken from the data
    bool log_y = false;             // for loss curves; leaves out the points that are not positive
    bool overlay = false;           // in the terminal: a mark covers an earlier series' mark, where else it stands beside it
};

// Where a decoder looked: row t holds the weights, 0 to 1, of the source tokens when target token t was written.
struct AttentionMap {
    std::string title;
    std::vector<std::string> rows;            // target tokens
    std::vector<std::string> columns;         // source tokens
    std::vector<double> weights;              // (rows, columns), row after row
    std::vector<std::pair<int, int>> gold;    // cells (row, column) of the true alignment; may be empty
    std::string about = {};                   // what rows and columns are, where they are not tokens; below the SVG
};

// Throw std::invalid_argument when the sizes do not fit: `attention_map: 3 rows x 4 columns want 12 weights, got 10`.
void check(const LineChart& chart);
void check(const AttentionMap& map);

}    // namespace lookback
