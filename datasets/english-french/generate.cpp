// Writes the English-French toy corpus: train, valid and test-1 .. test-8, with their alignments. See README.md beside
// this file.
//
//     generate_english_french [--seed N] [--out FOLDER]

#include <fmt/format.h>

#include <charconv>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <stdexcept>
#include <string_view>

#include "corpus.h"
#include "lookback/program/error.h"
#include "lookback/program/file.h"

using namespace lookback;

namespace {

constexpr std::string_view usage =
    "generate_english_french [--seed N] [--out FOLDER]    (defaults: 1, the folder where you stand)";

std::uint64_t read_seed(std::string_view text) {
    std::uint64_t seed = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seed);
    if (error != std::errc() || end != text.data() + text.size()) {
        throw BadInput(fmt::format("--seed: a whole number from 0 is needed: '{}'", text));
    }
    return seed;
}

void generate(int count, char** arguments) {
    std::uint64_t seed = 1;
    std::filesystem::path out = ".";
    for (int k = 1; k < count; k += 2) {
        const std::string_view option = arguments[k];
        if (option == "--help") return fmt::print("{}\n", usage);
        if (option != "--seed" && option != "--out") throw BadInput(fmt::format("unknown option '{}': {}", option, usage));
        if (k + 1 == count) throw BadInput(fmt::format("{}: its value is missing: {}", option, usage));
        if (option == "--seed") seed = read_seed(arguments[k + 1]);
        if (option == "--out") out = arguments[k + 1];
    }
    make_writable_folder(out);
    english_french::write_corpus(out, seed);
}

}    // namespace

int main(int count, char** arguments) {
    std::signal(SIGXFSZ, SIG_IGN);    // a limit on the size of files is an error of the write that meets it
    try {
        generate(count, arguments);
        if (std::fflush(stdout) != 0) throw std::runtime_error("cannot write the standard output");
    } catch (const BadInput& error) {
        fmt::print(stderr, "generate_english_french: {}\n", error.what());
        return 2;
    } catch (const std::exception& error) {
        fmt::print(stderr, "generate_english_french: {}\n", error.what());
        return 1;
    }
}
