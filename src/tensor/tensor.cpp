#include "lookback/tensor/tensor.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>
#include <stdexcept>

#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#endif

#include "kernels/kernels.h"
#include "lookback/tensor/node.h"
#include "lookback/tensor/scope.h"
#include "tensor/memory.h"
#include "tensor/watch.h"
#include "tensor/weight_product.h"

namespace lookback {

namespace {

struct Leaf final : Node {};

thread_local bool recording = true;
thread_local int next_id = 1;
thread_local std::uint64_t next_serial = 1;

// Ops count elements with int.
std::size_t size_of(const Shape& shape, const Where& where) {
    for (const int size : shape)
        if (size < 0) reject(fmt::format("tensor: a size is negative: {}", to_string(shape)), where);
    double count = 1;    // exact where it matters, and nothing overflows
    for (const int size : shape) count *= size;
    if (count > std::numeric_limits<int>::max())
        reject(fmt::format("tensor: {} has {:.3g} elements, and at most 2^31 - 1 are counted", to_string(shape), count), where);
    return element_count(shape);
}

Tensor make_leaf(Shape shape, const Where& where) {
    Tensor leaf;
    leaf.node = new Leaf;
    leaf.node->references = 1;
    leaf.node->size = size_of(shape, where);
    leaf.node->shape = std::move(shape);
    leaf.node->where = where;
    leaf.node->data = acquire_buffer(leaf.node->size);
    return leaf;
}

}    // namespace

std::string to_string(const Where& where) {
    // Meson compiles with paths such as ../../tutorials/00_tour.cpp, or /x/.build/release/../../src/nn/layers.cpp.
    std::string_view file = where.file;
    while (file.starts_with("../")) file.remove_prefix(3);
    if (const std::size_t at = file.rfind("/../"); at != file.npos) file.remove_prefix(at + 4);
    return fmt::format("{}:{}", file, where.line);
}

std::string to_string(const Shape& shape) { return fmt::format("({})", fmt::join(shape, ", ")); }

std::size_t element_count(const Shape& shape) {
    std::size_t count = 1;
    for (const int size : shape) count *= static_cast<std::size_t>(size);
    return count;
}

Tensor::Tensor(Shape shape, Where where) : Tensor(make_leaf(std::move(shape), where)) {
    std::fill_n(node->data, node->size, real(0));
}

Tensor::Tensor(Shape shape, std::vector<real> values, Where where) : Tensor(make_leaf(std::move(shape), where)) {
    if (values.size() != node->size)
        reject(fmt::format("tensor: {} values do not fill the shape {}", values.size(), to_string(node->shape)), where);
    std::copy(values.begin(), values.end(), node->data);
}

namespace {

// A program of one thread counts without atomic operations, as std::shared_ptr does: they take 5 ns for each handle.
bool is_only_thread() {
#if __has_include(<sys/single_threaded.h>)
    return __libc_single_threaded;
#else
    return false;
#endif
}

// What `references` was before.
int change_references(Node& node, int by) {
    if (!is_only_thread()) return node.references.fetch_add(by, std::memory_order_acq_rel);
    const int before = node.references.load(std::memory_order_relaxed);
    node.references.store(before + by, std::memory_order_relaxed);
    return before;
}

}    // namespace

Tensor::Tensor(const Tensor& other) : node(other.node) {
    if (node) change_references(*node, 1);
}

// Freeing a node frees the handles on its inputs, and so on down the graph. Dead nodes are chained and taken one at a time,
// because a graph may be a million nodes deep and a stack is not.
Tensor::~Tensor() {
    if (!node || change_references(*node, -1) != 1) return;
    Node* dead = std::exchange(node, nullptr);
    while (dead) {
        Node* current = dead;
        dead = current->next_dead;
        for (Tensor& input : current->inputs) {
            Node* below = std::exchange(input.node, nullptr);
            if (below && change_references(*below, -1) == 1) {
                below->next_dead = dead;
                dead = below;
            }
        }
        delete current;
    }
}

Node::Node() { enter(*this); }

Node::~Node() {
    leave(*this);
    release_buffer(data);
    release_buffer(grad);
}

Tensor Tensor::scalar(real value, Where where) { return Tensor({}, {value}, where); }

Tensor Tensor::uniform(Shape shape, double low, double high, Random& random, Where where) {
    Tensor x = make_leaf(std::move(shape), where);
    for (std::size_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<real>(low + (high - low) * random.uniform());
    return x;
}

Tensor Tensor::normal(Shape shape, double deviation, Random& random, Where where) {
    Tensor x = make_leaf(std::move(shape), where);
    for (std::size_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<real>(deviation * random.normal());
    return x;
}

[[noreturn, gnu::cold, gnu::noinline]] static void reject_empty() {
    throw std::invalid_argument("this tensor is empty: was a module made without its sizes, or a variable never set?");
}

// The node, or an error instead of a segmentation fault.
static Node& there(const Tensor& x) {
    if (!x.node) [[unlikely]]
        reject_empty();
    return *x.node;
}

const Shape& Tensor::shape() const { return there(*this).shape; }
int Tensor::rank() const { return static_cast<int>(shape().size()); }
std::size_t Tensor::size() const { return there(*this).size; }
real* Tensor::data() const { return there(*this).data; }
real* Tensor::grad() const { return there(*this).grad; }

int Tensor::size(int dim, Where where) const { return shape()[checked_dim("size", *this, dim, where)]; }

real Tensor::item(Where where) const {
    if (size() != 1) reject(fmt::format("item: {} is not one number; take sum() or mean() first", to_string(shape())), where);
    return data()[0];
}

std::vector<real> Tensor::values() const { return std::vector<real>(data(), data() + size()); }

Tensor& Tensor::requires_grad() {
    if (there(*this).id != 0 && node->inputs.empty()) {    // computed without a graph: a leaf from here on
        Tensor leaf(shape(), values(), node->where);
        *this = leaf.named(node->name);
    }
    node->requires_grad = true;
    return *this;
}

Tensor& Tensor::named(std::string name) {
    there(*this).name = std::move(name);
    return *this;
}

void Tensor::zero_grad() { there(*this).zero_grad(); }

void Node::zero_grad() {
    start_grad();
    fill_grad();
}

void Node::start_grad() {
    if (!grad) grad = acquire_buffer(size);
    grad_is_unset = true;
    grad_rows = nullptr;
}

void Node::fill_grad() {
    if (!grad_is_unset || grad_rows) return;    // and leave it alone: other threads may be reading a leaf that is not trained
    std::fill_n(grad, size, real(0));
    grad_is_unset = false;
}

void Node::free_grad() {
    release_buffer(std::exchange(grad, nullptr));
    grad_is_unset = false;
    grad_rows = nullptr;
}

real* Node::grad_of(std::size_t input) const {
    Node* node = inputs[input].node;
    return node->requires_grad ? node->growing_grad(std::numeric_limits<int>::max()).data : nullptr;
}

Node::Growing Node::growing_grad_of(std::size_t input, int width) const {
    Node* node = inputs[input].node;
    return node->requires_grad ? node->growing_grad(width) : Growing{nullptr, nullptr};
}

Node::Growing Node::growing_grad(int width) {
    finish_grad();
    if (grad_is_unset && width <= static_cast<int>(std::size(few_zeros))) {
        grad_is_unset = false;
        return {grad, few_zeros};
    }
    fill_grad();
    return {grad, nullptr};
}

void Node::add_to_grad_of(std::size_t input, const real* dx) const {
    Node* node = inputs[input].node;
    if (!node->requires_grad) return;
    node->finish_grad();
    if (std::exchange(node->grad_is_unset, false))
        kernels::shift(node->size, 0, dx, node->grad);    // 0 + dx, which makes 0 of -0
    else
        kernels::accumulate(node->size, dx, node->grad);
}

Tensor record(Node* node, const char* op, Shape shape, Inputs inputs, const Where& where) {
    Tensor output;
    output.node = node;
    node->references = 1;
    node->op = op;
    node->id = next_id++;
    // Above those of its inputs, which another thread may have made.
    for (const Tensor& input : inputs.tensors) next_serial = std::max(next_serial, there(input).serial + 1);
    node->serial = next_serial++;
    node->where = where;
    node->scope = Scope::current();
    node->callers = callers_of_record();
    node->size = size_of(shape, where);
    node->shape = std::move(shape);
    node->data = acquire_buffer(node->size);
    node->inputs = std::move(inputs.tensors);
    node->requires_grad =
        recording && std::ranges::any_of(node->inputs, [](const Tensor& input) { return input.node->requires_grad; });
    node->forward();
    if (watched()) [[unlikely]]
        watch_forward(*node);
    if (!node->requires_grad) node->inputs.clear();
    return output;
}

Tensor shared_weights(const Tensor& parameter) {
    struct SharedLeaf final : Node {
        Tensor owner;
        ~SharedLeaf() override { data = nullptr; }    // the owner frees it
    };
    const Shape& shape = parameter.shape();    // of an empty one an error, before there is a node
    auto* node = new SharedLeaf;
    node->owner = parameter;
    node->references = 1;
    node->shape = shape;
    node->size = parameter.size();
    node->data = parameter.data();
    node->name = parameter.node->name;
    node->where = parameter.node->where;
    node->requires_grad = parameter.node->requires_grad;
    Tensor shared;
    shared.node = node;
    return shared;
}

void reject(const std::string& message, const Where& where) {
    const std::string_view scope = Scope::current();
    throw std::invalid_argument(fmt::format("{} [{}{}{}]", message, to_string(where), scope.empty() ? "" : " in ", scope));
}

std::string label(const Node& node) {
    if (!node.name.empty()) return fmt::format("{} {}", node.name, to_string(node.shape));
    if (node.id == 0) return fmt::format("leaf {}", to_string(node.shape));
    return fmt::format("#{} {} {}", node.id, node.op, to_string(node.shape));
}

int checked_dim(const char* op, const Tensor& x, int dim, const Where& where) {
    const int index = dim < 0 ? dim + x.rank() : dim;
    if (index < 0 || index >= x.rank())
        reject(fmt::format("{}: no dimension {} in the shape {}", op, dim, to_string(x.shape())), where);
    return index;
}

NoGrad::NoGrad() : before(std::exchange(recording, false)) {}
NoGrad::~NoGrad() { recording = before; }

void restart_node_ids() { next_id = 1; }

}    // namespace lookback
