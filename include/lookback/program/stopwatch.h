#pragma once

#include <chrono>
#include <string>

namespace lookback {

class Stopwatch {
  public:
    explicit Stopwatch(double seconds_before = 0) : before(seconds_before) {}
    double seconds() const { return before + std::chrono::duration<double>(Clock::now() - begin).count(); }

  private:
    using Clock = std::chrono::steady_clock;
    double before;
    Clock::time_point begin = Clock::now();
};

// "12.3 s" and "48,100/s". Times differ from run to run: where LOOKBACK_TRANSCRIPT=1 is set (transcripts that are compared to the
// letter) both are "-", and so is the time of what did not take place.
std::string seconds_text(double seconds);
std::string rate_text(double per_second);

// "253,549"
std::string count_text(long count);

}    // namespace lookback
