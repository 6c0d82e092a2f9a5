#pragma once

#include "lookback/io/safetensors.h"
#include "lookback/optim/optimizer.h"
#include "lookback/text/batch.h"

namespace lookback {

// All that the next step of a training depends on, so that 2n steps equal n steps, a checkpoint, another process and n steps,
// to the last bit:
//
//     Training training{.weights = named_parameters(model), .adam = adam, .stream = stream, .losses = losses,
//                       .settings = {{"steps", "1500"}}};
//     load_checkpoint(training, path);
//     for (int step = static_cast<int>(losses.size()); step < 1500 && !interrupted(); ++step) {
//         ...
//         if ((step + 1) % 100 == 0) save_checkpoint(training, path);
//     }
//     save_checkpoint(training, path);
struct Training {
    NamedTensors weights;
    Adam& adam;                                          // its moments, steps and learning rate
    BatchStream& stream;                                 // its epoch and position
    std::vector<double>& losses;                         // one a step: as many as there were steps
    std::map<std::string, double*> counts = {};          // what else adds up, such as the seconds spent
    std::map<std::string, std::string> settings = {};    // what else must stay as it was, such as the schedule
    Random* random = nullptr;                            // the generator of dropout, where there is one
};

// Writes a checkpoint: a safetensors file, which replaces the one before as a whole or not at all (see write_file). With an
// empty path neither function does anything. BadInput where it cannot be written, or something is NaN or inf; the one before is
// still there then.
void save_checkpoint(const Training& training, const std::filesystem::path& path);

// Takes the training up where the checkpoint left it, all of it or nothing. False if there is no such file; its folder is made
// then, so that one that cannot be written is told before hours of training. BadInput for a file that is damaged, or is of
// another model, other data or other settings: it says what differs, and how.
bool load_checkpoint(const Training& training, const std::filesystem::path& path);

}    // namespace lookback
