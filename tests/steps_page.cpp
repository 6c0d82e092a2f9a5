// Does the page of write_steps show what backward() computes? steps_page.sh has a browser go through it.
//
//     steps_page FOLDER            writes two pages, each with a script that presses the arrow keys and reports what it reads
//     steps_page FOLDER check      compares the reports, NAME.report, with the gradients that backward() leaves
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "lookback/draw/steps.h"
#include "lookback/models/translator.h"
#include "lookback/ops/elementwise.h"
#include "lookback/ops/lookup.h"
#include "lookback/ops/matmul.h"
#include "lookback/ops/shape.h"
#include "lookback/program/file.h"
#include "lookback/tensor/node.h"

using namespace lookback;

namespace {

// Goes through the whole page by keys, there and back. A line of the report is `step|label|row column|text` for each cell of each
// gradient on the way back and at the end; `bad|...` is something that should not be.
constexpr std::string_view script = R"script(<script>
{
  const lines = [], bad = text => lines.push("bad|" + text);
  addEventListener("error", event => bad(event.message));
  const press = key => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true}));
  const text = () => document.getElementById("step").innerText + document.getElementById("graph").innerText;
  const slider = document.getElementById("slider"), last = +slider.max, seen = [text()], visited = new Set(seen);
  const report = () => {
    const isEnd = document.getElementById("phase").textContent === "End";
    if (!isEnd && !document.getElementById("phase").textContent.startsWith("Backward")) return;
    for (const card of document.querySelectorAll(".card")) {
      const figure = [...card.querySelectorAll("figure")].find(figure => figure.textContent.startsWith("gradient"));
      for (const cell of figure ? figure.querySelectorAll("td[data-place]") : [])
        lines.push([slider.value, card.dataset.label, cell.dataset.place, cell.textContent.replace(" changed", "")].join("|"));
    }
  };
  for (let i = 1; i <= last; ++i) {
    if (i === 5) slider.focus();  // where the arrow keys are the slider's own
    press("ArrowRight");
    if (+slider.value !== i) bad(`the slider stands at ${slider.value} after ${i} keys`);
    const current = document.querySelectorAll("ol > li > button[aria-current=step]");
    if (current.length !== (i === last ? 0 : 1)) bad(`${current.length} rows of the list are the current one at ${i}`);
    if (i < last && !document.querySelector("[role=status]").innerText.includes(current[0].ariaLabel.split(",")[0].split(" (")[0]))
      bad(`a screen reader is not told of ${current[0].ariaLabel} at ${i}`);
    seen.push(text());
    visited.add(text());
    report();
  }
  for (const number of document.querySelectorAll(".row .number"))
    if (number.scrollHeight > number.parentElement.clientHeight) bad(`${number.textContent} is broken into lines`);
  if (visited.size !== last + 1) bad(`${last + 1} steps show ${visited.size} different texts`);
  press("ArrowRight");
  if (+slider.value !== last) bad("a key leads beyond the end");
  for (let i = last - 1; i >= 0; --i) {
    press("ArrowLeft");
    if (text() !== seen[i]) bad(`step ${i} looks different on the way back`);
  }
  press("ArrowLeft");
  press("End");
  if (+slider.value !== last) bad("End does not lead to the end");
  press("b");
  if (text() !== seen[last / 2]) bad("b does not lead to where backward begins");
  press("Home");
  if (text() !== seen[0]) bad("Home does not lead to the start");
  slider.value = 3;
  slider.dispatchEvent(new Event("input"));
  if (text() !== seen[3]) bad("the slider does not lead to step 3");
  if (document.documentElement.scrollWidth > innerWidth) bad("the page is wider than the window");
  lines.push(`end|${last}`);
  document.body.replaceChildren(...lines.map(line => { const p = document.createElement("p"); p.textContent = "report " + line; return p; }));
}
</script>
)script";

// A net of two layers in which everything is small enough to be shown in full, and one tensor is used twice.
Tensor small_loss() {
    Random random(1);
    Tensor w1 = Tensor::normal({3, 4}, 1, random).requires_grad().named("w1");
    Tensor b1 = Tensor::normal({4}, 1, random).requires_grad().named("b1");
    Tensor w2 = Tensor::normal({4, 3}, 1, random).requires_grad().named("w2");
    const Tensor x = Tensor::normal({2, 3}, 1, random).named("x");
    const Tensor h = tanh(matmul(x, w1) + b1);
    return cross_entropy(matmul(h * h, w2), {{2}, {1, 0}});
}

