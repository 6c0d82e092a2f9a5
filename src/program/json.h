#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// The part of JSON that the header of a safetensors file is written in: objects, strings, and lists of whole numbers.
namespace lookback::json {

// Reads a text from front to back; its user asks for what must come next. A value that is not asked for is refused,
// however deep it is nested, so there is no recursion. BadInput with the file and the byte.
class Reader {
  public:
    // What stands in `bytes` from `begin` on. Positions in messages are those in `bytes`.
    Reader(std::string file, std::string_view bytes, std::size_t begin);

    // for (bool first = true; reader.another(first, '}');) goes through an object or a list whose opening was read.
    bool another(bool& first, char closing);
    void expect(char wanted);
    void expect_end();
    std::string string();                                       // in UTF-8, with its escapes replaced; without NUL
    std::vector<std::uint64_t> numbers(std::size_t at_most);    // a list
    [[noreturn]] void fail(const std::string& what) const;

  private:
    char next();
    std::uint64_t number();
    std::uint32_t four_digits();
    void escape(std::string& text);

    std::string file;
    std::string_view bytes;
    std::size_t position;
};

// The text as a JSON string. Control characters are escaped, so that in a message they cannot reach the terminal.
std::string quoted(std::string_view text);

// Text of a file as a message shows it: quoted, its first 100 bytes, cut between two characters.
std::string shown(std::string_view text);

// UTF-8 without NUL: what a Reader will read again.
bool is_text(std::string_view text);

}    // namespace lookback::json
