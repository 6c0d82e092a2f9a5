#include <fmt/format.h>

#include "draw/node_text.h"
#include "lookback/draw/steps.h"
#include "lookback/program/file.h"

namespace lookback {

namespace {

std::string dot_quoted(const std::string& text) {
    std::string result = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') result += '\\';
        result += c;
    }
    return result + "\"";
}

}    // namespace

void write_graph(const Tensor& output, const std::filesystem::path& path, Where where) {
    const std::vector<Node*> nodes = nodes_behind(output);
    if (nodes.size() == 1)
        reject(fmt::format("write_graph: no graph is kept behind {}; does a leaf require a gradient, and was it released?",
                           label(*output.node)),
               where);
    std::string text = "digraph {\n  node [shape=box, style=rounded, fontname=\"sans-serif\", fontsize=11]\n";
    std::map<const Node*, std::size_t> place;
    for (const Node* node : nodes) {
        const std::size_t index = place.emplace(node, place.size()).first->second;
        std::string lines = label(*node);
        if (!node->name.empty() && node->id != 0) lines += fmt::format("\n#{} {}", node->id, node->op);
        lines += "\nnorm " + number_text(norm(node->size, node->data));
        if (node->requires_grad && node->grad) lines += ", grad norm " + number_text(norm(node->size, node->grad));
        lines += "\n" + to_string(node->where);
        std::string escaped = dot_quoted(lines);
        for (std::size_t at; (at = escaped.find('\n')) != std::string::npos;) escaped.replace(at, 1, "\\n");
        text += fmt::format("  n{} [label={}{}]\n", index, escaped,
                            !node->inputs.empty() ? ""
                            : node->requires_grad ? ", style=filled, fillcolor=\"#f2e6d9\""
                                                  : ", style=dashed");
        for (const Tensor& input : node->inputs) text += fmt::format("  n{} -> n{}\n", place.at(input.node), index);
    }
    write_file(path, text + "}\n");
}

}    // namespace lookback
