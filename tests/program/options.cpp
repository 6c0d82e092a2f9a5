#include "lookback/program/options.h"

#include <doctest/doctest.h>

#include <stdexcept>

#include "lookback/program/error.h"

using namespace lookback;

namespace {

const ProgramInfo info{
    .name = "99_example",
    .question = "What is read?",
    .steps = 600,
    .quick_steps = 20,
    .out = "example",
    .data = "corpus",
    .own = {{.name = "hidden", .metavar = "N", .value = "128", .help = "size of the state", .least = 1, .most = 4096},
            {.name = "dropout", .metavar = "X", .value = "0.1", .help = "share that is dropped", .most = 1},
            {.name = "sentence", .metavar = "TEXT", .value = "I love you", .help = "what to translate"},
            {.name = "reversed", .metavar = "", .value = "", .help = "read the source backwards"},
            {.name = "save", .metavar = "DIR", .value = "", .help = "keep the model", .changes_results = false}}};

std::string error_of(const std::vector<std::string>& arguments) {
    try {
        read_options(info, arguments);
    } catch (const BadInput& error) {
        return error.what();
    }
    return "";
}

}    // namespace

TEST_CASE("without arguments every option has the default that the program declared") {
    const Options options = read_options(info, {});
    CHECK(options.seed == 1);
    CHECK(options.steps == 600);
    CHECK_FALSE(options.quick);
    CHECK(options.threads >= 1);
    CHECK(options.threads <= 2);
    CHECK(options.out == "example");
    CHECK(options.data == "corpus");
    CHECK(options.usual);
    CHECK(options.integer("hidden") == 128);
    CHECK(options.number("dropout") == 0.1);
    CHECK(options.text("sentence") == "I love you");
    CHECK_FALSE(options.flag("reversed"));
}

TEST_CASE("a value may follow its option or an equals sign, and the last one counts") {
    const Options options = read_options(info, {"--seed", "7", "--seed=18446744073", "--steps=3", "--hidden", "64", "--reversed",
                                                "--sentence=a=b", "--dropout", "1", "--threads", "2"});
    CHECK(options.seed == 18446744073);
    CHECK(options.steps == 3);
    CHECK(options.integer("hidden") == 64);
    CHECK(options.number("dropout") == 1);
    CHECK(options.text("sentence") == "a=b");
    CHECK(options.flag("reversed"));
    CHECK(options.threads == 2);
}

TEST_CASE("--quick takes the quick steps unless --steps says otherwise") {
    CHECK(read_options(info, {"--quick"}).steps == 20);
    CHECK(read_options(info, {"--quick", "--steps", "600"}).steps == 600);
    CHECK(read_options(info, {"--steps", "5", "--quick"}).steps == 5);
}

TEST_CASE("a run is usual only while nothing that changes its numbers is given") {
    CHECK(read_options(info, {"--threads", "7", "--out", "elsewhere", "--seed", "1", "--steps=600", "--save", "x"}).usual);
    for (const char* argument : {"--seed=2", "--steps=601", "--quick", "--data=mine", "--hidden=64", "--reversed"}) {
        CAPTURE(argument);
        CHECK_FALSE(read_options(info, {argument}).usual);
    }
}

