// Would the gradient table notice a wrong gradient? Makes one small mistake at a time in the backward passes of src/ops (a sign
// flipped, operands swapped, a term dropped, `=` for `+=`, ...), and runs test_gradients on each. A mutant that no test notices is
// a gap in the table, or a change that changes nothing.
//
//     mutate BUILD [OP.cpp...]        e.g. mutate .build/tests src/ops/softmax.cpp
//
// What survives today (10 of 1,370) changes nothing: a buffer larger than needed (recurrent.cpp, three), the size of query for that
// of key where both are one tensor, and 0 written over 0 (attention.cpp, four), no return before a loop that does nothing
// (lookup.cpp), a size that no loop uses (shape.cpp), and rows of one element, whose softmax has no gradient (softmax.cpp).
//
// All mutants of a file are compiled at once, as copies of backward() from which the environment chooses: some 1,400 of them take
// a quarter of an hour. test_gradients is linked anew with them before those of the library, so nothing else is compiled.
#include <fmt/format.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "mistakes.h"

namespace {

using std::size_t;

struct Mutant {
    int number;
    size_t line;                   // of the change in the file
    std::string from, to;          // what was changed into what
    std::string body;              // the backward pass with this change
    size_t first = 0, last = 0;    // lines of its copy in what is compiled
    bool compiles = true, killed = false;
};

struct Pass {    // a backward pass
    std::string name, parameters;
    size_t begin, open, close;    // bytes of the file: its signature, its braces
    std::vector<Mutant> mutants;
};

struct Source {
    std::filesystem::path path;
    std::string text;
    std::vector<Pass> passes;
};

std::string read(const std::filesystem::path& path) {
    std::ifstream in(path);
    if (!in) throw std::runtime_error(fmt::format("cannot read {}", path.string()));
    return {std::istreambuf_iterator<char>(in), {}};
}

std::pair<int, std::string> run(const std::string& command) {
    std::FILE* pipe = popen(command.c_str(), "r");
    if (!pipe) throw std::runtime_error("cannot run: " + command);
    std::string text;
    for (int c; (c = std::fgetc(pipe)) != EOF;) text += static_cast<char>(c);
    const int status = pclose(pipe);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, text};
}

size_t closing_brace(const std::string& text, size_t open) {
    for (size_t at = open, depth = 0;; ++at) {
        if (text.at(at) == '{') ++depth;
        if (text.at(at) == '}' && --depth == 0) return at;
    }
}

size_t line_of(const std::string& text, size_t at) {
    return 1 + static_cast<size_t>(std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n'));
}

Source read_source(const std::filesystem::path& path, int& number) {
    // void backward() override {, or a function whose name ends so
    static const std::regex signature(R"(void (\w*backward)\(([^)]*)\)( override)? \{)");
    Source source{path, read(path), {}};
    const std::string& text = source.text;
    for (std::sregex_iterator match(text.begin(), text.end(), signature), none; match != none; ++match) {
        const size_t begin = static_cast<size_t>(match->position()), open = begin + static_cast<size_t>(match->length()) - 1;
        Pass pass{(*match)[1], (*match)[2], begin, open, closing_brace(text, open), {}};
        std::set<std::string> seen = {text.substr(open, pass.close + 1 - open)};    // to swap two that are equal changes nothing
        for (const auto& [from, to, with] : mutate::mistakes(text, open + 1, pass.close)) {
            const std::string body = text.substr(open, from - open) + with + text.substr(to, pass.close + 1 - to);
            if (!seen.insert(body).second) continue;
            pass.mutants.push_back({++number, line_of(text, from), text.substr(from, to - from), with, body});
        }
        source.passes.push_back(std::move(pass));
    }
    return source;
}

// The file with each mutant that compiles beside its original, which asks the environment for one.
std::string with_mutants(Source& source) {
    const size_t includes = source.text.find("namespace lookback {");
    std::string result = source.text.substr(0, includes) + R"(
#include <algorithm>
#include <cstdlib>
#include <vector>
namespace lookback::mutation {
inline const int number = std::getenv("LOOKBACK_MUTANT") ? std::atoi(std::getenv("LOOKBACK_MUTANT")) : 0;
)" + mutate::functions + "}\n";
    size_t done = includes;
    for (Pass& pass : source.passes) {
        result += source.text.substr(done, pass.begin - done);
        std::string arguments, choices;
        static const std::regex parameter(R"((\w+)(,|$))");
        for (std::sregex_iterator match(pass.parameters.begin(), pass.parameters.end(), parameter), none; match != none; ++match)
            arguments += (arguments.empty() ? "" : ", ") + (*match)[1].str();
        for (Mutant& mutant : pass.mutants) {
            if (!mutant.compiles) continue;
            mutant.first = line_of(result, result.size());
            result += fmt::format("void {}_{}({}) {}\n", pass.name, mutant.number, pass.parameters, mutant.body);
            mutant.last = line_of(result, result.size()) - 1;
            choices += fmt::format("case {0}: return {1}_{0}({2}); ", mutant.number, pass.name, arguments);
        }
        result += source.text.substr(pass.begin, pass.open + 1 - pass.begin);
        result += fmt::format(" switch (lookback::mutation::number) {{ {} }}", choices);
        done = pass.open + 1;
    }
    return result + source.text.substr(done);
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
    for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) text.replace(at, from.size(), to);
    return text;
}

