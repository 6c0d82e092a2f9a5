#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lookback {

// A tutorial checks what its text says. Claims about the default settings stand under `if (options.usual)`.
//
//     Claims claims;
//     if (options.usual) claims.check(score[3] >= 0.97, "attention translates 97 % of 4 clauses");
//     return claims.report();
class Claims {
  public:
    void check(bool holds, std::string_view claim);

    // Prints the claims that fail, or `checked: 7 claims hold`, or nothing where nothing was claimed. The result is the
    // program's exit status: 1 if a claim fails. After Ctrl-C the training is cut short, so none counts.
    [[nodiscard]] int report() const;

  private:
    int checked = 0;
    std::vector<std::string> failed;
};

}    // namespace lookback
