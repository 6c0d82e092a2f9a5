#pragma once

#include <atomic>
#include <concepts>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lookback/tensor/tensor.h"

namespace lookback {

// A value and the op that made it. Each op is one subclass, whose forward() and backward() stand side by side under their
// equation and whose members are what the chain rule must remember:
//
//     // y = tanh x                     dx = dy (1 - y^2)
//     struct Tanh final : Node {
//         void forward() override;      // computes data from the inputs alone, and can run again
//         void backward() override;     // ADDS to the inputs' gradients: a value may be used twice
//     };
//     Tensor tanh(const Tensor& x, Where where) { return record(new op::Tanh, "tanh", x.shape(), {x}, where); }
struct Node {
    const char* op = "leaf";
    int id = 0;                // "#5": ops count from 1 in each step; leaves are #0
    Where where;               // the line that made it
    const char* scope = "";    // the part of the model that made it (scope.h)
    Shape shape;
    std::size_t size = 0;    // number of elements
    real* data = nullptr;    // row-major
    real* grad = nullptr;    // dLoss/dThis, same layout; stays where it is
    bool requires_grad = false;
    bool grad_is_unset = false;                    // nothing was added to grad yet, and its zeros are not written
    std::unique_ptr<struct GradRows> grad_rows;    // of a weight, gathered by backward() and not added to grad yet
    std::string name;
    std::vector<Tensor> inputs;    // empty for leaves, and where no gradient is needed

    virtual void forward() {}
    virtual void backward() {}

    // The gradient of one input to add to, or null where nobody asked for it.
    real* grad_of(std::size_t input) const;

    // The same for an op that adds to each element once, row by row. A row of this width starts from `start`: zeros if the op is the
    // first to add to this gradient, and otherwise null, which means from what is there.
    struct Growing {
        real* data;
        const real* start;
    };
    Growing growing_grad_of(std::size_t input, int width) const;
    Growing growing_grad(int width);    // of this node itself

    void add_to_grad_of(std::size_t input, const real* dx) const;    // all elements; nothing where nobody asked for it

    void zero_grad();      // allocates grad at the first call; its address stays until free_grad()
    void start_grad();     // the same, but zeros are written only if the first op to add must read them,
    void fill_grad();      // by this
    void finish_grad();    // adds what is gathered
    void free_grad();

    Node();
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;
    virtual ~Node();

    std::uint64_t serial = 0;     // order of creation in this thread, and above its inputs': backward runs from high to low
    std::uint64_t visit = 0;      // the last walk over the graph that has seen this node
    Node* next_dead = nullptr;    // the chain by which a graph is freed without recursion
    std::atomic<int> references = 0;

    // For the debugger (debugger.h): the functions that called the op, and the neighbours in a chain of nodes that are alive.
    void** callers = nullptr;
    Node *older = nullptr, *newer = nullptr;
    int chain = 0;
};

// What an op is given: {x, weight, bias}, or a vector. (A handle is copied once; a vector's own {...} would copy it twice.)
struct Inputs {
    template <std::same_as<Tensor>... T>
    Inputs(const T&... input) {
        tensors.reserve(sizeof...(input));
        (tensors.push_back(input), ...);
    }
    Inputs(std::vector<Tensor> all) : tensors(std::move(all)) {}

    std::vector<Tensor> tensors;
};

// Takes a new op over: gives it shape, buffers and number, runs forward(), and keeps the inputs if a gradient will be wanted.
Tensor record(Node* node, const char* op, Shape shape, Inputs inputs, const Where& where);

// Throws std::invalid_argument: "matmul: inner sizes differ: ... [tutorials/06_fixed_vector.cpp:88]", with the scope, if there is one.
[[noreturn]] void reject(const std::string& message, const Where& where);

// "#13 softmax (4, 2)" or "weight_ih (384, 64)": how messages and pictures call a node.
std::string label(const Node& node);

// A dimension counted from the end if negative, checked against the rank.
int checked_dim(const char* op, const Tensor& x, int dim, const Where& where);

}    // namespace lookback
