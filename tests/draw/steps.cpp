#include "lookback/draw/steps.h"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <unistd.h>

#include <limits>

#include "lookback/ops/elementwise.h"
#include "lookback/ops/lookup.h"
#include "lookback/ops/matmul.h"
#include "lookback/ops/shape.h"
#include "lookback/program/error.h"
#include "lookback/program/file.h"
#include "lookback/tensor/debugger.h"
#include "lookback/tensor/node.h"

using namespace lookback;
using Values = std::vector<real>;

namespace op {

// y = x^3                  dx = dy 3 x^2
struct Cube final : Node {
    void forward() override {
        const real* x = inputs[0].data();
        for (std::size_t i = 0; i < size; ++i) data[i] = x[i] * x[i] * x[i];
    }
    void backward() override {
        const real* x = inputs[0].data();
        for (std::size_t i = 0; i < size; ++i) grad_of(0)[i] += grad[i] * 3 * x[i] * x[i];
    }
};

}    // namespace op

namespace {

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// What `write` writes into a file.
template <typename Write>
std::string written(Write write) {
    const std::filesystem::path path = std::filesystem::temp_directory_path() / fmt::format("lookback-steps-test-{}", getpid());
    write(path);
    std::string text = read_file(path);
    std::filesystem::remove(path);
    return text;
}

std::string steps(const Tensor& loss) {
    return written([&](const auto& path) { write_steps(loss, path); });
}

std::string graph(const Tensor& output) {
    return written([&](const auto& path) { write_graph(output, path); });
}

template <typename Action>
std::string error_of(Action action) {
    try {
        action();
    } catch (const std::invalid_argument& error) {
        return error.what();
    }
    return "(no error)";
}

// The numbers that the page has of a tensor.
std::string entry(const std::string& page, const std::string& label) {
    const std::size_t begin = page.find("{\"label\":\"" + label);
    REQUIRE(begin != std::string::npos);
    return page.substr(begin, page.find("]}", begin) - begin);
}

}    // namespace

TEST_CASE("a gradient that two ops add to is recorded after each, with what it held and which elements changed") {
    restart_node_ids();
    Tensor w = Tensor({3}, {1, -2, 0.5}).requires_grad().named("w");
    const Tensor square = w * w, positive = relu(w);
    const std::string page = steps(sum(square + positive));
    // Ops: #1 multiply, #2 relu, #3 add, #4 sum: forward in steps 1 to 4, the loss's own gradient in 5, backward in 6 to 9.
    CHECK(has(entry(page, "w (3)"),
              "\"cells\":\"1 -2 0.5\"},\n\"gradients\":["
              "{\"at\":8,\"changed\":2,\"marks\":\"101\",\"added\":\"1.414\",\"norm\":\"1.414\",\"low\":\"0\","
              "\"high\":\"1\",\"cells\":\"1 0 1\"},\n"
              "{\"at\":9,\"changed\":3,\"marks\":\"111\",\"added\":\"4.583\",\"norm\":\"5.385\",\"low\":\"-4\","
              "\"high\":\"3\",\"cells\":\"3 -4 2\"}"));
    CHECK(has(entry(page, "#4 sum ()"),
              "{\"at\":5,\"changed\":1,\"marks\":\"1\",\"added\":\"1\",\"norm\":\"1\",\"low\":\"1\","
              "\"high\":\"1\",\"cells\":\"1\"}"));
}

TEST_CASE("writing the steps leaves all gradients as they were") {
    Tensor used = Tensor({2}, {3, 4}).requires_grad(), unused = Tensor({2}, {1, 1}).requires_grad();
    backward(sum(used));
    const real* address = used.grad();
    const Tensor product = used * unused, loss = sum(product);
    const std::string page = steps(loss);
    CHECK(used.grad() == address);
    CHECK(Values(used.grad(), used.grad() + 2) == Values{1, 1});
    CHECK(unused.grad() == nullptr);
    CHECK(product.grad() == nullptr);
    CHECK(steps(loss) == page);
    backward(loss);
    CHECK(Values(used.grad(), used.grad() + 2) == Values{2, 2});
}

