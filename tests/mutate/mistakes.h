#pragma once

#include <cstddef>
#include <string>
#include <vector>

// The small mistakes that people make in a backward pass, made on purpose by mutate.cpp.
namespace mutate {

struct Mistake {
    std::size_t begin, end;    // the bytes of the text
    std::string instead;
};

// All of them in text[begin .. end), the body of a function: signs flipped, operands and arguments swapped, terms, factors and
// statements left out, `=` and `-=` for `+=`, also where a kernel adds; other conditions, other numbers, another transposition.
// What swaps the factors of a product is no mistake, and not among them. Some do not compile.
std::vector<Mistake> mistakes(const std::string& text, std::size_t begin, std::size_t end);

// Functions that the mistakes call, for the namespace lookback::mutation.
extern const char* const functions;

}    // namespace mutate
