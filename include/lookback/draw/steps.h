#pragma once

#include <filesystem>

#include "lookback/tensor/tensor.h"

// The graph behind a loss, for those without a debugger: as a page to step through, and as a picture.
namespace lookback {

// One HTML file that needs no other: arrow keys step through the graph behind the loss, forward and then backward. Each step
// shows the line that made the op, its equation, values, the gradient that arrives and what the op adds to its inputs'.
// Call it after the loss and before the optimiser: the forward values are those that stand in the graph. The backward pass is run
// for the page, from gradients of zero; the gradients that stood in the graph stand in it again afterwards.
// std::invalid_argument where backward() refuses the loss, and beyond 1,000 tensors; BadInput where the file cannot be written.
void write_steps(const Tensor& loss, const std::filesystem::path& path, Where where = Where::current());

// The graph in Graphviz's language: `dot -Tsvg graph.dot -o graph.svg`. Of each tensor name, op and shape, the norms of its value
// and, where a backward pass has been, of its gradient, and the line that made it. std::invalid_argument where no graph is kept.
void write_graph(const Tensor& output, const std::filesystem::path& path, Where where = Where::current());

}    // namespace lookback
