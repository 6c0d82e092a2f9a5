#pragma once

namespace lookback {

// The one number type of the library. Training uses float; the gradient tests build the same sources with double, where a
// central difference is exact to some nine digits and a wrong backward pass has nowhere to hide.
#ifdef LOOKBACK_DOUBLE
using real = double;
#else
using real = float;
#endif

}    // namespace lookback
