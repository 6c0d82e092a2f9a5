#pragma once

#include <map>
#include <string>
#include <vector>

#include "lookback/tensor/node.h"

// What the pictures of a graph say of its nodes: the same names and numbers as the debugger's commands.
namespace lookback {

// Everything behind `output`, also what needs no gradient: ops in the order in which they were made, each leaf before its
// first user.
std::vector<Node*> nodes_behind(const Tensor& output);

// "0.1235": four significant digits.
std::string number_text(double number);

// sqrt(sum_i x_i^2), added up in order in double precision.
double norm(std::size_t size, const real* x);

// The program's own text, where its files can still be found.
class SourceText {
  public:
    // The statement at a line: at most five lines, those after the first indented by 4. Empty if it is not found.
    std::string statement(const Where& where);

    // The parts of the comment above the struct of an op, "y = tanh x" and "dx = dy (1 - y^2)"; none for a leaf.
    std::vector<std::string> equations(const Node& node);

    // "lookback::op::Tanh"
    static std::string struct_of(const Node& node);

  private:
    using Lines = std::vector<std::string>;
    const Lines& lines_of(const std::string& file);

    std::map<std::string, Lines> files;
};

}    // namespace lookback
