#pragma once

#include <string>

namespace lookback {

// A line of the user's program. Every op takes one as its last, defaulted argument, so that error messages, NaN reports
// and the debugger can say which line made a node. (std::source_location does not compile with clang 14 and libstdc++ 12.)
struct Where {
    const char* file = "";
    const char* function = "";
    unsigned line = 0;

    constexpr Where() = default;    // so that no list of numbers converts to it: Tensor({3}, {0, 0, 1}) means values

    static constexpr Where current(const char* file = __builtin_FILE(), const char* function = __builtin_FUNCTION(),
                                   unsigned line = __builtin_LINE()) {
        Where where;
        where.file = file;
        where.function = function;
        where.line = line;
        return where;
    }
};

// "tutorials/08_additive_attention.cpp:97", relative to the source tree, if the build folder is in it.
std::string to_string(const Where& where);

}    // namespace lookback