// A translator and one sentence, as in 00_tour.
Tensor sentence_loss() {
    Random random(1);
    AttentionTranslator model(20, 30, random, 8, 12, 10);
    parameters_of(model);    // names them
    const std::vector<Example> example{{{4, 5, 6, 2}, {7, 8, 9}}};
    const Batch batch = batches_in_order(example, 1)[0];
    const Tensor tiny = Tensor({2}, {1.2345e-5f, 0}).requires_grad().named("tiny");    // its norm fills its column
    return cross_entropy(model(batch), batch.target_out) + sum(tiny);
}

// What the page shows at a step, of tensors that are shown in full.
struct Shown {
    std::map<std::string, std::vector<real>> gradients;    // of all tensors, by label
    std::size_t numbers = 0;                               // those of the tensors with a card

    void card(const Node& node) { numbers += node.requires_grad ? node.size : 0; }
};

Shown gradients_of(const std::vector<Node*>& nodes) {
    Shown shown;
    for (const Node* node : nodes) shown.gradients[label(*node)].assign(node->grad, node->grad + node->size);
    return shown;
}

// The way back, by the page's steps. The gradients of the last one are what backward() leaves.
std::map<int, Shown> expected_steps(const Tensor& loss) {
    backward(loss);
    const std::vector<Node*> nodes = graph_of(loss);
    Shown end = gradients_of(nodes);
    int step = 1 + static_cast<int>(std::ranges::count_if(nodes, [](const Node* node) { return !node->inputs.empty(); }));
    for (Node* node : nodes) node->zero_grad();
    loss.grad()[0] = 1;
    std::map<int, Shown> expected;
    for (auto node = nodes.rbegin(); node != nodes.rend(); ++node) {
        if ((*node)->inputs.empty()) {
            end.card(**node);
            continue;
        }
        run_backward_of(**node);
        Shown& shown = expected[++step] = gradients_of(nodes);
        std::set<const Node*> cards{*node};
        for (const Tensor& input : (*node)->inputs) cards.insert(input.node);
        for (const Node* card : cards) shown.card(*card);
    }
    expected[++step] = end;
    return expected;
}

// Compares a report with them. The number of failures.
int check(const std::string& name, const Tensor& loss, const std::filesystem::path& folder) {
    const std::map<int, Shown> expected = expected_steps(loss);
    const int last = expected.rbegin()->first;
    int failed = 0;
    std::size_t compared = 0, shown = 0;
    const auto fail = [&](const std::string& what) {
        fmt::print("{}: {}\n", name, what);
        ++failed;
    };
    std::ifstream in(folder / (name + ".report"));
    std::set<std::string> tensors;
    bool is_complete = false;
    for (std::string line; std::getline(in, line);) {
        std::vector<std::string> parts;
        std::istringstream fields(line);
        for (std::string part; std::getline(fields, part, '|');) parts.push_back(part);
        if (line == fmt::format("end|{}", last)) {
            is_complete = true;
            continue;
        }
        if (parts.size() != 4) {
            fail(line);
            continue;
        }
        const int step = std::stoi(parts[0]);
        const std::vector<real>& gradient = expected.at(step).gradients.at(parts[1]);
        const std::string shape = parts[1].substr(parts[1].rfind('(') + 1);    // "2, 3)"
        const std::size_t comma = shape.rfind(' '),
                          columns = std::strtoul(shape.c_str() + (comma == shape.npos ? 0 : comma), nullptr, 10);
        std::size_t row, column;
        std::istringstream(parts[2]) >> row >> column;
        const std::string real_one = fmt::format("{:.4g}", gradient.at(row * columns + column));
        if (parts[3] != real_one) fail(fmt::format("{}, but it is {}", line, real_one));
        tensors.insert(parts[1]);
        ++compared;
    }
    if (!is_complete) fail("the browser did not go through all steps");
    for (const auto& [step, what] : expected) shown += what.numbers;
    if (name == "small" && compared != shown) fail(fmt::format("{} of {} numbers were shown", compared, shown));
    const std::size_t all = expected.at(last).gradients.size();
    if (tensors.size() != all) fail(fmt::format("{} of {} tensors were shown", tensors.size(), all));
    fmt::print("{}: {} numbers of {} tensors compared\n", name, compared, tensors.size());
    return failed;
}

}    // namespace

int main(int argc, char** argv) {
    const std::filesystem::path folder = argv[1];
    int failed = 0;
    for (const auto& [name, loss_of] : {std::pair("small", &small_loss), std::pair("sentence", &sentence_loss)}) {
        restart_node_ids();
        const Tensor loss = loss_of();
        if (argc > 2) {
            failed += check(name, loss, folder) > 0;
            continue;
        }
        const std::filesystem::path page = folder / fmt::format("{}.html", name);
        write_steps(loss, page);
        write_file(page, read_file(page) + std::string(script));
    }
    if (argc > 2) fmt::print("{} passed, {} failed\n", 2 - failed, failed);
    return failed > 0;
}
