#include "lookback/program/interrupt.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace lookback {

namespace {

std::atomic<bool> interrupt_seen{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may touch lock-free atomics only");

extern "C" void see_interrupt(int) {
    const int saved_errno = errno;
    interrupt_seen = true;
    constexpr char message[] = "\ninterrupted: ending with what was learned so far; Ctrl-C again ends at once\n";
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, message, sizeof message - 1);
    errno = saved_errno;
}

}    // namespace

bool interrupted() { return interrupt_seen; }

void catch_interrupt() {
    struct sigaction action = {};
    action.sa_handler = see_interrupt;
    action.sa_flags = SA_RESTART | SA_RESETHAND;    // reset: the second signal meets the default action
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, nullptr);
}

}    // namespace lookback
