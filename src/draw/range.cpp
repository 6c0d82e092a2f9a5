#include "draw/range.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <set>

namespace lookback {

namespace {

// ln x = e ln 2 + ln m, with x = m 2^e and ln m = 2 artanh((m - 1) / (m + 1)) as its power series: 1e-15 for m in [1/2,
// 1).
double logarithm(double x) {
    int exponent;
    const double m = std::frexp(x, &exponent);
    const double s = (m - 1) / (m + 1);
    double sum = 0;
    for (int power = 31; power > 0; power -= 2) sum = sum * s * s + 1.0 / power;
    return exponent * 0.6931471805599453 + 2 * s * sum;
}

// 1, 2 and 5 times each power of ten from 1e-12 to 1e12, in order.
std::vector<double> round_numbers() {
    std::vector<double> numbers;
    for (int exponent = -12; exponent <= 12; ++exponent) {
        double power = 1;
        for (int i = 0; i < std::abs(exponent); ++i) power *= 10;
        for (const double digit : {1.0, 2.0, 5.0}) numbers.push_back(exponent < 0 ? digit / power : digit * power);
    }
    return numbers;
}

double round_step(double span, int ticks) {
    for (const double step : round_numbers()) {
        if (step >= span / ticks * (1 - 1e-9)) return step;
    }
    return span;
}

// The multiples of the step from `low` to `high`.
std::vector<double> multiples(double low, double high, double step) {
    std::vector<double> ticks;
    const double first = std::ceil(low / step - 1e-9);
    for (int i = 0; i < 30 && (first + i) * step <= high + step * 1e-9; ++i) ticks.push_back((first + i) * step);
    return ticks;
}

}    // namespace

double Range::share(double value) const {
    const double share =
        log ? (logarithm(value) - logarithm(low)) / (logarithm(high) - logarithm(low)) : (value - low) / (high - low);
    return share >= 0 ? std::min(share, 1.0) : 0;    // of a NaN, where the range is too wide or too narrow for a double: 0
}

std::string Range::label(double tick) const {
    int digits = 6;
    const auto text = [&](double number) { return fmt::format("{:.{}g}", number, digits); };
    while (digits < 17 && std::ranges::adjacent_find(ticks, {}, text) != ticks.end()) ++digits;
    return text(tick);
}

bool is_drawn(const LineChart& chart, double x, double y) {
    return std::isfinite(x) && std::isfinite(y) && (!chart.log_y || y > 0);
}

Range x_range(const LineChart& chart) {
    std::set<double> xs;
    for (const Series& series : chart.series) {
        for (std::size_t i = 0; i < series.xs.size(); ++i) {
            if (is_drawn(chart, series.xs[i], series.ys[i])) xs.insert(series.xs[i]);
        }
    }
    if (xs.empty()) return {0, 1, false, {}};
    if (xs.size() == 1) return {*xs.begin() - 1, *xs.begin() + 1, false, {*xs.begin()}};
    const double low = *xs.begin(), high = *xs.rbegin();
    // A few points are what was measured, such as 1 to 8 clauses: each gets its label.
    if (xs.size() <= 12) return {low, high, false, {xs.begin(), xs.end()}};
    return {low, high, false, multiples(low, high, round_step(high - low, 6))};
}

Range y_range(const LineChart& chart) {
    double low = chart.y_min, high = chart.y_max;
    if (low == high) {
        low = HUGE_VAL, high = -HUGE_VAL;
        for (const Series& series : chart.series) {
            for (std::size_t i = 0; i < series.ys.size(); ++i) {
                if (!is_drawn(chart, series.xs[i], series.ys[i])) continue;
                low = std::min(low, series.ys[i]);
                high = std::max(high, series.ys[i]);
            }
        }
        if (low > high) low = high = 1;
        if (low == high) low = chart.log_y ? low / 2 : low - 1, high = chart.log_y ? high * 2 : high + 1;
    }
    if (!chart.log_y) {
        if (!(low < high) || !std::isfinite(high - low)) low = 0, high = 1;    // no such axis can be computed
        const double step = round_step(high - low, 5);
        low = step * std::floor(low / step + 1e-9);
        high = step * std::ceil(high / step - 1e-9);
        return {low, high, false, multiples(low, high, step)};
    }
    Range range{low, high, true, {}};
    const std::vector<double> numbers = round_numbers();
    // All of them where that leaves room for the labels, else powers of ten, else each second or fourth of these; 1 is always one.
    for (const std::size_t apart : {1, 3, 6, 12}) {
        range.ticks.clear();
        for (std::size_t i = 0; i < numbers.size(); i += apart)
            if (numbers[i] >= low && numbers[i] <= high) range.ticks.push_back(numbers[i]);
        if (range.ticks.size() <= 12) break;
    }
    if (range.ticks.size() < 3)
        range.ticks = multiples(low, high, round_step(high - low, 5));    // a short range may have no round one
    return range;
}

}    // namespace lookback
