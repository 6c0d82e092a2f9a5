#pragma once

#include <cstdio>
#include <string>
#include <string_view>

// What a terminal can show, and text that fits it.
namespace lookback {

// The columns of a UTF-8 text in a terminal: two for a sign of East Asia or a picture, none for an accent that stands on the
// letter before it, else one a code point.
int text_width(std::string_view text);

// The text with blanks for what would command a terminal, or what XML cannot hold: control characters, U+FFFE and U+FFFF.
std::string printable(std::string_view text);

// The text at no more than `width` columns; what is too long is cut and ends in an ellipsis.
std::string cut_text(std::string_view text, int width);

namespace terminal {

// What a stream can show. The one place that asks the environment.
struct Style {
    bool screen = false;    // it can redraw a line: it is no pipe and no file, and TERM is neither unset nor "dumb"
    bool colour = false;    // a screen, and NO_COLOR is not set (https://no-color.org)
    int width = 80;         // of a screen: COLUMNS, else what the terminal says; a file has 80 columns everywhere
};

Style style_of(std::FILE* stream);

}    // namespace terminal

}    // namespace lookback
