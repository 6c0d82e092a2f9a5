#include "lookback/program/screen.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>

namespace lookback {

namespace {

// The bytes 10xxxxxx continue a code point; all others begin one.
bool begins_code_point(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) != 0x80; }

// The columns of the code point that begins at a byte: 0 where none begins.
int columns_at(std::string_view text, std::size_t at) {
    if (!begins_code_point(text[at])) return 0;
    const auto first = static_cast<unsigned char>(text[at]);
    char32_t code = first < 0xE0 ? first & 0x1F : first < 0xF0 ? first & 0x0F : first & 0x07;
    if (first < 0x80) return 1;
    while (++at < text.size() && !begins_code_point(text[at])) code = code << 6 | (static_cast<unsigned char>(text[at]) & 0x3F);
    const auto in = [code](char32_t low, char32_t high) { return low <= code && code <= high; };
    if (in(0x300, 0x36F) || in(0x200B, 0x200F) || in(0xFE00, 0xFE0F)) return 0;    // accents and signs without a column
    return 1 + (in(0x1100, 0x115F) || in(0x2E80, 0xA4CF) || in(0xAC00, 0xD7A3) || in(0xF900, 0xFAFF) || in(0xFF00, 0xFF60) ||
                in(0x1F300, 0x1FAFF));    // the wide ones of East Asia, and pictures
}

}    // namespace

int text_width(std::string_view text) {
    int width = 0;
    for (std::size_t i = 0; i < text.size(); ++i) width += columns_at(text, i);
    return width;
}

std::string printable(std::string_view text) {
    std::string result;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto byte = static_cast<unsigned char>(text[i]);
        const std::string_view rest = text.substr(i);
        if (byte < 0x20 || byte == 0x7F) {
            result += ' ';
        } else if (rest.size() > 1 && byte == 0xC2 && (rest[1] & 0xE0) == 0x80) {    // U+0080 to U+009F
            result += ' ';
            i += 1;
        } else if (rest.starts_with("\xEF\xBF\xBE") || rest.starts_with("\xEF\xBF\xBF")) {
            result += ' ';
            i += 2;
        } else {
            result += text[i];
        }
    }
    return result;
}

std::string cut_text(std::string_view text, int width) {
    if (text_width(text) <= width) return std::string(text);
    std::size_t end = 0;
    for (int used = 0; end < text.size(); ++end) {
        if ((used += columns_at(text, end)) >= width) break;
    }
    return std::string(text.substr(0, end)) + (width > 0 ? "…" : "");
}

terminal::Style terminal::style_of(std::FILE* stream) {
    Style style;
    const char* term = std::getenv("TERM");
    style.screen = ::isatty(::fileno(stream)) && term && *term && std::strcmp(term, "dumb") != 0;
    if (!style.screen) return style;
    const char* no_colour = std::getenv("NO_COLOR");
    style.colour = !no_colour || !*no_colour;
    int columns = 0;
    winsize size = {};
    if (const char* text = std::getenv("COLUMNS")) std::from_chars(text, text + std::strlen(text), columns);
    const bool known = ::ioctl(::fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    if (known && (columns <= 0 || columns > size.ws_col)) columns = size.ws_col;
    if (columns > 0) style.width = std::clamp(columns, 20, 1000);
    return style;
}

}    // namespace lookback
