#include "lookback/program/claims.h"

#include <fmt/format.h>

#include "lookback/program/interrupt.h"

namespace lookback {

void Claims::check(bool holds, std::string_view claim) {
    ++checked;
    if (!holds) failed.emplace_back(claim);
}

int Claims::report() const {
    if (checked == 0) return 0;
    if (interrupted()) {
        fmt::print("interrupted: the claims are not checked\n");
        return 0;
    }
    for (const std::string& claim : failed) fmt::print("claim fails: {}\n", claim);
    if (!failed.empty()) return 1;
    fmt::print("checked: {} {}\n", checked, checked == 1 ? "claim holds" : "claims hold");
    return 0;
}

}    // namespace lookback
