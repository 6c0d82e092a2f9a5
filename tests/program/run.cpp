#include <doctest/doctest.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/resource.h>

#include <filesystem>
#include <stdexcept>

#include "child.h"
#include "lookback/program/claims.h"
#include "lookback/program/error.h"
#include "lookback/program/interrupt.h"
#include "lookback/program/options.h"

using namespace lookback;

namespace {

const ProgramInfo example{.name = "example", .question = "Does it run?", .out = {}, .data = "/", .own = {}};

Outcome run(std::vector<std::string> arguments, int (*program)(const Options&), const char* output = nullptr) {
    return run_in_child([&] {
        if (output && !std::freopen(output, "w", stdout)) return 99;
        arguments.insert(arguments.begin(), "example");
        std::vector<char*> argv;
        for (std::string& argument : arguments) argv.push_back(argument.data());
        return run_program(static_cast<int>(argv.size()), argv.data(), example, program);
    });
}

int hello(const Options& options) {
    fmt::print("seed {}\n", options.seed);
    return 0;
}

}    // namespace

TEST_CASE("a program's result is the exit status and its output goes to stdout") {
    const Outcome outcome = run({"--seed", "3"}, hello);
    CHECK(outcome.status == 0);
    CHECK(outcome.out == "seed 3\n");
    CHECK(outcome.error == "");
    CHECK(run({}, [](const Options&) { return 7; }).status == 7);
}

TEST_CASE("--help prints the question and the options, and runs nothing") {
    const Outcome outcome = run({"--nonsense", "--help"}, hello);
    CHECK(outcome.status == 0);
    CHECK(outcome.out == help_text(example));
    CHECK(outcome.error == "");
}

TEST_CASE("a wrong option, a missing data folder and an output folder that cannot be made end with one line and status 2") {
    const std::string file = std::filesystem::temp_directory_path() / fmt::format("lookback-plain-file-{}", getpid());
    std::fclose(std::fopen(file.c_str(), "w"));
    for (const auto& [argument, message] : std::vector<std::pair<std::string, std::string>>{
             {"--steps=-1", "example: --steps -1: must be a whole number from 1 to 1000000000\n"},
             {"--data=/no/such",
              "example: --data /no/such: no such folder: name a folder with train.tsv, valid.tsv and test*.tsv\n"},
             {"--data=" + file,
              "example: --data " + file + ": this is no folder: name a folder with train.tsv, valid.tsv and test*.tsv\n"},
             {"--out=" + file + "/x", "example: cannot make the folder " + file + "/x: Not a directory\n"}}) {
        const Outcome outcome = run({argument}, hello);
        CHECK(outcome.status == 2);
        CHECK(outcome.out == "");
        CHECK(outcome.error == message);
    }
    std::filesystem::remove(file);
}

TEST_CASE("BadInput ends with status 2, any other error with 1, in one line without control characters") {
    Outcome outcome = run({}, [](const Options&) -> int { throw BadInput("train.tsv:1: odd token '\x1b[2J\n\x7f'"); });
    CHECK(outcome.status == 2);
    CHECK(outcome.error == "example: train.tsv:1: odd token ' [2J  '\n");
    outcome = run({}, [](const Options&) -> int { throw std::invalid_argument("matmul: inner sizes differ"); });
    CHECK(outcome.status == 1);
    CHECK(outcome.error == "example: matmul: inner sizes differ\n");
}

TEST_CASE("where the message cannot be written, the status tells all the same") {
    const Outcome outcome = run_in_child([] {
        std::freopen("/dev/full", "w", stderr);
        std::setvbuf(stderr, nullptr, _IONBF, 0);
        const char* argv[] = {"example", "--no-such-option"};
        return run_program(2, const_cast<char**>(argv), example, hello);
    });
    CHECK(outcome.status == 2);
}

