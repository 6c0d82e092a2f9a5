// Are the solutions of a tutorial true? Applies each change that tutorials/solutions/NN_name.md shows to a copy of the program,
// compiles it as the build compiles the program itself, runs it, and looks for the lines that the solution says it prints.
//
//     solutions BUILD NN_name.md NN_name.cpp [--all] [--update]
//
// In the .md, a section (##) has at most one ```diff block, and ```console blocks: `$ NN_name OPTIONS`, then lines that the output
// must have, whole and in this order; `...` stands for lines left out. A hunk of a diff is found by its ' ' and '-' lines; an empty
// line or @@ ends it. Without --all only that is run which takes a few seconds: what has --quick, and programs whose first line
// promises 5 s or less. The rest is compiled. --update puts in place of a line that the output lacks the one that looks most like it
// (after the arithmetic has changed, say): read the difference, and whether what the text says of it is still true.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <numeric>
#include <optional>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using Lines = std::vector<std::string>;

struct Section {
    std::string title;
    Lines diff;
    std::vector<Lines> consoles;
    std::vector<std::size_t> places;    // of the consoles' first lines in the markdown
};

Lines lines_of(const std::string& text) {
    Lines lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) {
        line.erase(line.find_last_not_of(" \t\r") + 1);
        lines.push_back(line);
    }
    return lines;
}

std::string read(const std::filesystem::path& path) {
    std::ifstream in(path);
    if (!in) throw std::runtime_error(fmt::format("cannot read {}", path.string()));
    return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<Section> sections_of(const Lines& markdown) {
    std::vector<Section> sections;
    Lines* block = nullptr;
    bool fenced = false;
    for (std::size_t place = 0; place < markdown.size(); ++place) {
        const std::string& line = markdown[place];
        if (line.starts_with("```")) {
            block = nullptr;
            fenced = !fenced;
            if (!fenced || sections.empty()) continue;
            Section& section = sections.back();
            if (line == "```diff") block = &section.diff;
            if (line == "```console") block = &section.consoles.emplace_back();
            if (line == "```console") section.places.push_back(place + 1);
            if (block && !block->empty()) throw std::runtime_error(fmt::format("{}: two diffs in one section", section.title));
        } else if (block) {
            block->push_back(line);
        } else if (!fenced && line.starts_with("## ")) {
            sections.push_back({line.substr(3), {}, {}, {}});
        }
    }
    return sections;
}

// The program with each hunk's ' ' and '-' lines replaced by its ' ' and '+' lines.
Lines changed(Lines program, const Lines& diff, const std::string& title) {
    Lines old_lines, new_lines;
    const auto apply = [&] {
        if (old_lines.empty() && new_lines.empty()) return;
        const auto found = std::search(program.begin(), program.end(), old_lines.begin(), old_lines.end());
        if (old_lines.empty() || found == program.end())
            throw std::runtime_error(
                fmt::format("{}: not in the program: {}", title, old_lines.empty() ? new_lines[0] : old_lines[0]));
        const auto at = program.erase(found, found + static_cast<std::ptrdiff_t>(old_lines.size()));
        program.insert(at, new_lines.begin(), new_lines.end());
        old_lines.clear();
        new_lines.clear();
    };
    for (const std::string& line : diff) {
        if (line.empty() || line.starts_with("@@")) {
            apply();
            continue;
        }
        if (line[0] != '+') old_lines.push_back(line.substr(1));
        if (line[0] != '-') new_lines.push_back(line.substr(1));
    }
    apply();
    return program;
}

struct Run {
    int status;
    Lines output;
};

Run run(const std::string& command) {
    std::FILE* pipe = popen(command.c_str(), "r");
    if (!pipe) throw std::runtime_error("cannot run: " + command);
    std::string text;
    for (int c; (c = std::fgetc(pipe)) != EOF;) text += static_cast<char>(c);
    const int status = pclose(pipe);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, lines_of(text)};
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
    for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) text.replace(at, from.size(), to);
    return text;
}

// Compiles as ninja compiles the program. Without linking, the syntax and types alone.
void compile(const std::string& build, const std::string& name, const std::filesystem::path& source,
             const std::filesystem::path& original, const std::filesystem::path& program, bool link) {
    const std::string object = fmt::format("tutorials/{0}.p/{0}.cpp.o", name), target = "tutorials/" + name;
    const auto command_of = [&](const std::string& file) {
        const Run commands = run(fmt::format("ninja -C '{}' -t commands -s '{}'", build, file));
        std::string last;
        for (const std::string& line : commands.output)
            if (!line.starts_with("ninja:")) last = line;
        return last;
    };
    std::string command = command_of(object);
    const std::regex source_path(fmt::format("[^ ]*{}", original.filename().string()));
    command = std::regex_replace(replaced(command, object, program.string() + ".o"), source_path, source.string());
    if (!link) command = replaced(command, " -c ", " -fsyntax-only ");
    if (link)
        command += " && " + replaced(replaced(command_of(target), object, program.string() + ".o"), "-o " + target + " ",
                                     "-o " + program.string() + " ");
    const Run compiled = run(fmt::format("cd '{}' && {{ {}; }} 2>&1", build, command));
    if (compiled.status != 0) throw std::runtime_error(fmt::format("does not compile:\n{}", fmt::join(compiled.output, "\n")));
}

