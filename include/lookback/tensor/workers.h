#pragma once

#include <functional>
#include <memory>

namespace lookback {

// Threads that sleep until there is work: the one place of parallelism. run() gives out the tasks 0 .. count-1, takes part
// itself, and returns when all are done; of several exceptions that of the lowest task is thrown on. Which thread does which
// task is left to chance, so a task must not depend on it: threads change the time, never a result. A run() from within a task
// of the same workers, which would wait for itself, is a std::logic_error.
class Workers {
  public:
    explicit Workers(int threads);    // counts the caller; at least 1; fewer where the system grants no more
    ~Workers();
    void run(int count, const std::function<void(int)>& task);

  private:
    struct State;
    std::unique_ptr<State> state;
};

}    // namespace lookback