std::string command_of(const std::string& build, const std::string& target) {
    const std::string commands = run(fmt::format("ninja -C '{}' -t commands -s '{}'", build, target)).second;
    const size_t end = commands.find_last_not_of('\n'), begin = commands.rfind('\n', end) + 1;
    return commands.substr(begin, end + 1 - begin);
}

// Compiles the mutants as ninja compiles the library. What the compiler names is no mutant, and is left out the next time.
std::string compile(Source& source, const std::string& build, const std::filesystem::path& folder) {
    const std::string name = source.path.stem(),
                      objects = "src/liblookback_double.a.p/meson-generated_lookback_double-unity0.cpp.o";
    const std::filesystem::path file = folder / (name + ".cpp"), made = folder / (name + ".o");
    std::string command = replaced(command_of(build, objects), objects, made.string());
    command = command.substr(0, command.rfind(" -c ")) + " -c " + file.string();
    command = std::regex_replace(replaced(command, " -Werror", ""), std::regex(" -O[1-3]"), " -O0");
    for (int attempt = 0; attempt < 5; ++attempt) {
        std::ofstream(file) << with_mutants(source);
        const auto [status, said] = run(fmt::format("cd '{}' && {} -w -fdiagnostics-color=never 2>&1", build, command));
        if (status == 0) return made;
        const std::regex place("/" + name + R"(\.cpp:(\d+):\d+: *(error|required from here|note: in instantiation))");
        bool left_out = false;
        for (std::sregex_iterator match(said.begin(), said.end(), place), none; match != none; ++match)
            for (Pass& pass : source.passes)
                for (Mutant& mutant : pass.mutants) {
                    const size_t line = std::stoul((*match)[1]);
                    if (!mutant.compiles || line < mutant.first || line > mutant.last) continue;
                    mutant.compiles = false;
                    left_out = true;
                }
        if (!left_out) throw std::runtime_error(said);
    }
    throw std::runtime_error(fmt::format("{} does not compile", file.string()));
}

}    // namespace

int main(int argc, char** argv) try {
    if (argc < 2) throw std::runtime_error("usage: mutate BUILD [OP.cpp...]");
    const std::string build = std::filesystem::absolute(argv[1]);
    std::vector<std::filesystem::path> files(argv + 2, argv + argc);
    if (files.empty())
        for (const auto& entry : std::filesystem::directory_iterator(LOOKBACK_SOURCE "/src/ops"))
            if (entry.path().extension() == ".cpp") files.push_back(entry.path());
    std::ranges::sort(files);
    const std::filesystem::path folder = build + "/mutants", program = folder / "test_gradients";
    std::filesystem::create_directories(folder);

    int numbers = 0;
    std::vector<Source> sources;
    std::string objects;
    for (const std::filesystem::path& path : files) {
        sources.push_back(read_source(path, numbers));
        objects += compile(sources.back(), build, folder) + " ";
    }
    const std::string link = replaced(command_of(build, "tests/test_gradients"), "-o tests/test_gradients ",
                                      fmt::format("-o {} -Wl,-z,muldefs {}", program.string(), objects));
    if (const auto [status, said] = run(fmt::format("cd '{}' && {} 2>&1", build, link)); status != 0)
        throw std::runtime_error(said);
    const auto passes = [&](int number) {
        return std::system(
                   fmt::format("LOOKBACK_MUTANT={} timeout 60 '{}' --abort-after=1 >/dev/null 2>&1", number, program.string())
                       .c_str()) == 0;
    };
    if (!passes(0)) throw std::runtime_error("test_gradients fails without a mutant");

    std::vector<Mutant*> mutants;
    for (Source& source : sources)
        for (Pass& pass : source.passes)
            for (Mutant& mutant : pass.mutants)
                if (mutant.compiles) mutants.push_back(&mutant);
    std::atomic<size_t> next = 0;
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < std::max(1U, std::thread::hardware_concurrency()); ++i)
        threads.emplace_back([&] {
            for (size_t m; (m = next++) < mutants.size();) mutants[m]->killed = !passes(mutants[m]->number);
        });
    for (std::thread& thread : threads) thread.join();

    size_t killed = 0;
    for (const Source& source : sources)
        for (const Pass& pass : source.passes)
            for (const Mutant& mutant : pass.mutants) {
                killed += mutant.killed;
                if (mutant.compiles && !mutant.killed)
                    fmt::print("{}:{}: #{} survives: {}  ->  {}\n", source.path.filename().string(), mutant.line, mutant.number,
                               mutant.from, mutant.to);
            }
    fmt::print("{} of {} mutants killed, {:.1f} %; {} more do not compile\n", killed, mutants.size(),
               100 * static_cast<double>(killed) / static_cast<double>(mutants.size()),
               numbers - static_cast<int>(mutants.size()));
    return killed < mutants.size() * 98 / 100;
} catch (const std::exception& error) {
    fmt::print("{}\n", error.what());
    return 1;
}
