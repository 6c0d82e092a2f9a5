#include "lookback/draw/steps.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>

#include "draw/node_text.h"
#include "lookback/program/file.h"
#include "program/json.h"

namespace lookback {

namespace {

// With "@data@" where the graph goes. Each file is one raw string.
constexpr std::string_view page =
#include "draw/steps_page.html"
#include "draw/steps_page.js"
    ;

constexpr std::size_t most_tensors = 1000;                        // a page of some MB, and more steps than anybody takes
constexpr std::size_t most_rows = 6, most_columns = 5;            // that are written as numbers
constexpr std::size_t picture_rows = 24, picture_columns = 48;    // of the heat map of a larger tensor

// Puts the gradients of a graph back as they were, and frees those that were not there.
class SavedGradients {
  public:
    explicit SavedGradients(const std::vector<Node*>& graph) : nodes(graph) {
        for (const Node* node : nodes) {
            gradients.emplace_back();
            if (node->grad) gradients.back().emplace(node->grad, node->grad + node->size);
        }
    }
    ~SavedGradients() {
        for (std::size_t i = 0; i < nodes.size(); ++i) {
            if (gradients[i])
                std::copy(gradients[i]->begin(), gradients[i]->end(), nodes[i]->grad);
            else
                nodes[i]->free_grad();
        }
    }
    SavedGradients(const SavedGradients&) = delete;
    SavedGradients& operator=(const SavedGradients&) = delete;

  private:
    const std::vector<Node*>& nodes;
    std::vector<std::optional<std::vector<real>>> gradients;
};

// The elements of a tensor that are written as numbers. It is seen as rows of its last dimension.
struct Window {
    std::size_t size, rows, columns;
    std::vector<std::size_t> shown;    // of the rows: the first, or the first that receive a gradient
    std::size_t shown_columns;

    explicit Window(const Node& node)
        : size(node.size),
          rows(1),
          columns(node.shape.empty() ? 1 : static_cast<std::size_t>(node.shape.back())),
          shown_columns(columns > most_columns ? most_columns - 1 : columns) {
        rows = columns == 0 ? 0 : size / columns;
        const auto is_still = [&](std::size_t row) {
            const real* dy = node.grad + row * columns;
            return std::all_of(dy, dy + columns, [](real x) { return x == 0; });
        };
        shown.resize(rows);
        std::iota(shown.begin(), shown.end(), std::size_t(0));
        if (rows <= most_rows) return;
        if (node.requires_grad) std::erase_if(shown, is_still);
        if (shown.empty()) shown = {0, 1, 2, 3, 4};
        if (shown.size() > most_rows) shown.resize(most_rows - 1);
    }
    bool is_cut() const { return shown.size() < rows || shown_columns < columns; }

