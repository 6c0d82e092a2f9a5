#include "lookback/program/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <thread>

#include "lookback/program/error.h"

namespace lookback {

namespace {

// The common options are declared like a program's own, so that there is one way to read, check and explain them all.
std::vector<OptionInfo> all_options(const ProgramInfo& info) {
    const int threads = std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, 2);
    const std::string steps = info.steps == 0 ? "" : std::to_string(info.steps);
    const std::string quick =
        info.quick_steps == 0 ? "a short run, to see that it works" : fmt::format("a short run: {} steps", info.quick_steps);
    std::vector<OptionInfo> all = {
        {"seed", "N", "1", "where the random numbers begin", 0, std::numeric_limits<std::int64_t>::max()},
        {"steps", "N", steps, "training steps", 1, 1'000'000'000},
        {"quick", "", "", quick},
        {"threads", "N", std::to_string(threads), "threads; the results do not depend on it", 1, 256, false},
        {"out", "DIR", info.out.string(), "folder for the files it writes; made if it is missing", 0, 0, false},
    };
    if (!info.data.empty())
        all.push_back({"data", "DIR", info.data.string(), "folder of the corpus: train.tsv, valid.tsv, test*.tsv"});
    all.insert(all.end(), info.own.begin(), info.own.end());
    return all;
}

// The least number of letters to insert, delete or replace to turn one word into the other (Levenshtein 1966).
int edit_distance(std::string_view a, std::string_view b) {
    std::vector<int> row(b.size() + 1);
    std::iota(row.begin(), row.end(), 0);
    for (std::size_t i = 0; i < a.size(); ++i) {
        int diagonal = row[0]++;
        for (std::size_t j = 0; j < b.size(); ++j) {
            const int replaced = diagonal + (a[i] != b[j]);
            diagonal = row[j + 1];
            row[j + 1] = std::min({row[j] + 1, row[j + 1] + 1, replaced});
        }
    }
    return row.back();
}

[[noreturn]] void fail_unknown(const std::string& name, const std::vector<OptionInfo>& all) {
    const OptionInfo* closest = nullptr;
    int least = 3;    // further off than two letters is another word, unless it is an abbreviation
    for (const OptionInfo& option : all) {
        const int distance = name.size() >= 2 && option.name.starts_with(name) ? 0 : edit_distance(name, option.name);
        if (distance < least) {
            closest = &option;
            least = distance;
        }
    }
    if (!closest) throw BadInput(fmt::format("unknown option --{}: --help lists them all", name));
    throw BadInput(fmt::format("unknown option --{}: did you mean --{}?", name, closest->name));
}

template <typename Number>
std::optional<Number> parse(const std::string& text) {
    Number number{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return number;
}

void check_value(const OptionInfo& option, const std::string& value) {
    if (value.empty())
        throw BadInput(fmt::format("--{}: no value given: write --{} {}", option.name, option.name, option.metavar));
    bool fits = true;
    if (option.metavar == "N") {
        const auto number = parse<std::int64_t>(value);
        fits = number && *number >= option.least && *number <= option.most;
    } else if (option.metavar == "X") {
        const auto number = parse<double>(value);    // a NaN compares false
        fits = number && *number >= static_cast<double>(option.least) && *number <= static_cast<double>(option.most);
    }
    if (!fits) {
        throw BadInput(fmt::format("--{} {}: must be a {} from {} to {}", option.name, value,
                                   option.metavar == "N" ? "whole number" : "number", option.least, option.most));
    }
}

}    // namespace

bool Options::flag(const std::string& name) const { return !text(name).empty(); }

int Options::integer(const std::string& name) const {
    const auto number = parse<int>(text(name));
    if (!number) throw std::invalid_argument(fmt::format("options: --{} {} is no integer", name, text(name)));
    return *number;
}

double Options::number(const std::string& name) const {
    const auto number = parse<double>(text(name));
    if (!number) throw std::invalid_argument(fmt::format("options: --{} {} is no number", name, text(name)));
    return *number;
}

const std::string& Options::text(const std::string& name) const {
    const auto found = own.find(name);
    if (found == own.end()) throw std::invalid_argument(fmt::format("options: --{} was not declared in ProgramInfo::own", name));
    return found->second;
}

Options read_options(const ProgramInfo& info, const std::vector<std::string>& arguments) {
    const std::vector<OptionInfo> all = all_options(info);
    std::map<std::string, std::string> values;
    for (const OptionInfo& option : all) values[option.name] = option.value;

    Options options;
    bool steps_given = false;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const std::string& argument = arguments[i];
        if (!argument.starts_with("--") || argument == "--") {
            throw BadInput(fmt::format("unexpected argument '{}': options begin with two dashes, see --help", argument));
        }
        const std::size_t equals = argument.find('=');
        const std::string name = argument.substr(2, equals == std::string::npos ? equals : equals - 2);
        const auto option = std::find_if(all.begin(), all.end(), [&](const OptionInfo& o) { return o.name == name; });
        if (option == all.end()) fail_unknown(name, all);

        std::string value;
        if (option->metavar.empty()) {
            if (equals != std::string::npos) throw BadInput(fmt::format("{}: --{} takes no value", argument, name));
            value = "yes";
        } else {
            if (equals != std::string::npos) {
                value = argument.substr(equals + 1);
            } else if (i + 1 < arguments.size() && !arguments[i + 1].starts_with("--")) {
                value = arguments[++i];
            }
            check_value(*option, value);
        }
        if (option->changes_results && value != option->value) options.usual = false;
        values[name] = value;
        steps_given |= name == "steps";
    }

    options.seed = parse<std::uint64_t>(values["seed"]).value();
    options.quick = !values["quick"].empty();
    options.steps = options.quick && !steps_given ? info.quick_steps : parse<int>(values["steps"]).value_or(0);
    options.threads = parse<int>(values["threads"]).value();
    options.out = values["out"];
    if (!info.data.empty()) options.data = values["data"];
    for (const OptionInfo& option : info.own) options.own[option.name] = values[option.name];
    return options;
}

std::string help_text(const ProgramInfo& info) {
    std::string text = fmt::format("{}: {}\n\nusage: {} [options]\n\n", info.name, info.question, info.name);
    auto add = [&text](const std::string& left, const std::string& right) { text += fmt::format("  {:<16} {}\n", left, right); };
    for (const OptionInfo& option : all_options(info)) {
        const std::string value = option.value.empty() ? "" : fmt::format(" ({})", option.value);
        add(fmt::format("--{} {}", option.name, option.metavar), option.help + value);
    }
    add("--help", "this text");
    return text;
}

}    // namespace lookback
