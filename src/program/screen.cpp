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

}    // namespace

int text_width(std::string_view text) {
    int width = 0;
    for (const char byte : text) width += begins_code_point(byte);
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
    for (int seen = 0; end < text.size(); ++end) {
        if (begins_code_point(text[end]) && ++seen >= width) break;
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