// The first line that the output lacks.
std::optional<std::string> missing(const Lines& expected, const Run& result) {
    std::size_t at = 0;
    for (const std::string& line : expected) {
        if (line == "..." || line.empty()) continue;
        if (line.starts_with("exit ")) {
            if (std::to_string(result.status) != line.substr(5)) return fmt::format("{}, but it was {}", line, result.status);
            continue;
        }
        while (at < result.output.size() && result.output[at] != line) ++at;
        if (at++ == result.output.size()) return line;
    }
    return {};
}

// The expected lines, and in place of what the output lacks the line that has the most characters in the same places.
Lines updated(Lines expected, const Run& result) {
    const auto likeness = [](const std::string& a, const std::string& b) {
        return std::inner_product(a.begin(), a.begin() + std::min(a.size(), b.size()), b.begin(), 0, std::plus(),
                                  std::equal_to());
    };
    for (std::string& line : expected) {
        if (result.output.empty() || line == "..." || line.empty() ||
            std::ranges::find(result.output, line) != result.output.end())
            continue;
        line = line.starts_with("exit ") ? fmt::format("exit {}", result.status)
                                         : *std::ranges::max_element(result.output, {}, [&](const std::string& printed) {
                                               return likeness(printed, line);
                                           });
    }
    return expected;
}

}    // namespace

int main(int argc, char** argv) try {
    if (argc < 4) throw std::runtime_error("usage: solutions BUILD NN_name.md NN_name.cpp [--all]");
    const std::string build = argv[1];
    const std::filesystem::path markdown = argv[2], original = argv[3];
    const Lines flags(argv + 4, argv + argc);
    const bool all = std::ranges::count(flags, "--all") > 0, update = std::ranges::count(flags, "--update") > 0;
    Lines text = lines_of(read(markdown));
    const std::string name = original.stem();
    const Lines program = lines_of(read(original));
    std::smatch about;
    const bool short_run =
        std::regex_search(program.at(0), about, std::regex("\\(about ([0-9]+) s\\)")) && std::stoi(about[1]) <= 5;

    const std::filesystem::path folder =
        std::filesystem::temp_directory_path() / fmt::format("lookback-solutions-{}-{}", name, static_cast<long>(getpid()));
    std::filesystem::create_directories(folder);
    int passed = 0, failed = 0, not_run = 0;
    const auto check = [&](const std::string& title, const auto& call) {
        try {
            call();
            ++passed;
        } catch (const std::exception& error) {
            ++failed;
            fmt::print("{}: {}: {}\n", markdown.string(), title, error.what());
        }
    };
    int number = 0;
    for (const Section& section : sections_of(text)) {
        const auto to_run = [&](const Lines& console) {
            return all || short_run || console.at(0).find("--quick") != std::string::npos;
        };
        std::filesystem::path executable = build + "/tutorials/" + name;
        bool compiled = section.diff.empty();
        if (!section.diff.empty())
            check(section.title, [&] {
                const bool link = std::any_of(section.consoles.begin(), section.consoles.end(), to_run);
                executable = folder / fmt::format("{}_{}", name, ++number);
                const std::filesystem::path source = executable.string() + ".cpp";
                std::ofstream(source) << fmt::format("{}\n", fmt::join(changed(program, section.diff, section.title), "\n"));
                compile(build, name, source, original, executable, link);
                compiled = true;
            });
        for (std::size_t i = 0; i < section.consoles.size(); ++i) {
            const Lines& console = section.consoles[i];
            if (console.empty() || !console[0].starts_with("$ " + name)) {
                check(section.title, [&] { throw std::runtime_error("a console block that does not begin with $ " + name); });
            } else if (!compiled || !to_run(console)) {
                ++not_run;
            } else {
                check(section.title, [&] {
                    const Run result = run(fmt::format("cd '{}' && LOOKBACK_TRANSCRIPT=1 '{}' {} 2>&1", folder.string(),
                                                       executable.string(), console[0].substr(2 + name.size())));
                    Lines lines(console.begin() + 1, console.end());
                    if (update) {
                        lines = updated(lines, result);
                        std::ranges::copy(lines, text.begin() + static_cast<std::ptrdiff_t>(section.places[i]) + 1);
                    }
                    if (const auto line = missing(lines, result))
                        throw std::runtime_error(fmt::format("{}\nlacks the line\n{}\nand printed\n{}", console[0], *line,
                                                             fmt::join(result.output, "\n")));
                });
            }
        }
    }
    std::filesystem::remove_all(folder);
    if (update) std::ofstream(markdown) << fmt::format("{}\n", fmt::join(text, "\n"));
    if (not_run > 0) fmt::print("{} of its runs are long: sh tests/solutions.sh {}\n", not_run, name.substr(0, 2));
    fmt::print("{} passed, {} failed\n", passed, failed);
    return failed > 0;
} catch (const std::exception& error) {
    fmt::print("{}\n0 passed, 1 failed\n", error.what());
    return 1;
}