TEST_CASE("each wrong option gives one line that names it, its value and what to do") {
    const std::vector<std::pair<std::vector<std::string>, std::string>> table = {
        {{"--step", "3"}, "unknown option --step: did you mean --steps?"},
        {{"--sede=3"}, "unknown option --sede: did you mean --seed?"},
        {{"--sent", "x"}, "unknown option --sent: did you mean --sentence?"},
        {{"--frobnicate"}, "unknown option --frobnicate: --help lists them all"},
        {{"--"}, "unexpected argument '--': options begin with two dashes, see --help"},
        {{"-s", "3"}, "unexpected argument '-s': options begin with two dashes, see --help"},
        {{"12"}, "unexpected argument '12': options begin with two dashes, see --help"},
        {{""}, "unexpected argument '': options begin with two dashes, see --help"},
        {{"--steps", "-1"}, "--steps -1: must be a whole number from 1 to 1000000000"},
        {{"--steps", "0"}, "--steps 0: must be a whole number from 1 to 1000000000"},
        {{"--steps=1e3"}, "--steps 1e3: must be a whole number from 1 to 1000000000"},
        {{"--steps", "99999999999999999999"}, "--steps 99999999999999999999: must be a whole number from 1 to 1000000000"},
        {{"--threads", "0"}, "--threads 0: must be a whole number from 1 to 256"},
        {{"--threads", "2 "}, "--threads 2 : must be a whole number from 1 to 256"},
        {{"--seed", "-1"}, "--seed -1: must be a whole number from 0 to 9223372036854775807"},
        {{"--hidden", "4097"}, "--hidden 4097: must be a whole number from 1 to 4096"},
        {{"--dropout", "1.5"}, "--dropout 1.5: must be a number from 0 to 1"},
        {{"--dropout", "nan"}, "--dropout nan: must be a number from 0 to 1"},
        {{"--steps"}, "--steps: no value given: write --steps N"},
        {{"--out", "--quick"}, "--out: no value given: write --out DIR"},
        {{"--out="}, "--out: no value given: write --out DIR"},
        {{"--quick=yes"}, "--quick=yes: --quick takes no value"},
    };
    for (const auto& [arguments, message] : table) CHECK(error_of(arguments) == message);
}

TEST_CASE("a program that reads no data has no --data") {
    const ProgramInfo bare{.name = "bare", .question = "?", .out = {}, .data = {}, .own = {}};
    CHECK_THROWS_AS(read_options(bare, {"--data", "x"}), BadInput);
    CHECK(read_options(bare, {"--quick"}).steps == 0);
    CHECK(read_options(bare, {}).out.empty());
}

TEST_CASE("asking for an option that the program did not declare is a mistake of the program") {
    CHECK_THROWS_AS(read_options(info, {}).integer("hiden"), std::invalid_argument);
    CHECK_THROWS_AS(read_options(info, {}).number("sentence"), std::invalid_argument);
}

TEST_CASE("the help names the question and each option with its default") {
    const std::string text = help_text(info);
    CHECK(text.starts_with("99_example: What is read?\n\nusage: 99_example [options]\n\n"));
    for (const char* line :
         {"  --seed N         where the random numbers begin (1)\n", "  --steps N        training steps (600)\n",
          "  --quick          a short run: 20 steps\n", "  --hidden N       size of the state (128)\n",
          "  --reversed       read the source backwards\n", "  --help           this text\n"}) {
        CHECK(text.find(line) != std::string::npos);
    }
}

TEST_CASE("the help tells the default of a number that is no whole one, too") {
    CHECK(help_text(info).find("  --dropout X      share that is dropped (0.1)\n") != std::string::npos);
}

TEST_CASE("the least and the most that a number may be are allowed") {
    CHECK(read_options(info, {"--hidden", "1"}).integer("hidden") == 1);
    CHECK(read_options(info, {"--hidden", "4096"}).integer("hidden") == 4096);
    CHECK(read_options(info, {"--seed", "0", "--dropout", "0"}).seed == 0);
}

TEST_CASE("a run that is not usual stays so, whatever follows") {
    CHECK_FALSE(read_options(info, {"--seed=2", "--threads=3"}).usual);
    CHECK_FALSE(read_options(info, {"--quick", "--hidden=128"}).usual);
}

TEST_CASE("what is three letters off, or one letter long, is taken for no other option") {
    for (const char* name : {"stxxx", "s"}) CHECK(error_of({std::string("--") + name}).ends_with(": --help lists them all"));
}

TEST_CASE("the help of --quick promises no number of steps where a program has none") {
    const ProgramInfo bare{.name = "bare", .question = "?", .out = {}, .data = {}, .own = {}};
    CHECK(help_text(bare).find("  --quick          a short run, to see that it works\n") != std::string::npos);
}
