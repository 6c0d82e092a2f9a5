#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "lookback/real.h"
#include "lookback/tensor/random.h"
#include "lookback/tensor/where.h"

namespace lookback {

struct Node;

using Shape = std::vector<int>;    // sizes, outermost first; {} is a scalar

std::string to_string(const Shape& shape);    // "(32, 128)"
std::size_t element_count(const Shape& shape);

// A multidimensional array of reals that remembers how it was made. A Tensor is a cheap handle: copies share one Node
// (node.h), which holds the row-major data, the gradient of the same layout, and the op and inputs that made it.
//
//     Tensor w = Tensor({2, 3}, {1, 2, 3, 4, 5, 6}).requires_grad();
//     backward(sum(w * w));
//     w.grad()[0];                                  // 2
//
// Everything that takes tensors throws std::invalid_argument, with the sizes and the line, where these do not fit, are negative,
// or make more than 2^31 - 1 elements; and, without the line, for an empty handle.
class Tensor {
  public:
    Tensor() = default;                                                               // no tensor: converts to false
    explicit Tensor(Shape shape, Where where = Where::current());                     // a leaf of zeros
    Tensor(Shape shape, std::vector<real> values, Where where = Where::current());    // a leaf; sizes must agree
    Tensor(const Tensor& other);
    Tensor(Tensor&& other) noexcept : node(std::exchange(other.node, nullptr)) {}
    Tensor& operator=(Tensor other) noexcept {
        std::swap(node, other.node);
        return *this;
    }
    ~Tensor();

    static Tensor scalar(real value, Where where = Where::current());
    static Tensor uniform(Shape shape, double low, double high, Random& random, Where where = Where::current());
    static Tensor normal(Shape shape, double deviation, Random& random, Where where = Where::current());

    explicit operator bool() const { return node != nullptr; }

    const Shape& shape() const;
    int rank() const;
    int size(int dim, Where where = Where::current()) const;    // size of one dimension; negative counts from the last
    std::size_t size() const;                                   // number of elements
    real* data() const;
    real* grad() const;                                 // null until a backward pass, or zero_grad, has reached this tensor
    real item(Where where = Where::current()) const;    // the only element; std::invalid_argument if there are more
    std::vector<real> values() const;                   // a copy: Tensor(x.shape(), x.values()) is x without the graph behind it

    Tensor& requires_grad();            // for leaves: backward will leave dLoss/dThis in grad(); what was computed becomes one
    Tensor& named(std::string name);    // for messages, pictures and the debugger
    void zero_grad();

    Node* node = nullptr;
};

// dLoss/dx for every x behind `loss` that requires a gradient, left in x.grad(). The chain rule, newest node first, with no
// recursion. Gradients of leaves add up until zero_grad; those of other nodes start afresh at each call.
// The loss must be a scalar: its own gradient is 1. With Graph::release each tensor that nobody else holds is freed as soon as
// its gradient has been passed on, so that training needs half the memory; the graph cannot be walked again.
// std::invalid_argument for a loss that is not one number, or behind which nothing requires a gradient, or a graph was released.
enum class Graph { keep, release };
void backward(const Tensor& loss, Graph graph = Graph::keep, Where where = Where::current());

// Every op's backward pass goes through this one gate: break here to stop at each of them.
[[gnu::noinline]] void run_backward_of(Node& node);

// The nodes behind `output` that require a gradient, each after its inputs: what backward() visits, from the last to the first.
std::vector<Node*> graph_of(const Tensor& output);
std::vector<Node*> graph_of(Tensor&&) = delete;    // the nodes would be gone

// If the value of `output` or of anything behind it is NaN or inf: one line that names the op (or the leaf) that made the
// first one, and where in the program it stands. Empty if all is finite.
std::string explain_not_finite(const Tensor& output);

// Another leaf on the same data with a gradient of its own, if the first wants one: what a shard of a batch trains on.
Tensor shared_weights(const Tensor& parameter);

// While one is alive, this thread records no graph: values are computed, memory is given back at once.
struct NoGrad {
    [[nodiscard]] NoGrad();
    ~NoGrad();
    NoGrad(const NoGrad&) = delete;
    NoGrad& operator=(const NoGrad&) = delete;

  private:
    bool before;
};

// While one is alive, this thread records no graph and no weight may change: what is computed of weights alone is kept, such as the
// copy of one that a product of few rows would otherwise spend most of its time on. Same bits, several times as fast for one sentence.
struct Frozen {
    [[nodiscard]] Frozen();
    ~Frozen();

  private:
    NoGrad no_grad;
    bool outermost;
};

// Node ids of this thread start at #1 again, so that #5 is the same op in every training step. zero_grad(model) calls it.
void restart_node_ids();

}    // namespace lookback
