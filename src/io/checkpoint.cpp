#include "lookback/io/checkpoint.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <type_traits>

#include "lookback/program/error.h"
#include "lookback/program/file.h"
#include "lookback/tensor/node.h"
#include "lookback/text/vocabulary.h"
#include "program/json.h"

namespace lookback {

namespace {

// model.NAME are the weights, adam.first_moment.NAME and adam.second_moment.NAME what Adam knows of each.
NamedTensors tensors_of(const Training& training) {
    NamedTensors tensors;
    for (const auto& [name, tensor] : training.weights) tensors.emplace_back("model." + name, tensor);
    const Adam& adam = training.adam;
    for (std::size_t p = 0; p < adam.parameters.size(); ++p) {
        const std::string& name = adam.parameters[p].node->name;
        tensors.emplace_back("adam.first_moment." + name, adam.first_moment[p]);
        tensors.emplace_back("adam.second_moment." + name, adam.second_moment[p]);
    }
    return tensors;
}

// What must be as it was when the checkpoint was written, in words.
std::map<std::string, std::string> settings_of(const Training& training) {
    std::map<std::string, std::string> settings = training.settings;
    const AdamOptions& adam = training.adam.options;
    settings["Adam"] =
        fmt::format("beta1 {}, beta2 {}, eps {}, weight_decay {}", adam.beta1, adam.beta2, adam.eps, adam.weight_decay);
    settings["fingerprint of the data and their order"] = fmt::format("{:016x}", training.stream.fingerprint());
    settings["a generator"] = training.random ? "yes" : "no";
    return settings;
}

// The metadata of a checkpoint as text and as numbers. Doubles are written in full: {} gives the shortest text that is read
// back as the same bits.
class Entries {
  public:
    Entries(const std::map<std::string, std::string>& from, const std::filesystem::path& path) : entries(from), file(path) {}

    const std::string& text(const std::string& key) const {
        const auto found = entries.find(key);
        if (found == entries.end()) fail(fmt::format("it has no \"{}\": it is no checkpoint, or a damaged one", key));
        return found->second;
    }

    // 0 or more; one more of it is another number.
    template <class Number>
    Number number(const std::string& key) const {
        return parse(key, text(key), static_cast<Number>(std::is_integral_v<Number> ? 1e9 : 1e15));
    }

    std::array<std::uint64_t, 4> state(const std::string& key) const {
        std::array<std::uint64_t, 4> words{};
        const std::vector<std::string> list = split(text(key));
        for (std::size_t i = 0; i < words.size(); ++i) words[i] = parse(key, i < list.size() ? list[i] : "", ~std::uint64_t{0});
        if (words == std::array<std::uint64_t, 4>{}) fail(fmt::format("\"{}\" is all 0, which no generator is", key));
        return words;
    }

    [[noreturn]] void fail(const std::string& what) const { throw BadInput(fmt::format("{}: {}", file.string(), what)); }

  private:
    template <class Number>
    Number parse(const std::string& key, const std::string& text, Number most) const {
        Number number{};
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
        if (error != std::errc() || end != text.data() + text.size() || !(number >= 0 && number <= most))
            fail(fmt::format("\"{}\" is {}: a number from 0 to {} was expected", key, json::shown(text), most));
        return number;
    }

    const std::map<std::string, std::string>& entries;
    const std::filesystem::path& file;
};

}    // namespace

void save_checkpoint(const Training& training, const std::filesystem::path& path) {
    if (path.empty()) return;
    std::map<std::string, std::string> metadata = settings_of(training);
    metadata["adam.steps"] = fmt::format("{}", training.adam.steps);
    metadata["adam.lr"] = fmt::format("{}", training.adam.options.lr);
    metadata["stream.epoch"] = fmt::format("{}", training.stream.epoch());
    metadata["stream.position"] = fmt::format("{}", training.stream.position());
    for (const auto& [key, count] : training.counts) metadata["count." + key] = fmt::format("{}", *count);
    if (training.random) metadata["random"] = fmt::format("{}", fmt::join(training.random->state, " "));

    std::vector<StoredTensor> tensors = lookback::stored(tensors_of(training));
    tensors.push_back({"losses", "F64", {static_cast<int>(training.losses.size())}, training.losses, {}});
    for (const StoredTensor& tensor : tensors)
        if (!std::ranges::all_of(tensor.values, [](double value) { return std::isfinite(value); }))
            throw BadInput(fmt::format("{}: {} holds NaN or inf: step {} is not kept, what was kept before is as it was",
                                       path.string(), json::shown(tensor.name), training.losses.size()));
    try {
        write_safetensors(path, tensors, metadata);
    } catch (const BadInput& error) {
        throw BadInput(
            fmt::format("{}: step {} is not kept, what was kept before is as it was", error.what(), training.losses.size()));
    }
}

bool load_checkpoint(const Training& training, const std::filesystem::path& path) {
    if (path.empty()) return false;
    remove_left_over(path);
    std::error_code error;    // read_safetensors tells the reason better
    if (std::filesystem::status(path, error).type() == std::filesystem::file_type::not_found) {
        make_writable_folder(path.has_parent_path() ? path.parent_path() : ".");
        return false;
    }

    // First all is read and checked, then all is set.
    Safetensors file = read_safetensors(path);
    const Entries entries(file.metadata, path);
    const auto found = std::ranges::find(file.tensors, "losses", &StoredTensor::name);
    if (found == file.tensors.end() || found->dtype != "F64" || found->shape.size() != 1)
        entries.fail("it has no list of losses: it is no checkpoint, or a damaged one");
    std::vector<double> losses = std::move(found->values);
    file.tensors.erase(found);
    const auto check = [&](const std::string& name, const std::vector<double>& values, double least) {
        const auto wrong = std::ranges::find_if(values, [least](double value) { return !std::isfinite(value) || value < least; });
        if (wrong != values.end())
            entries.fail(fmt::format("tensor {} holds {} at element {}", json::shown(name), *wrong, wrong - values.begin()));
    };
    check("losses", losses, std::numeric_limits<double>::lowest());

    for (const auto& [key, now] : settings_of(training))
        if (const std::string& then = entries.text(key); then != now)
            entries.fail(
                fmt::format("{} was {} and is {} now: go on with the data and options you began with, or in another place", key,
                            json::shown(then), json::shown(now)));

    const NamedTensors tensors = tensors_of(training);
    const std::vector<const StoredTensor*> sources = matching(tensors, file, path);
    for (const StoredTensor* source : sources)
        if (source->name.starts_with("adam.second_moment.")) check(source->name, source->values, 0);    // they are squares

    const auto steps = entries.number<int>("adam.steps");
    const auto learning_rate = entries.number<double>("adam.lr");
    BatchStream stream = training.stream;
    try {
        stream.seek(entries.number<int>("stream.epoch"), entries.number<int>("stream.position"));
    } catch (const std::invalid_argument& problem) {
        entries.fail(problem.what());
    }
    std::vector<double> counts;
    for (const auto& [key, count] : training.counts) counts.push_back(entries.number<double>("count." + key));
    const auto state = training.random ? entries.state("random") : std::array<std::uint64_t, 4>();

    fill(tensors, sources);
    training.adam.steps = steps;
    training.adam.options.lr = learning_rate;
    training.stream = std::move(stream);
    training.losses = std::move(losses);
    std::size_t next = 0;
    for (const auto& [key, count] : training.counts) *count = counts[next++];
    if (training.random) training.random->state = state;
    return true;
}

}    // namespace lookback
