#pragma once

#include <cstddef>
#include <utility>

#include "lookback/tensor/tensor.h"

// What a debugger reads, and what it can call. A program needs none of this; tutorials/debugger/README.md shows it at work.
namespace lookback {

// A backward pass that is under way. It goes through `order`, nodes as they were made, from the last to the first.
struct BackwardRun {
    const Tensor* order;    // empty handles: released
    std::size_t count = 0;
    std::size_t position = 0;        // of the node at work: those above are done
    Node* node = nullptr;            // the same, null before the first
    long thread = 0;                 // as the system numbers threads
    BackwardRun* older = nullptr;    // all that are under way, newest first
};

extern BackwardRun* newest_backward;

// All nodes that are alive: a chain for each thread that makes some, by Node::older. (One for all would make each op of a thread wait
// for the others.) With more threads than chains, some share one.
struct alignas(64) NodeChain {
    Node* newest = nullptr;
};
constexpr int node_chain_count = 64;
extern NodeChain node_chains[node_chain_count];
std::size_t live_nodes();    // how many

// Scan each op's output and each gradient it passes on. std::runtime_error at the first NaN or inf, with the op, the element, the
// ranges of the inputs and the line. An inf may come in, as -inf in a mask does. LOOKBACK_CHECK=1 or 0; on in debug builds.
extern bool checking;

// While one is alive nothing is scanned: for a program that makes a NaN on purpose.
struct Unchecked {
    [[nodiscard]] Unchecked() : before(std::exchange(checking, false)) {}
    ~Unchecked() { checking = before; }
    Unchecked(const Unchecked&) = delete;
    Unchecked& operator=(const Unchecked&) = delete;

  private:
    bool before;
};

// A line on stderr for each op, forward and backward, with the norms of what goes in and out. LOOKBACK_TRACE=1.
extern bool tracing;

}    // namespace lookback

extern "C" {

// Two places to break at: nothing happens in them. `what` is a line of text, `index` the first bad element of `values`.
void lookback_backward_done(const lookback::BackwardRun* run);
void lookback_not_finite(const lookback::Node* op, const lookback::Node* tensor, const lookback::real* values, std::size_t index,
                         const char* what);

// One op's backward() beside central differences of its forward(), for up to 32 elements of each input, through a random
// projection. Values and gradients are as before afterwards. A line of text: `p lookback_check_node(node)`.
const char* lookback_check_node(lookback::Node* node);

// Runs all forward() behind `output` again, after a value was changed by hand, and gives its first element.
double lookback_replay(lookback::Node* output);

// d output / d moved[element] by central differences, replaying the graph; everything is as before afterwards.
double lookback_numeric_gradient(lookback::Node* output, lookback::Node* moved, std::size_t element);
}
