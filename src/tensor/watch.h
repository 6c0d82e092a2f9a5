#pragma once

#include "lookback/tensor/debugger.h"
#include "lookback/tensor/node.h"

// What the engine does beside the arithmetic, for people who look on. The meson option `debugger` says how much is compiled:
// none (0), lines (1), or frames as well (2), which is for debug builds.
namespace lookback {

#if LOOKBACK_DEBUGGER >= 1
inline bool watched() { return checking || tracing; }
#else
constexpr bool watched() { return false; }
#endif

void watch_forward(const Node& node);     // after forward(): trace and check what it computed
void watch_backward(const Node& node);    // after backward(): trace and check the gradients that it added to

// "NaN", "inf" or "-inf"; and "element (1, 0, 3)", or "the value" of a scalar: how all messages name a bad number and its place.
const char* kind_of(real not_finite);
std::string element_text(const Shape& shape, std::size_t element);

// Puts the node into the chain of those alive, and takes it out.
void enter(Node& node);
void leave(Node& node);

// Return addresses of the functions that called record(), innermost first, up to a null.
void** callers_of_record();

// The backward pass of a debug build keeps what it has done until it ends, so that one can look back at it. An optimised one gives
// its memory back as it goes: the caches like that.
#ifdef __OPTIMIZE__
constexpr bool keeps_what_is_done = false;
#else
constexpr bool keeps_what_is_done = LOOKBACK_DEBUGGER >= 2;
#endif

// Among those that are under way, for as long as it lives.
class Announcement {
  public:
    explicit Announcement(BackwardRun& run);
    ~Announcement();
    Announcement(const Announcement&) = delete;
    Announcement& operator=(const Announcement&) = delete;

  private:
    BackwardRun& run;
};

}    // namespace lookback
