#pragma once

#include <stdexcept>

namespace lookback {

// A file or an option of the user's is wrong: nothing is broken and the user can mend it. `run_program` prints the
// message on one line and ends with status 2. The message says what is wrong, where, and the way out:
//
//     throw BadInput("train.tsv:17: no tab between the two sentences: write english<TAB>french");
struct BadInput : std::runtime_error {
    using std::runtime_error::runtime_error;
};

}    // namespace lookback
