// The reader of checkpoints: load_checkpoint into a small training.
#include "lookback/io/checkpoint.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "fuzz.h"
#include "lookback/program/file.h"

using namespace lookback;

namespace {

struct Model {
    Tensor weight, bias;
    void parameters(const Visit& visit) {
        visit("weight", weight);
        visit("bias", bias);
    }
};

struct Run {
    std::vector<Example> examples = {{{4, 2}, {5}}, {{5, 2}, {4, 4}}, {{5, 4, 2}, {5}}};
    Random generator{1};
    Model model{Tensor({2, 2}, {1, 2, 3, 4}), Tensor({2}, {5, 6})};
    Adam adam{model, {}};
    BatchStream stream{examples, 1, Random(2)};
    std::vector<double> losses;
    double tokens = 0;
    Training training{.weights = named_parameters(model),
                      .adam = adam,
                      .stream = stream,
                      .losses = losses,
                      .counts = {{"tokens", &tokens}},
                      .settings = {{"steps", "9"}},
                      .random = &generator};

    void step() {
        const Batch batch = stream.next();
        for (Tensor& parameter : adam.parameters) {
            parameter.zero_grad();
            for (std::size_t i = 0; i < parameter.size(); ++i) parameter.grad()[i] = static_cast<real>(generator.uniform());
        }
        adam.step();
        losses.push_back(batch.target_tokens);
        tokens += batch.target_tokens;
    }
};

std::string checkpoint_of(const Run& run) {
    const std::filesystem::path path = std::filesystem::temp_directory_path() / "seed";
    save_checkpoint(run.training, path);
    return read_file(path);
}

// All that a checkpoint holds, as numbers.
std::vector<double> state_of(const Run& run) {
    std::vector<double> state = run.losses;
    for (const auto& [name, tensor] : run.training.weights)
        state.insert(state.end(), tensor.data(), tensor.data() + tensor.size());
    for (const std::vector<Tensor>* moments : {&run.adam.first_moment, &run.adam.second_moment})
        for (const Tensor& moment : *moments) state.insert(state.end(), moment.data(), moment.data() + moment.size());
    for (const std::uint64_t word : run.generator.state) state.push_back(static_cast<double>(word) * 0x1p-64);
    state.insert(state.end(), {run.tokens, run.adam.options.lr, static_cast<double>(run.adam.steps)});
    state.insert(state.end(), {static_cast<double>(run.stream.epoch()), static_cast<double>(run.stream.position())});
    return state;
}

std::string replaced(std::string bytes, const std::string& from, const std::string& to) {
    const std::size_t at = bytes.find(from);
    fuzz::expect(at != std::string::npos && from.size() == to.size(), "a seed has changed: " + from);
    return bytes.replace(at, from.size(), to);
}

bool is_placed(std::string_view message, std::string_view bytes) {
    return fuzz::is_safetensors_place(message, bytes) || message.starts_with(" \"") || message.starts_with(" it has no ") ||
           message.starts_with(" BatchStream: ") || message.find(" was \"") != std::string_view::npos;
}

}    // namespace

std::vector<fuzz::Seed> fuzz::seeds() {
    Run run;
    const std::string at_once = checkpoint_of(run);
    run.step();
    run.step();
    const std::string bytes = checkpoint_of(run);
    return {{"good", bytes},
            {"at_once", at_once},
            {"truncated", bytes.substr(0, bytes.size() - 9)},
            {"other_model", replaced(bytes, "\"model.bias\"", "\"model.BIAS\"")},
            {"other_settings", replaced(bytes, "\"steps\": \"9\"", "\"steps\": \"8\"")},
            {"steps", replaced(bytes, "\"adam.steps\": \"2\"", "\"adam.steps\": \"-\"")},
            {"position", replaced(bytes, "\"stream.position\": \"2\"", "\"stream.position\": \"3\"")},
            {"no_losses", replaced(bytes, "\"losses\"", "\"LOSSES\"")},
            {"integers", replaced(bytes, "\"losses\": {\"dtype\": \"F64\"", "\"losses\": {\"dtype\": \"I64\"")},
            {"weights_only", safetensors(R"({"weight":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8)},
            {"gib", safetensors(R"({"losses":{"dtype":"F64","shape":[134217728],"data_offsets":[0,1073741824]}})", 8)}};
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* bytes, std::size_t size, std::size_t max_size, unsigned seed) {
    return fuzz::mutate_safetensors(bytes, size, max_size, seed);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    static const std::vector<double> begin = state_of(Run());
    static std::unique_ptr<Run> run;
    if (!run) run = std::make_unique<Run>();
    const auto load = [&](const std::filesystem::path& file) {
        fuzz::expect(load_checkpoint(run->training, file), "the file is not seen");
    };
    if (!fuzz::accepts(bytes, 16, is_placed, load)) {
        fuzz::expect(state_of(*run) == begin, "a refused checkpoint changed the training");
        return 0;
    }
    // The training goes on, and with numbers unless they are so large that they overflow.
    const std::vector<double> state = state_of(*run);
    run->step();
    if (std::ranges::all_of(state, [](double value) { return std::abs(value) < 1e9; }))
        for (const double value : state_of(*run)) fuzz::expect(std::isfinite(value), "a step from this checkpoint is no number");
    run.reset();
    return 0;
}
