#include "lookback/tensor/workers.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace lookback {

struct Workers::State {
    std::mutex mutex;
    std::condition_variable work_arrived, work_done;
    const std::function<void(int)>* task = nullptr;
    int next = 0, count = 0, unfinished = 0;
    bool stopping = false;
    int failed_task = 0;
    std::exception_ptr failure;
    std::vector<std::thread> threads;

    // Takes tasks until none is left. The lock is held on entry and on return.
    void work(std::unique_lock<std::mutex>& lock) {
        while (next < count) {
            const int index = next++;
            const auto* current = task;
            std::exception_ptr thrown;
            lock.unlock();
            try {
                (*current)(index);
            } catch (...) {
                thrown = std::current_exception();
            }
            lock.lock();
            if (thrown && (!failure || index < failed_task)) {
                failure = thrown;
                failed_task = index;
            }
            if (--unfinished == 0) work_done.notify_all();
        }
    }
};

Workers::Workers(int threads) : state(std::make_unique<State>()) {
    const auto work = [shared = state.get()] {
        std::unique_lock lock(shared->mutex);
        while (!shared->stopping) {
            shared->work(lock);
            if (!shared->stopping) shared->work_arrived.wait(lock);
        }
    };
    state->threads.reserve(static_cast<std::size_t>(std::max(threads, 1)));
    try {
        for (int i = 1; i < threads; ++i) state->threads.emplace_back(work);
    } catch (const std::system_error&) {    // the system grants no more: those that there are do all of the work
    }
}

Workers::~Workers() {
    {
        const std::lock_guard lock(state->mutex);
        state->stopping = true;
    }
    state->work_arrived.notify_all();
    for (std::thread& thread : state->threads) thread.join();
}

void Workers::run(int count, const std::function<void(int)>& task) {
    if (count <= 0) return;
    std::unique_lock lock(state->mutex);
    if (state->task)
        throw std::logic_error(
            "workers: run() is at work already, in a task of these workers or in another thread: make workers of your own");
    state->task = &task;
    state->next = 0;
    state->count = state->unfinished = count;
    state->failure = nullptr;
    if (count > 1) state->work_arrived.notify_all();
    state->work(lock);
    state->work_done.wait(lock, [&] { return state->unfinished == 0; });
    state->task = nullptr;
    if (state->failure) std::rethrow_exception(std::exchange(state->failure, nullptr));
}

}    // namespace lookback
