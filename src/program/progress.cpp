#include "lookback/program/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace lookback {

Progress::Progress(std::string label_, int steps_, std::FILE* stream_)
    : label(std::move(label_)), steps(steps_), stream(stream_), style(terminal::style_of(stream_)) {}

void Progress::advance(std::int64_t tokens, std::optional<double> loss) {
    ++step;
    tokens_seen += tokens;
    const Clock::time_point now = Clock::now();
    if (!style.screen || now - last_drawn < std::chrono::milliseconds(100)) return;
    last_drawn = now;
    drawn = true;
    const double seconds = std::chrono::duration<double>(now - begin).count();
    const double seconds_left = seconds / step * std::max(steps - step, 0);
    const ProgressState state{label, step, steps, loss, static_cast<double>(tokens_seen) / seconds, seconds_left};
    style.width = terminal::style_of(stream).width;    // the window may have changed
    // One column stays free: a cursor beyond the last one would wrap the line in some terminals.
    std::fputs(fmt::format("\r{}\x1b[K", progress_line(state, style.width - 1)).c_str(), stream);
    std::fflush(stream);
}

void Progress::done() {
    if (!std::exchange(drawn, false)) return;
    std::fputs("\r\x1b[K", stream);
    std::fflush(stream);
}

std::string progress_line(const ProgressState& state, int width) {
    const std::string steps = std::to_string(state.steps);
    const std::string count = fmt::format("{:>{}}/{}", state.step, steps.size(), steps);
    std::string loss, speed;
    if (state.loss) loss = fmt::format("  loss {:.3f}", *state.loss);
    const double rate = state.tokens_per_second;
    if (rate > 0)
        speed = rate < 10'000 ? fmt::format("  {:4.0f} tokens/s", rate) : fmt::format("  {:3.0f}k tokens/s", rate / 1000);
    const auto seconds = state.seconds_left > 0 ? std::lround(std::min(state.seconds_left, 1e9)) : 0;
    const std::string left = seconds < 3600
                                 ? fmt::format("  {}:{:02} left", seconds / 60, seconds % 60)
                                 : fmt::format("  {}:{:02}:{:02} left", seconds / 3600, seconds / 60 % 60, seconds % 60);
    // The time left is what a narrow screen shows longest.
    const auto is_too_long = [&] { return text_width(state.label + count + loss + speed + left) + 2 > width; };
    if (is_too_long()) speed.clear();
    if (is_too_long()) loss.clear();
    const std::string figures = count + loss + speed + left;

    std::string bar;
    const int room = width - text_width(state.label) - text_width(figures) - 4;
    if (room >= 5) {
        const int length = std::min(room, 30);
        const double share = std::clamp(static_cast<double>(state.step) / std::max(state.steps, 1), 0.0, 1.0);
        const int full = static_cast<int>(length * share);
        for (int i = 0; i < length; ++i) bar += i < full ? "█" : "░";
        bar += "  ";
    }
    return cut_text(fmt::format("{}  {}{}", state.label, bar, figures), width);
}

}    // namespace lookback
