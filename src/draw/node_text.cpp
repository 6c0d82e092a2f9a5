#include "draw/node_text.h"

#include <cxxabi.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <typeinfo>

#include "lookback/program/screen.h"

namespace lookback {

std::vector<Node*> nodes_behind(const Tensor& output) {
    std::vector<Node*> nodes;
    std::set<const Node*> seen;
    const auto add = [&](Node* node) {
        if (seen.insert(node).second) nodes.push_back(node);
    };
    for (Node* node : graph_of(output)) {
        if (node->inputs.empty()) continue;    // a leaf comes with its first user
        for (const Tensor& input : node->inputs) add(input.node);
        add(node);
    }
    add(output.node);
    return nodes;
}

std::string number_text(double number) { return fmt::format("{:.4g}", number); }

double norm(std::size_t size, const real* x) {
    double squares = 0;
    for (std::size_t i = 0; i < size; ++i) squares += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    return std::sqrt(squares);
}

// Meson compiles with paths such as ../../tutorials/00_tour.cpp, seen from a build folder that may be anywhere.
const SourceText::Lines& SourceText::lines_of(const std::string& file) {
    const auto [entry, is_new] = files.try_emplace(file);
    if (!is_new) return entry->second;
    std::string_view below = file;
    while (below.starts_with("../")) below.remove_prefix(3);
    std::ifstream in(std::filesystem::path(LOOKBACK_SOURCE) / below);
    if (!in) in.open(file);
    for (std::string line; std::getline(in, line);) entry->second.push_back(line);
    return entry->second;
}

std::string SourceText::statement(const Where& where) {
    const Lines& lines = lines_of(where.file);
    if (where.line < 1 || where.line > lines.size()) return {};
    const auto ends = [&](std::size_t line) {    // whether nothing of a statement on this line goes on below it
        const std::size_t at = lines[line].find_last_not_of(" \t\r");
        return at == std::string::npos || std::string_view(";{}:").find(lines[line][at]) != std::string_view::npos ||
               lines[line].find("//") != std::string::npos;
    };
    std::size_t first = where.line - 1, last = first;
    while (first > 0 && where.line - first < 4 && !ends(first - 1)) --first;
    while (last + 1 < lines.size() && last - first < 4 && !ends(last)) ++last;
    std::string text;
    for (std::size_t line = first; line <= last; ++line) {
        const std::size_t begin = std::min(lines[line].find_first_not_of(" \t"), lines[line].size());
        text += (text.empty() ? "" : "\n    ") + cut_text(std::string_view(lines[line]).substr(begin), 200);
    }
    return text;
}

std::string SourceText::struct_of(const Node& node) {
    const std::unique_ptr<char, decltype(&std::free)> name(abi::__cxa_demangle(typeid(node).name(), nullptr, nullptr, nullptr),
                                                           &std::free);
    return name ? name.get() : typeid(node).name();
}

std::vector<std::string> SourceText::equations(const Node& node) {
    if (node.inputs.empty()) return {};
    std::string name = struct_of(node);
    if (const std::size_t colon = name.rfind(':'); colon != std::string::npos) name.erase(0, colon + 1);

    std::vector<std::string> places{node.where.file};    // an op may be the user's own
    std::error_code no_such_folder;
    for (const auto& entry : std::filesystem::directory_iterator(LOOKBACK_SOURCE "/src/ops", no_such_folder))
        if (entry.path().extension() == ".cpp") places.push_back(entry.path().string());

    std::vector<std::string> parts;
    for (const std::string& place : places) {
        const Lines& lines = lines_of(place);
        const auto found = std::ranges::find_if(lines, [&](const std::string& line) {
            return line.starts_with("struct " + name + " ") && line.find(": Node {") != line.npos;
        });
        if (found == lines.end()) continue;
        auto first = found;    // of the comments since the struct before it
        while (first != lines.begin() && !first[-1].starts_with("};") && !first[-1].starts_with("namespace")) --first;
        for (; first != found; ++first) {
            if (!first->starts_with("// ")) continue;
            std::string_view rest = std::string_view(*first).substr(3);
            while (!rest.empty()) {    // two blanks or more stand between two equations
                const std::size_t gap = rest.find("  ");
                parts.emplace_back(rest.substr(0, rest.find_last_not_of(" ,", gap) + 1));
                rest = gap == rest.npos ? "" : rest.substr(gap);
                rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
            }
        }
        break;
    }
    return parts;
}

}    // namespace lookback