TEST_CASE("a limit on the size of files is an error of the folder that it makes useless") {
    const std::filesystem::path folder = std::filesystem::temp_directory_path() / fmt::format("lookback-limit-{}", getpid());
    const std::string out = "--out=" + folder.string();
    const Outcome outcome = run_in_child([&] {
        const rlimit limit{4, 4};
        setrlimit(RLIMIT_FSIZE, &limit);
        std::freopen("/dev/null", "w", stderr);
        const char* argv[] = {"example", out.c_str()};
        return run_program(2, const_cast<char**>(argv), example, hello);
    });
    CHECK(outcome.status == 2);
    CHECK(std::filesystem::is_empty(folder));
    std::filesystem::remove(folder);
}

TEST_CASE("output that cannot be written is an error, also the unfinished last line") {
    const auto unfinished = [](const Options&) {
        fmt::print("no newline");
        return 0;
    };
    for (int (*program)(const Options&) : {hello, +unfinished}) {
        const Outcome outcome = run({}, program, "/dev/full");
        CHECK(outcome.status == 1);
        CHECK(outcome.error.starts_with("example: cannot write"));
    }
}

TEST_CASE("the first Ctrl-C is seen by the program, which ends in order with status 130") {
    const Outcome outcome = run({}, [](const Options&) {
        if (interrupted()) return 1;
        raise(SIGINT);
        fmt::print("{}\n", interrupted() ? "evaluated" : "not seen");
        return 0;
    });
    CHECK(outcome.status == 130);
    CHECK(outcome.out == "evaluated\n");
    CHECK(outcome.error.find("Ctrl-C again ends at once") != std::string::npos);
}

TEST_CASE("the second Ctrl-C ends the program at once") {
    const Outcome outcome = run({}, [](const Options&) {
        raise(SIGINT);
        raise(SIGINT);
        return 0;
    });
    CHECK(outcome.status == -SIGINT);
}

TEST_CASE("claims that hold are counted, and those that fail are printed and make the status 1") {
    Outcome outcome = run_in_child([] {
        Claims claims;
        claims.check(true, "one");
        claims.check(true, "two");
        return claims.report();
    });
    CHECK(outcome.status == 0);
    CHECK(outcome.out == "checked: 2 claims hold\n");
    outcome = run_in_child([] {
        Claims claims;
        claims.check(true, "one");
        claims.check(0.5 >= 0.97, "attention translates 97 % of 4 clauses");
        return claims.report();
    });
    CHECK(outcome.status == 1);
    CHECK(outcome.out == "claim fails: attention translates 97 % of 4 clauses\n");
    CHECK(run_in_child([] { return Claims().report(); }).out == "");
}

TEST_CASE("after Ctrl-C no claim counts") {
    const Outcome outcome = run({}, [](const Options&) {
        raise(SIGINT);
        Claims claims;
        claims.check(false, "one");
        return claims.report();
    });
    CHECK(outcome.status == 130);
    CHECK(outcome.out == "interrupted: the claims are not checked\n");
}

TEST_CASE("Ctrl-C ends in 130, whatever the program says of it") {
    const Outcome outcome = run_in_child([] {
        char name[] = "x";
        char* arguments[] = {name};
        return run_program(1, arguments, {.name = "x", .question = "?", .out = {}, .data = {}, .own = {}}, [](const Options&) {
            raise(SIGINT);
            return 1;
        });
    });
    CHECK(outcome.status == 130);
}

TEST_CASE("-h is --help, and too little memory is said in words") {
    CHECK(run({"-h"}, hello).out == help_text(example));
    const Outcome outcome = run({}, [](const Options&) -> int { throw std::bad_alloc(); });
    CHECK(outcome.status == 1);
    CHECK(outcome.error == "example: not enough memory\n");
}

TEST_CASE("a reader behind a pipe has each line as soon as it is made, and all of them before the error") {
    const Outcome outcome = run({}, [](const Options&) -> int {
        fmt::print("one line\n");
        _exit(3);    // nothing is flushed at the end
    });
    CHECK(outcome.out == "one line\n");
}