    // f(index) of each element shown, row after row.
    template <class F>
    std::string each(std::string_view between, F f) const {
        std::vector<std::string> texts;
        for (const std::size_t row : shown)
            for (std::size_t column = 0; column < shown_columns; ++column) texts.push_back(f(row * columns + column));
        return fmt::format("{}", fmt::join(texts, between));
    }
};

// One letter a block of elements, that of its greatest magnitude: '.' is 0, a to z are negative, A to Z positive, ! is not finite.
std::string picture_of(const Window& window, const real* x) {
    real scale = std::numeric_limits<real>::min();
    for (std::size_t i = 0; i < window.size; ++i)
        if (std::isfinite(x[i])) scale = std::max(scale, std::abs(x[i]));
    const auto letter = [scale](real value) {
        if (!std::isfinite(value)) return '!';
        if (value == 0) return '.';
        return static_cast<char>((value < 0 ? 'a' : 'A') + static_cast<int>(25 * (std::abs(value) / scale)));
    };
    const std::size_t rows = std::min(window.rows, picture_rows), columns = std::min(window.columns, picture_columns);
    std::string letters;
    for (std::size_t row = 0; row < rows; ++row)
        for (std::size_t column = 0; column < columns; ++column) {
            real greatest = 0;
            for (std::size_t i = row * window.rows / rows; i < (row + 1) * window.rows / rows; ++i)
                for (std::size_t j = column * window.columns / columns; j < (column + 1) * window.columns / columns; ++j) {
                    const real value = x[i * window.columns + j];
                    if (std::isfinite(greatest) && !(std::abs(value) <= std::abs(greatest))) greatest = value;
                }
            letters += letter(greatest);
        }
    return letters;
}

std::string array_json(const Window& window, const real* x) {
    real low = std::numeric_limits<real>::infinity(), high = -low;
    std::size_t not_finite = 0;
    for (std::size_t i = 0; i < window.size; ++i) {
        if (!std::isfinite(x[i])) {
            ++not_finite;
            continue;
        }
        low = std::min(low, x[i]);
        high = std::max(high, x[i]);
    }
    std::string text =
        fmt::format("\"norm\":\"{}\",\"low\":\"{}\",\"high\":\"{}\",\"cells\":\"{}\"", number_text(norm(window.size, x)),
                    number_text(low), number_text(high), window.each(" ", [x](std::size_t i) { return number_text(x[i]); }));
    if (not_finite > 0) text += fmt::format(",\"notFinite\":{}", not_finite);
    if (window.is_cut()) text += fmt::format(",\"picture\":\"{}\"", picture_of(window, x));
    return text;
}

// A gradient after step `at`, and what that step has changed in it.
std::string gradient_json(const Window& window, int at, const std::vector<real>& before, const real* after) {
    std::vector<real> added(window.size);
    const auto has_changed = [&](std::size_t i) {
        return after[i] != before[i] && !(std::isnan(after[i]) && std::isnan(before[i]));
    };
    std::size_t changed = 0;
    for (std::size_t i = 0; i < window.size; ++i) {
        added[i] = after[i] - before[i];
        changed += has_changed(i);
    }
    return fmt::format("{{\"at\":{},\"changed\":{},\"marks\":\"{}\",\"added\":\"{}\",{}}}", at, changed,
                       window.each("", [&](std::size_t i) { return has_changed(i) ? "1" : "0"; }),
                       number_text(norm(window.size, added.data())), array_json(window, after));
}

std::string quoted_list(const std::vector<std::string>& texts) {
    std::vector<std::string> quoted;
    for (const std::string& text : texts) quoted.push_back(json::quoted(text));
    return fmt::format("[{}]", fmt::join(quoted, ","));
}

std::string steps_json(const Tensor& loss, const Where& where) {
    const std::vector<Node*> nodes = nodes_behind(loss);
    if (nodes.size() > most_tensors)
        reject(
            fmt::format("write_steps: {} tensors stand behind this loss, and a page shows {}; take a shorter sentence, a smaller "
                        "batch or fewer layers, or write_graph",
                        nodes.size(), most_tensors),
            where);
    std::map<const Node*, std::size_t> place;
    for (const Node* node : nodes) place.emplace(node, place.size());

    const SavedGradients saved(nodes);
    backward(loss, Graph::keep, where);    // checks the loss, and tells which rows receive a gradient
    std::vector<Window> windows;
    for (const Node* node : nodes) windows.emplace_back(*node);

    // The same once more, from zeros and one op at a time. Step 0 is the beginning, then each op has one forward; in the next
    // step the loss receives its own gradient.
    for (Node* node : nodes)
        if (node->requires_grad) node->zero_grad();
    std::vector<std::vector<std::string>> gradients(nodes.size());
    int step = 1 + static_cast<int>(std::ranges::count_if(nodes, [](const Node* node) { return !node->inputs.empty(); }));
    loss.node->grad[0] = 1;
    gradients[place[loss.node]].push_back(gradient_json(windows[place[loss.node]], step, {0}, loss.node->grad));
    for (auto node = nodes.rbegin(); node != nodes.rend(); ++node) {
        if ((*node)->inputs.empty()) continue;
        ++step;
        std::map<const Node*, std::vector<real>> before;
        for (const Tensor& input : (*node)->inputs)
            if (input.node->requires_grad) before[input.node].assign(input.grad(), input.grad() + input.size());
        run_backward_of(**node);
        for (const auto& [input, values] : before)
            gradients[place[input]].push_back(gradient_json(windows[place[input]], step, values, input->grad));
    }

    SourceText source;
    std::vector<std::string> lines;
    for (std::size_t i = 0; i < nodes.size(); ++i) {
        const Node& node = *nodes[i];
        std::vector<std::size_t> inputs;
        for (const Tensor& input : node.inputs) inputs.push_back(place[input.node]);
        lines.push_back(fmt::format(
            "{{\"label\":{},\"op\":{},\"id\":{},\"learns\":{},\"inputs\":[{}],\n\"where\":{},\"code\":{},\"struct\":{},"
            "\"equations\":{},\n"
            "\"size\":{},\"shape\":[{}],\"rows\":{},\"columns\":{},\"shownRows\":[{}],\"shownColumns\":{},\n"
            "\"value\":{{{}}},\n\"gradients\":[{}]}}",
            json::quoted(label(node)), json::quoted(node.op), node.id, node.requires_grad, fmt::join(inputs, ","),
            json::quoted(to_string(node.where)), json::quoted(source.statement(node.where)),
            json::quoted(node.inputs.empty() ? "" : SourceText::struct_of(node)), quoted_list(source.equations(node)), node.size,
            fmt::join(node.shape, ","), windows[i].rows, windows[i].columns, fmt::join(windows[i].shown, ","),
            windows[i].shown_columns, array_json(windows[i], node.data), fmt::join(gradients[i], ",\n")));
    }
    std::string text = fmt::format("[\n{}\n]", fmt::join(lines, ",\n"));
    for (std::size_t at = 0; (at = text.find('<', at)) != std::string::npos;)    // no name may end the page's script
        text.replace(at, 1, "\\u003c");
    return text;
}

}    // namespace

void write_steps(const Tensor& loss, const std::filesystem::path& path, Where where) {
    std::string text(page);
    constexpr std::string_view marker = "@data@";
    text.replace(text.find(marker), marker.size(), steps_json(loss, where));
    write_file(path, text);
}

}    // namespace lookback
