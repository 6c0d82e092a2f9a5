#include "program/json.h"

#include <fmt/format.h>

#include <algorithm>

#include "lookback/program/error.h"
#include "program/utf8.h"

namespace lookback::json {

namespace {

int as_byte(char c) { return static_cast<unsigned char>(c); }

}    // namespace

Reader::Reader(std::string path, std::string_view all_bytes, std::size_t begin)
    : file(std::move(path)), bytes(all_bytes), position(begin) {}

void Reader::fail(const std::string& what) const { throw BadInput(fmt::format("{}: byte {}: {}", file, position, what)); }

// The next byte that is not blank, or 0 at the end.
char Reader::next() {
    while (position < bytes.size() && std::string_view(" \t\r\n").find(bytes[position]) != std::string_view::npos) ++position;
    return position < bytes.size() ? bytes[position] : '\0';
}

void Reader::expect(char wanted) {
    const char found = next();
    if (found != wanted)
        fail(position == bytes.size() ? fmt::format("the header ends where '{}' was expected", wanted)
                                      : fmt::format("'{}' was expected, not the byte 0x{:02X}", wanted, as_byte(found)));
    ++position;
}

void Reader::expect_end() {
    next();
    if (position != bytes.size()) fail("the header goes on after its closing brace");
}

bool Reader::another(bool& first, char closing) {
    if (next() == closing) {
        ++position;
        return false;
    }
    if (!first) expect(',');
    first = false;
    return true;
}

std::string Reader::string() {
    expect('"');
    std::string text;
    for (;;) {
        if (position == bytes.size()) fail("the header ends inside a string");
        const char c = bytes[position];
        if (as_byte(c) < 0x20) fail(fmt::format("a control character, 0x{:02X}, stands in a string", as_byte(c)));
        if (c == '"') break;
        if (c == '\\') {
            escape(text);
            continue;
        }
        const std::size_t size = character_size(bytes.substr(position));
        if (size == 0) fail(fmt::format("0x{:02X} is not UTF-8", as_byte(c)));
        text += bytes.substr(position, size);
        position += size;
    }
    ++position;
    return text;
}

std::uint64_t Reader::number() {
    next();
    const std::size_t begin = position;
    std::uint64_t value = 0;
    for (; position < bytes.size() && bytes[position] >= '0' && bytes[position] <= '9'; ++position)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, static_cast<std::uint64_t>(bytes[position] - '0'), &value))
            fail("a number has more than 64 bits");
    if (position == begin) fail("a whole number was expected, 0 or more");
    if (position > begin + 1 && bytes[begin] == '0') fail("a number begins with 0");
    return value;
}

std::vector<std::uint64_t> Reader::numbers(std::size_t at_most) {
    std::vector<std::uint64_t> list;
    expect('[');
    for (bool first = true; another(first, ']');) {
        if (list.size() == at_most) fail(fmt::format("a list has more than {} numbers", at_most));
        list.push_back(number());
    }
    return list;
}

std::uint32_t Reader::four_digits() {    // of \u00e9
    std::uint32_t code = 0;
    for (int i = 0; i < 4; ++i, ++position) {
        const char c = position < bytes.size() ? bytes[position] : '\0';
        const std::size_t digit = std::string_view("0123456789abcdef").find(c >= 'A' && c <= 'F' ? static_cast<char>(c + 32) : c);
        if (digit == std::string_view::npos) fail("four hexadecimal digits were expected after \\u");
        code = code * 16 + static_cast<std::uint32_t>(digit);
    }
    return code;
}

void Reader::escape(std::string& text) {
    constexpr std::string_view letters = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
    ++position;
    const char letter = position < bytes.size() ? bytes[position] : '\0';
    if (letter != 'u') {
        const std::size_t index = letters.find(letter);
        if (index == std::string_view::npos) fail("a backslash is followed by none of \" \\ / b f n r t u");
        text += meanings[index];
        ++position;
        return;
    }
    ++position;
    std::uint32_t code = four_digits();
    if (code == 0) fail("a string holds NUL");
    if (code >= 0xD800 && code < 0xE000) {    // a character beyond U+FFFF is written as a pair of surrogates
        if (code >= 0xDC00 || bytes.substr(position, 2) != "\\u") fail("half of a pair of surrogates");
        position += 2;
        const std::uint32_t low = four_digits();
        if (low < 0xDC00 || low >= 0xE000) fail("half of a pair of surrogates");
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    const auto put = [&](std::uint32_t byte) { text += static_cast<char>(byte); };
    if (code < 0x80) {
        put(code);
    } else if (code < 0x800) {
        put(0xC0 | code >> 6);
        put(0x80 | (code & 0x3F));
    } else {
        put(code < 0x10000 ? 0xE0 | code >> 12 : 0xF0 | code >> 18);
        if (code >= 0x10000) put(0x80 | (code >> 12 & 0x3F));
        put(0x80 | (code >> 6 & 0x3F));
        put(0x80 | (code & 0x3F));
    }
}

std::string quoted(std::string_view text) {
    std::string result = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') result += '\\';
        if (as_byte(c) < 0x20 || c == 0x7F)
            result += fmt::format("\\u{:04x}", as_byte(c));
        else
            result += c;
    }
    return result + "\"";
}

std::string shown(std::string_view text) {
    std::size_t size = std::min<std::size_t>(text.size(), 100);
    while (size < text.size() && size > 0 && (text[size] & 0xC0) == 0x80) --size;
    return quoted(text.substr(0, size)) + (size < text.size() ? "..." : "");
}

bool is_text(std::string_view text) {
    for (std::size_t i = 0; i < text.size();) {
        const std::size_t size = character_size(text.substr(i));
        if (size == 0 || text[i] == '\0') return false;
        i += size;
    }
    return true;
}

}    // namespace lookback::json
