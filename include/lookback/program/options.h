#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace lookback {

// An option that a program declares for itself.
struct OptionInfo {
    std::string name;       // without its dashes: "hidden"
    std::string metavar;    // "N": a whole number. "X": a number. "": a switch, on or off. Anything else: text
    std::string value;      // the default; "" for a switch
    std::string help;       // half a line
    std::int64_t least = 0, most = 1'000'000'000;    // the range of a number
    bool changes_results = true;                     // false: what the program claims holds with it, too
};

// What a program says of itself. It stands at the end of each tutorial:
//
//     int main(int argc, char** argv) {
//         return lookback::run_program(argc, argv,
//                                      {.name = "12_contrast",
//                                       .question = "What does attention repair?",
//                                       .steps = 1500,
//                                       .quick_steps = 12,
//                                       .out = "contrast",
//                                       .data = LOOKBACK_DATASETS "/english-french",
//                                       .own = {{.name = "hidden", .metavar = "N", .value = "128", .help = "state size"}}},
//                                      contrast);
//     }
struct ProgramInfo {
    std::string name;
    std::string question;
    int steps = 0, quick_steps = 0;    // the usual --steps, and with --quick; 0: the program finds its own
    std::filesystem::path out;         // the usual --out; empty: files are written only where --out is given
    std::filesystem::path data;        // the usual --data; empty: the program reads no data and has no such option
    std::vector<OptionInfo> own;
};

// The checked command line.
struct Options {
    std::uint64_t seed = 1;
    int steps = 0;
    bool quick = false;
    int threads = 1;               // changes the time, never a result
    std::filesystem::path out;     // is there and can be written; empty: write no files
    std::filesystem::path data;    // is there
    bool usual = true;             // nothing that changes the numbers was given, so what the program claims must hold
    std::map<std::string, std::string> own;

    // The program's own options, by name. A name that it did not declare is a std::invalid_argument.
    bool flag(const std::string& name) const;
    int integer(const std::string& name) const;
    double number(const std::string& name) const;
    const std::string& text(const std::string& name) const;
};

// Reads `--name value`, `--name=value` and switches; the last of a repeated option counts. Throws BadInput that names
// the option, the value and what to write instead. Does not touch the disk.
Options read_options(const ProgramInfo& info, const std::vector<std::string>& arguments);

// What --help prints.
std::string help_text(const ProgramInfo& info);

// Runs a program: prints --help, or reads the options, checks the data folder, makes the output folder, catches Ctrl-C
// and calls `program`. Its result is the exit status; BadInput gives 2 and other errors give 1, each with one line
// `NAME: what is wrong` on stderr; Ctrl-C gives 130.
int run_program(int argc, char** argv, const ProgramInfo& info, int (*program)(const Options&));

}    // namespace lookback
