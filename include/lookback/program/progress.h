#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "lookback/program/screen.h"

namespace lookback {

// A line on stderr that shows how far a training is, redrawn at most ten times a second and erased at the end. In a
// pipe or a file it writes nothing. It hides no cursor and sets no mode, so Ctrl-C leaves nothing to restore.
//
//     Progress progress("attention", options.steps);
//     for (...) { ...; progress.advance(batch.target_tokens, loss.item()); }
//     progress.done();    // before anything is printed; the destructor does it too
class Progress {
  public:
    Progress(std::string label, int steps, std::FILE* stream = stderr);
    ~Progress() { done(); }
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    // One more step is done, with so many tokens; what has no loss (an evaluation, say) shows none.
    void advance(std::int64_t tokens, std::optional<double> loss = std::nullopt);
    void done();

  private:
    using Clock = std::chrono::steady_clock;
    std::string label;
    int steps, step = 0;
    std::int64_t tokens_seen = 0;
    std::FILE* stream;
    terminal::Style style;
    bool drawn = false;
    Clock::time_point begin = Clock::now(), last_drawn = begin;
};

// The line itself, at most `width` columns: `attention  ████░░░░ 312/600  loss 0.412  18k tokens/s  0:12 left`. What
// does not fit is left out: first the bar, then the end of the line.
struct ProgressState {
    std::string label;
    int step, steps;
    std::optional<double> loss;
    double tokens_per_second, seconds_left;
};
std::string progress_line(const ProgressState& state, int width);

}    // namespace lookback