TEST_CASE("each op comes with its statement, its equations and its function, a reader's own op too") {
    Tensor x = Tensor({2}, {1, 2}).requires_grad();
    const Tensor y = tanh(x);
    const int line = __LINE__ - 1;
    const Tensor cube = record(new ::op::Cube, "a name so long that this statement needs a second line, on which its end stands",
                               {2}, {y}, Where::current());
    const std::string page = steps(sum(cube));
    CHECK(has(page, fmt::format("\"where\":\"tests/draw/steps.cpp:{}\",\"code\":\"const Tensor y = tanh(x);\"", line)));
    CHECK(has(page, R"~("struct":"lookback::op::Tanh","equations":["y = tanh x","dx = dy (1 - y^2)"])~"));
    CHECK(has(page, R"~(its end stands\",\u000a    {2}, {y}, Where::current());","struct":"op::Cube",)~"));
    CHECK(has(page, R"~("equations":["y = x^3","dx = dy 3 x^2"])~"));
}

TEST_CASE("of a source file that is not there only the name and the line are said") {
    Tensor x = Tensor({2}, {1, 2}).requires_grad();
    const std::string page = steps(sum(tanh(x, Where::current("/nowhere/program.cpp", "main", 7))));
    CHECK(has(page, "\"where\":\"/nowhere/program.cpp:7\",\"code\":\"\",\"struct\":\"lookback::op::Tanh\""));
    Where beyond = Where::current();
    beyond.line = 1'000'000;
    CHECK(has(steps(sum(tanh(x, beyond))), "tests/draw/steps.cpp:1000000\",\"code\":\"\""));
}

TEST_CASE("of a large tensor a corner is written in numbers, of the rows that receive a gradient, and a picture of all") {
    Values table(200 * 60);
    for (std::size_t i = 0; i < table.size(); ++i) table[i] = static_cast<real>(i);
    const Tensor weight = Tensor({200, 60}, table).requires_grad().named("table");
    const std::string text = entry(steps(sum(embedding({{3}, {7, 150, 7}}, weight))), "table (200, 60)");
    CHECK(has(text, "\"rows\":200,\"columns\":60,\"shownRows\":[7,150],\"shownColumns\":4"));
    CHECK(has(text, "\"cells\":\"420 421 422 423 9000 9001 9002 9003\""));
    CHECK(has(text, "\"changed\":120,\"marks\":\"11111111\""));
    CHECK(has(text, "\"cells\":\"2 2 2 2 1 1 1 1\",\"picture\":\"" + std::string(48, 'Z') + std::string(17 * 48, '.') +
                        std::string(48, 'M') + std::string(5 * 48, '.') + "\""));
}

TEST_CASE("tensors of no elements and of rank 0 are drawn") {
    Tensor empty = Tensor({3, 0}).requires_grad().named("empty"), one = Tensor::scalar(2).requires_grad();
    const std::string page = steps(sum(empty) + one);
    CHECK(has(entry(page, "empty (3, 0)"), "\"size\":0,\"shape\":[3,0],\"rows\":0"));
    CHECK(has(entry(page, "leaf ()"), "\"cells\":\"2\""));
    CHECK(empty.grad() == nullptr);
}

TEST_CASE("NaN and inf are counted and marked, and do not hide the other numbers") {
    const Unchecked unchecked;
    const real nan = std::numeric_limits<real>::quiet_NaN(), inf = std::numeric_limits<real>::infinity();
    Tensor x = Tensor({8}, {nan, -inf, 1, -2, 0, 1, 1, 1}).requires_grad().named("x");
    const std::string text = entry(steps(sum(x * Tensor({8}))), "x (8)");
    CHECK(has(text, "\"low\":\"-2\",\"high\":\"1\",\"cells\":\"nan -inf 1 -2\",\"notFinite\":2,\"picture\":\"!!Mz.MMM\""));
}

TEST_CASE("a name cannot end the page's script") {
    Tensor x = Tensor({1}, {1}).requires_grad().named("</script>\"<!--");
    const std::string page = steps(sum(x));
    CHECK(has(page, "\"\\u003c/script>\\\"\\u003c!-- (1)\""));
    CHECK_FALSE(has(page, "</script>\\\""));
}

TEST_CASE("a page loads nothing, and knows dark screens and narrow ones") {
    Tensor x = Tensor({1}, {1}).requires_grad();
    const std::string page = steps(sum(x));
    for (const char* loader : {"http://", "https://", "src=", "href=", "@import", "url("}) {
        const std::size_t found = page.find(loader);
        CHECK_MESSAGE(found == std::string::npos, loader);
    }
    CHECK(has(page, "prefers-color-scheme: dark"));
    CHECK(has(page, "@media (max-width"));
    CHECK(page.starts_with("<!doctype html>"));
}

TEST_CASE("what has no steps is refused in backward's words, and a graph beyond 1,000 tensors") {
    Tensor x = Tensor({2}, {1, 2}).requires_grad();
    const auto refusal = [](const Tensor& loss) { return error_of([&] { write_steps(loss, "/nowhere/steps.html"); }); };
    CHECK(has(refusal(x * x), "a loss is one number, not (2)"));
    CHECK(has(refusal(sum(Tensor({2}))), "nothing behind this loss requires a gradient"));
    const Tensor released = sum(x);
    backward(released, Graph::release);
    CHECK(has(refusal(released), "was released"));
    Tensor y = sum(x);
    for (int i = 0; i < 999; ++i) y = -y;
    CHECK(has(refusal(y), "write_steps: 1001 tensors stand behind this loss, and a page shows 1000"));
    CHECK(has(refusal(y), "[tests/draw/steps.cpp:"));
    CHECK_THROWS_WITH_AS(write_steps(sum(x), "/nowhere/steps.html"), doctest::Contains("/nowhere/steps.html"), BadInput);
}

TEST_CASE("a graph for Graphviz has each tensor once, with norms, line and edges; gradient norms once there are gradients") {
    restart_node_ids();
    Tensor w = Tensor({2}, {3, -4}).requires_grad().named("the \"w\"");
    const Tensor x = Tensor({2}, {1, 2}), loss = sum(w * x).named("loss");
    const int line = __LINE__ - 1;
    const std::string before = graph(loss);
    CHECK_FALSE(has(before, "grad norm"));
    backward(loss);
    CHECK(graph(loss) ==
          fmt::format("digraph {{\n  node [shape=box, style=rounded, fontname=\"sans-serif\", fontsize=11]\n"
                      "  n0 [label=\"the \\\"w\\\" (2)\\nnorm 5, grad norm 2.236\\ntests/draw/steps.cpp:{0}\", style=filled, "
                      "fillcolor=\"#f2e6d9\"]\n"
                      "  n1 [label=\"leaf (2)\\nnorm 2.236\\ntests/draw/steps.cpp:{1}\", style=dashed]\n"
                      "  n2 [label=\"#1 multiply (2)\\nnorm 8.544, grad norm 1.414\\ntests/draw/steps.cpp:{1}\"]\n"
                      "  n0 -> n2\n  n1 -> n2\n"
                      "  n3 [label=\"loss ()\\n#2 sum\\nnorm 5, grad norm 1\\ntests/draw/steps.cpp:{1}\"]\n  n2 -> n3\n}}\n",
                      line - 1, line));
    CHECK(has(error_of([&] { write_graph(w, "/nowhere/graph.dot"); }), "write_graph: no graph is kept behind the \"w\" (2)"));
}

TEST_CASE("six rows and five columns are shown whole, of more the first five and four; also where nothing moves") {
    const auto shown = [](int rows, int columns, real factor) {
        const Tensor x = Tensor({rows, columns}).requires_grad().named("x");
        const std::string text = entry(steps(sum(x * factor)), "x (");
        const std::size_t begin = text.find("\"shownRows\"");
        return text.substr(begin, text.find(",\n", begin) - begin);
    };
    CHECK(shown(6, 5, 1) == "\"shownRows\":[0,1,2,3,4,5],\"shownColumns\":5");
    CHECK(shown(7, 6, 1) == "\"shownRows\":[0,1,2,3,4],\"shownColumns\":4");
    CHECK(shown(6, 1, 0) == "\"shownRows\":[0,1,2,3,4,5],\"shownColumns\":1");
    CHECK(shown(7, 1, 0) == "\"shownRows\":[0,1,2,3,4],\"shownColumns\":1");
}

TEST_CASE("a gradient that was NaN and stays so has not changed, and a single NaN is counted") {
    const Unchecked unchecked;
    Tensor x = Tensor({2}, {1, 1}).requires_grad().named("x");
    const Tensor nan({2}, {std::numeric_limits<real>::quiet_NaN(), 1});
    const std::string text = entry(steps(sum(x * nan + x * nan)), "x (2)");
    CHECK(has(text, "\"changed\":2,\"marks\":\"11\""));
    CHECK(has(text, "\"changed\":1,\"marks\":\"01\""));
    CHECK(has(text, "\"notFinite\":1"));
}

TEST_CASE("a graph of 1,000 tensors has a page, in which a leaf has no function") {
    Tensor x = Tensor({1}, {1}).requires_grad().named("x"), y = sum(x);
    for (int i = 0; i < 998; ++i) y = -y;
    const std::string page = steps(y);
    CHECK(has(entry(page, "x (1)"), "\"struct\":\"\""));
}

TEST_CASE("a statement is shown from its first line to its last, whichever of them the op is on") {
    const int line = __LINE__ + 1;
    const std::string words = std::string("a first line that is long enough for nothing to have a place beside it, here") +
                              std::string("and a second one of which the same can be said, and has just been, as you see") +
                              std::string("the end");
    Tensor x = Tensor({1}, {1}).requires_grad();
    for (const int of : {0, 1, 2}) {
        Where where = Where::current();
        where.line = static_cast<unsigned>(line + of);
        const std::string page = steps(sum(tanh(x, where)));
        CHECK(has(page, "\"code\":\"const std::string words = "));
        CHECK(has(page, "std::string(\\\"the end\\\");\""));
    }
}

TEST_CASE("a backslash in a name is none of Graphviz's own") {
    Tensor w = Tensor({1}, {1}).requires_grad().named("a\\b");
    CHECK(has(graph(sum(w)), "label=\"a\\\\b (1)"));
}
