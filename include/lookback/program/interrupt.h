#pragma once

namespace lookback {

// Ctrl-C asks a program to end, and a training loop decides how: it polls `interrupted()`, leaves the loop, and the
// program evaluates and saves what was learned so far. A second Ctrl-C has the system's own effect: the program ends at
// once.
//
//     for (int step = 0; step < options.steps && !interrupted(); ++step) { ... }
bool interrupted();

// Starts to listen for Ctrl-C (SIGINT). `run_program` calls it; a program need not.
void catch_interrupt();

}    // namespace lookback
