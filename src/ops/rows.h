#pragma once

#include "lookback/tensor/real.h"

namespace lookback {

// Softmax of one row of n numbers, shared by the ops that contain one. In place if x == y. -inf gives exactly 0, a row of
// nothing but -inf gives zeros.
void softmax_row(int n, const real* x, real* y);

// dx_i += y_i (dy_i - sum_j dy_j y_j)
void softmax_backward_row(int n, const real* y, const real* dy, real* dx);

}  // namespace lookback
