#include "lookback/tensor/debugger.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <mutex>

#include "kernels/kernels.h"
#include "tensor/watch.h"

#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace lookback {

BackwardRun* newest_backward = nullptr;
NodeChain node_chains[node_chain_count];

#if LOOKBACK_DEBUGGER >= 1

namespace {

struct alignas(64) ChainMutex : std::mutex {};

std::mutex& mutex_of_chain(int chain) {
    static ChainMutex* const mutexes = new ChainMutex[node_chain_count];    // outlives tensors in static storage
    return mutexes[chain];
}

int chain_of_thread() {
    static std::atomic<unsigned> next;
    thread_local const int chain = static_cast<int>(next++ % node_chain_count);
    return chain;
}

std::mutex& backward_mutex() {
    static std::mutex& mutex = *new std::mutex;
    return mutex;
}

long thread_number() {
#ifdef __linux__
    thread_local const long number = syscall(SYS_gettid);
    return number;
#else
    return 0;
#endif
}

}    // namespace

void enter(Node& node) {
    node.chain = chain_of_thread();
    Node*& newest = node_chains[node.chain].newest;
    const std::lock_guard lock(mutex_of_chain(node.chain));
    node.older = newest;
    if (newest) newest->newer = &node;
    newest = &node;
}

void leave(Node& node) {
    const std::lock_guard lock(mutex_of_chain(node.chain));
    (node.newer ? node.newer->older : node_chains[node.chain].newest) = node.older;
    if (node.older) node.older->newer = node.newer;
    delete[] node.callers;
}

std::size_t live_nodes() {
    std::size_t count = 0;
    for (int chain = 0; chain < node_chain_count; ++chain) {
        const std::lock_guard lock(mutex_of_chain(chain));
        for (const Node* node = node_chains[chain].newest; node; node = node->older) ++count;
    }
    return count;
}

Announcement::Announcement(BackwardRun& announced) : run(announced) {
    run.thread = thread_number();
    const std::lock_guard lock(backward_mutex());
    run.older = newest_backward;
    newest_backward = &run;
}

Announcement::~Announcement() {
    const std::lock_guard lock(backward_mutex());
    BackwardRun** link = &newest_backward;
    while (*link != &run) link = &(*link)->older;
    *link = run.older;
}

#else

std::size_t live_nodes() { return 0; }
void enter(Node&) {}
void leave(Node&) {}
Announcement::Announcement(BackwardRun& announced) : run(announced) {}
Announcement::~Announcement() = default;

#endif

#if LOOKBACK_DEBUGGER >= 2 && (defined(__x86_64__) || defined(__aarch64__))

// Each frame starts with the address of its caller's frame and the return address. The chain ends at the first function that keeps
// no frame pointer, such as the C library's that calls main(): what stands there is no frame a little higher on the stack.
[[gnu::noinline]] void** callers_of_record() {
    constexpr std::size_t most = 12, largest_frame = std::size_t{1} << 20;
    void* found[most];
    std::size_t count = 0;
    auto frame = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    while (count < most) {
        std::array<std::uintptr_t, 2> link;    // the caller's frame, and where it goes on
        std::memcpy(link.data(), reinterpret_cast<const void*>(frame), sizeof link);
        if (link[0] <= frame || link[0] - frame > largest_frame || link[0] % sizeof(void*) != 0) break;
        frame = link[0];
        std::memcpy(link.data(), reinterpret_cast<const void*>(frame), sizeof link);
        if (link[1] == 0) break;
        found[count++] = reinterpret_cast<void*>(link[1]);
    }
    void** callers = new void*[count + 1];
    std::copy_n(found, count, callers);
    callers[count] = nullptr;
    return callers;
}

#else

void** callers_of_record() { return nullptr; }

#endif

}    // namespace lookback

using namespace lookback;

extern "C" {

[[gnu::noinline]] void lookback_backward_done([[maybe_unused]] const BackwardRun* run) { asm volatile(""); }

[[gnu::noinline]] void lookback_not_finite([[maybe_unused]] const Node* op, [[maybe_unused]] const Node* tensor,
                                           [[maybe_unused]] const real* values, [[maybe_unused]] std::size_t index,
                                           [[maybe_unused]] const char* what) {
    asm volatile("");
}

#if LOOKBACK_DEBUGGER >= 1
// Where things are: the debugger's commands read memory by this table, so they also work in a build without debug information.
#pragma GCC diagnostic ignored "-Winvalid-offsetof"    // Node has virtual functions; that moves no member
struct LayoutEntry {
    const char* name;
    std::size_t value;
    const void* address;
};
[[gnu::used]] extern const LayoutEntry lookback_layout[] = {
    {"op", offsetof(Node, op), nullptr},
    {"id", offsetof(Node, id), nullptr},
    {"file", offsetof(Node, where) + offsetof(Where, file), nullptr},
    {"line", offsetof(Node, where) + offsetof(Where, line), nullptr},
    {"scope", offsetof(Node, scope), nullptr},
    {"shape", offsetof(Node, shape), nullptr},
    {"size", offsetof(Node, size), nullptr},
    {"data", offsetof(Node, data), nullptr},
    {"grad", offsetof(Node, grad), nullptr},
    {"grad_is_unset", offsetof(Node, grad_is_unset), nullptr},
    {"grad_rows", offsetof(Node, grad_rows), nullptr},
    {"requires_grad", offsetof(Node, requires_grad), nullptr},
    {"name", offsetof(Node, name), nullptr},
    {"inputs", offsetof(Node, inputs), nullptr},
    {"serial", offsetof(Node, serial), nullptr},
    {"references", offsetof(Node, references), nullptr},
    {"callers", offsetof(Node, callers), nullptr},
    {"older", offsetof(Node, older), nullptr},
    {"chain", offsetof(Node, chain), nullptr},
    {"sizeof Node", sizeof(Node), nullptr},
    {"sizeof real", sizeof(real), nullptr},
    {"run.order", offsetof(BackwardRun, order), nullptr},
    {"run.count", offsetof(BackwardRun, count), nullptr},
    {"run.position", offsetof(BackwardRun, position), nullptr},
    {"run.node", offsetof(BackwardRun, node), nullptr},
    {"run.thread", offsetof(BackwardRun, thread), nullptr},
    {"run.older", offsetof(BackwardRun, older), nullptr},
    {"sizeof NodeChain", sizeof(NodeChain), nullptr},
    {"count of chains", node_chain_count, nullptr},
    {"node_chains", 0, node_chains},
    {"newest_backward", 0, &newest_backward},
    {"reference_loops", 0, &kernels::reference_loops},
    {"check_node", 0, reinterpret_cast<const void*>(&lookback_check_node)},    // what nothing refers to would not be linked
    {nullptr, 0, nullptr},
};
#endif

}    // extern "C"
