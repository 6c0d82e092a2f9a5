#include "lookback/program/stopwatch.h"

#include <fmt/format.h>

#include <cstdlib>
#include <string_view>

namespace lookback {

namespace {

bool hide_times() {
    const char* value = std::getenv("LOOKBACK_TRANSCRIPT");
    return value && std::string_view(value) == "1";
}

}    // namespace

std::string seconds_text(double seconds) { return hide_times() || !(seconds > 0) ? "-" : fmt::format("{:.1f} s", seconds); }

std::string rate_text(double per_second) {
    return hide_times() || !(per_second > 0) ? "-" : count_text(static_cast<long>(per_second / 100) * 100) + "/s";
}

std::string count_text(long count) {
    std::string text = fmt::format("{}", count);
    const std::size_t first = text[0] == '-' ? 2 : 1;
    for (std::size_t i = text.size(); i > first + 2; i -= 3) text.insert(i - 3, ",");
    return text;
}

}    // namespace lookback
