#pragma once

#include <string>
#include <vector>

#include "lookback/draw/figure.h"

// The axes of a line chart, the same for the terminal and for SVG. Without libm's log10, whose last bit differs between
// versions.
namespace lookback {

// One axis: its ends, and the values that get a label.
struct Range {
    double low, high;
    bool log = false;
    std::vector<double> ticks;

    double share(double value) const;        // 0 at the low end, 1 at the high one; never outside
    std::string label(double tick) const;    // in as many digits as tell the ticks apart
};

Range x_range(const LineChart& chart);
Range y_range(const LineChart& chart);

// Whether a point is drawn: both numbers are finite, and y is positive on a logarithmic axis.
bool is_drawn(const LineChart& chart, double x, double y);

}    // namespace lookback
