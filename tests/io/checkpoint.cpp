#include "lookback/io/checkpoint.h"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <limits>
#include <thread>

#include "error_of.h"
#include "lookback/models/translator.h"
#include "lookback/optim/data_parallel.h"
#include "lookback/program/error.h"
#include "lookback/program/file.h"
#include "program/child.h"

using namespace lookback;

namespace {

// A folder of the test's own, removed at the end.
struct Folder {
    std::filesystem::path path = std::filesystem::temp_directory_path() / fmt::format("lookback-checkpoint-test-{}", getpid());
    Folder() { std::filesystem::create_directory(path); }
    ~Folder() { std::filesystem::remove_all(path); }
    std::ptrdiff_t files() const { return std::distance(std::filesystem::directory_iterator(path), {}); }
};

constexpr int vocabulary = 12, batch_size = 4, shard_count = 2, total_steps = 1000;

// Sentences of noise, enough of them for several epochs in a test.
std::vector<Example> sentences(std::uint64_t seed) {
    Random random(seed);
    const auto sentence = [&] {
        std::vector<int> ids(1 + random.below(5));
        for (int& id : ids) id = 4 + static_cast<int>(random.below(vocabulary - 4));
        return ids;
    };
    std::vector<Example> examples;
    for (int i = 0; i < 30; ++i) {
        const std::vector<int> source = sentence();
        examples.push_back({source, sentence()});
    }
    return examples;
}

template <class Model>
Model make_model(Random& random, int hidden = 6) {
    if constexpr (std::is_same_v<Model, FixedVector>) return FixedVector(vocabulary, vocabulary, random, 4, hidden);
    if constexpr (std::is_same_v<Model, AttentionTranslator>)
        return AttentionTranslator(vocabulary, vocabulary, random, 4, hidden, 3);
    if constexpr (std::is_same_v<Model, TransformerTranslator>)
        return TransformerTranslator(vocabulary, vocabulary, random, {.size = 8, .heads = 2, .feed_forward = 10, .dropout = 0.2});
}

// Everything of a training process: begun anew by each, and so taken up from a checkpoint or from nothing. The Transformer has
// dropout, whose generator remembers how often it was asked.
template <class Model>
struct Run {
    std::vector<Example> examples;
    Random start{1}, dropout{2};
    Model model;
    Adam adam;
    BatchStream stream;
    Workers workers{1};
    DataParallel<Model> parallel;
    std::vector<double> losses;
    double tokens = 0;
    Training training;

    explicit Run(std::vector<Example> data = sentences(3), double decay = 0.01, int hidden = 6)
        : examples(std::move(data)),
          model(make_model<Model>(start, hidden)),
          adam(model, {.lr = 0.01, .weight_decay = decay}),
          stream(examples, batch_size, Random(4)),
          parallel(model, shard_count, workers),
          training{.weights = named_parameters(model),
                   .adam = adam,
                   .stream = stream,
                   .losses = losses,
                   .counts = {{"tokens", &tokens}},
                   .settings = {{"steps", fmt::format("{}", total_steps)}},
                   .random = &dropout} {}
    Run(const Run&) = delete;

    int steps() const { return static_cast<int>(losses.size()); }

    void step() {
        const Batch batch = stream.next();
        const std::vector<Batch> parts = shards(batch, shard_count);
        std::vector<Random> generators;
        for (std::size_t part = 0; part < parts.size(); ++part) generators.emplace_back(dropout.next());
        zero_grad(model);
        losses.push_back(parallel.backward(static_cast<int>(parts.size()), [&](Model& replica, int part) {
            Tensor logits;
            if constexpr (std::is_same_v<Model, TransformerTranslator>)
                logits = replica(parts[part], {&generators[part]});
            else
                logits = replica(parts[part]);
            return cross_entropy(logits, parts[part].target_out,
                                 {.ignore_index = Vocabulary::pad, .divisor = static_cast<double>(batch.target_tokens)});
        }));
        clip_grad_norm(model, 1.0);
        adam.options.lr *= 0.99;    // a schedule that is nowhere but here
        adam.step();
        tokens += batch.target_tokens;
    }
};

}    // namespace

TEST_CASE_TEMPLATE("2n steps equal n steps, a checkpoint, another run and n steps: every bit of what is kept", Model, FixedVector,
                   AttentionTranslator, TransformerTranslator) {
    const Folder folder;
    constexpr int n = 13;    // in the middle of the second epoch
    Run<Model> whole;
    for (int step = 0; step < 2 * n; ++step) whole.step();
    save_checkpoint(whole.training, folder.path / "whole");

    {
        Run<Model> first;
        CHECK_FALSE(load_checkpoint(first.training, folder.path / "parts"));
        for (int step = 0; step < n; ++step) first.step();
        save_checkpoint(first.training, folder.path / "parts");
    }
    Run<Model> second;
    second.step();    // what it did before does not count
    CHECK(load_checkpoint(second.training, folder.path / "parts"));
    CHECK(second.steps() == n);
    for (int step = 0; step < n; ++step) second.step();
    save_checkpoint(second.training, folder.path / "parts");

    CHECK(second.losses == whole.losses);
    CHECK(second.tokens == whole.tokens);
    CHECK(read_file(folder.path / "parts") == read_file(folder.path / "whole"));
    CHECK(folder.files() == 2);
}

TEST_CASE("to save and go on equals to go on") {
    const Folder folder;
    Run<FixedVector> plain, saved;
    for (int step = 0; step < 5; ++step) {
        plain.step();
        saved.step();
        save_checkpoint(saved.training, folder.path / "x");
    }
    CHECK(plain.losses == saved.losses);
}

TEST_CASE("with an empty path nothing is read or written") {
    Run<FixedVector> run;
    save_checkpoint(run.training, "");
    CHECK_FALSE(load_checkpoint(run.training, ""));
}

TEST_CASE("a checkpoint of another model, of other data or of other settings is refused by what differs, and nothing changes") {
    const Folder folder;
    const std::filesystem::path path = folder.path / "x";
    Run<FixedVector> run;
    run.step();
    save_checkpoint(run.training, path);

    const auto refused = [&](auto& other) {
        other.step();
        save_checkpoint(other.training, folder.path / "before");
        const std::string message = error_of([&] { load_checkpoint(other.training, path); });
        save_checkpoint(other.training, folder.path / "after");
        CHECK(read_file(folder.path / "after") == read_file(folder.path / "before"));
        return message.substr(std::min(message.size(), path.string().size() + 2));
    };
    Run<AttentionTranslator> attention;
    CHECK(refused(attention) == "tensor \"model.encoder.weight_ih_l0\" is (18, 4); the model's is (9, 4)");
    Run<FixedVector> wide(sentences(3), 0.01, 8);
    CHECK(refused(wide) == "tensor \"model.encoder.weight_ih_l0\" is (18, 4); the model's is (24, 4)");
    Run<FixedVector> other_data(sentences(5));
    CHECK(refused(other_data).starts_with("fingerprint of the data and their order was \""));
    Run<FixedVector> other_decay(sentences(3), 0.02);
    CHECK(refused(other_decay) ==
          "Adam was \"beta1 0.9, beta2 0.999, eps 1e-08, weight_decay 0.01\" and is \"beta1 0.9, beta2 0.999, eps 1e-08, "
          "weight_decay 0.02\" now: go on with the data and options you began with, or in another place");
    Run<FixedVector> longer;
    longer.training.settings["steps"] = "2000";
    CHECK(refused(longer) ==
          "steps was \"1000\" and is \"2000\" now: go on with the data and options you began with, or in another place");
    Run<FixedVector> without_dropout;
    without_dropout.training.random = nullptr;
    CHECK(refused(without_dropout).starts_with("a generator was \"yes\" and is \"no\" now"));
}

TEST_CASE("a damaged checkpoint is refused by what is wrong with it, and nothing changes") {
    const Folder folder;
    const std::filesystem::path path = folder.path / "x";
    Run<FixedVector> run, other;
    run.step();
    save_checkpoint(run.training, path);
    other.step();
    other.step();
    save_checkpoint(other.training, folder.path / "before");
    const Safetensors good = read_safetensors(path);
    const auto refused = [&](auto damage) {
        Safetensors bad = good;
        damage(bad);
        write_safetensors(path, bad.tensors, bad.metadata);
        const std::string message = error_of([&] { load_checkpoint(other.training, path); });
        save_checkpoint(other.training, folder.path / "after");
        CHECK(read_file(folder.path / "after") == read_file(folder.path / "before"));
        return message.substr(std::min(message.size(), path.string().size() + 2));
    };
    const auto entry = [&](const std::string& key, const std::string& text) {
        return refused([&](Safetensors& file) { file.metadata[key] = text; });
    };
    CHECK(refused([](Safetensors& file) {
              for (StoredTensor& tensor : file.tensors)
                  if (tensor.name == "adam.second_moment.out.bias") tensor.values[2] = std::numeric_limits<double>::quiet_NaN();
          }) == "tensor \"adam.second_moment.out.bias\" holds nan at element 2");
    CHECK(refused([](Safetensors& file) {
              for (StoredTensor& tensor : file.tensors)
                  if (tensor.name == "adam.second_moment.out.bias") tensor.values[1] = -0.5;
          }) == "tensor \"adam.second_moment.out.bias\" holds -0.5 at element 1");
    CHECK(refused([](Safetensors& file) { file.tensors.back().values[0] = std::numeric_limits<double>::infinity(); }) ==
          "tensor \"losses\" holds inf at element 0");
    CHECK(refused([](Safetensors& file) { file.metadata.erase("adam.steps"); }) ==
          "it has no \"adam.steps\": it is no checkpoint, or a damaged one");
    CHECK(refused([](Safetensors& file) { file.tensors.pop_back(); }) ==
          "it has no list of losses: it is no checkpoint, or a damaged one");
    CHECK(refused([](Safetensors& file) {
              file.tensors.erase(file.tensors.begin());
          }).starts_with("tensor \"model.source_embedding.weight\" is missing; the model has one of (12, 4)"));
    CHECK(entry("adam.steps", "-1") == "\"adam.steps\" is \"-1\": a number from 0 to 1000000000 was expected");
    CHECK(entry("adam.steps", "2147483647") == "\"adam.steps\" is \"2147483647\": a number from 0 to 1000000000 was expected");
    CHECK(entry("adam.lr", "nan") == "\"adam.lr\" is \"nan\": a number from 0 to 1000000000000000 was expected");
    CHECK(entry("adam.lr", "inf") == "\"adam.lr\" is \"inf\": a number from 0 to 1000000000000000 was expected");
    CHECK(entry("count.tokens", "many") == "\"count.tokens\" is \"many\": a number from 0 to 1000000000000000 was expected");
    CHECK(entry("stream.position", "99999999999") ==
          "\"stream.position\" is \"99999999999\": a number from 0 to 1000000000 was expected");
    CHECK(entry("stream.position", "8") == "BatchStream: no batch 8 in epoch 0: an epoch has batches 0 .. 7");
    CHECK(entry("random", "1 2 3") == "\"random\" is \"\": a number from 0 to 18446744073709551615 was expected");
    CHECK(entry("random", "0 0 0 0") == "\"random\" is all 0, which no generator is");
    write_safetensors(path, good.tensors, good.metadata);
    CHECK(load_checkpoint(other.training, path));
}

static std::string first_checkpoint(Run<FixedVector>& run, const std::filesystem::path& path) {
    run.step();
    save_checkpoint(run.training, path);
    return read_file(path);
}

TEST_CASE("what could not be loaded again is not saved, and the checkpoint before is whole") {
    const Folder folder;
    const std::filesystem::path path = folder.path / "x";
    Run<FixedVector> run;
    const std::string before = first_checkpoint(run, path);
    run.step();
    run.training.adam.second_moment[1].data()[3] = std::numeric_limits<real>::infinity();
    CHECK(error_of([&] {
              save_checkpoint(run.training, path);
          }).ends_with("holds NaN or inf: step 2 is not kept, what was kept before is as it was"));
    CHECK(read_file(path) == before);
}

TEST_CASE("a checkpoint that does not fit on the disk is an error that says so, and the one before is whole") {
    const Folder folder;
    const std::filesystem::path path = folder.path / "x";
    Run<FixedVector> run;
    const std::string before = first_checkpoint(run, path);
    const Outcome outcome = run_in_child([&] {
        run.step();
        signal(SIGXFSZ, SIG_IGN);    // so that the write fails, as on a full disk
        const rlimit limit{1000, 1000};
        setrlimit(RLIMIT_FSIZE, &limit);
        fmt::print(stderr, "{}", error_of([&] { save_checkpoint(run.training, path); }));
        return 0;
    });
    CHECK(outcome.error ==
          fmt::format("cannot write {}: File too large: step 2 is not kept, what was kept before is as it was", path.string()));
    CHECK(read_file(path) == before);
    CHECK(folder.files() == 1);
}

TEST_CASE("a training that is killed at 100 random moments ends in the bits of one that was never killed") {
    const Folder folder;
    const std::filesystem::path path = folder.path / "killed";
    using Life = Run<TransformerTranslator>;
    // A process that trains and keeps each step, until that many are done.
    const auto live = [&](int until) {
        const pid_t child = fork();
        if (child != 0) return child;
        Life life;
        load_checkpoint(life.training, path);
        while (life.steps() < until) {
            life.step();
            save_checkpoint(life.training, path);
        }
        _exit(0);
    };
    const auto steps_kept = [&] {
        Life life;
        load_checkpoint(life.training, path);
        return life.steps();
    };

    using Clock = std::chrono::steady_clock;
    const Clock::time_point begin = Clock::now();
    int status = 0;
    waitpid(live(2), &status, 0);
    REQUIRE(status == 0);
    const std::chrono::duration<double> time = Clock::now() - begin;    // what 2 steps take here, and a start

    Random random(static_cast<std::uint64_t>(getpid()));
    int kills = 0, in_writing = 0;
    while (kills < 100) {
        const pid_t child = live(std::numeric_limits<int>::max());
        std::this_thread::sleep_for(time * random.uniform());
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
        REQUIRE(WIFSIGNALED(status));
        ++kills;
        in_writing += folder.files() > 1;    // beside the old checkpoint lay a part of the new one
    }
    const int steps = steps_kept() + 3;
    waitpid(live(steps), &status, 0);
    REQUIRE(status == 0);

    Life never_killed;
    while (never_killed.steps() < steps) never_killed.step();
    save_checkpoint(never_killed.training, folder.path / "never killed");
    CHECK(read_file(path) == read_file(folder.path / "never killed"));
    CHECK(folder.files() == 2);
    MESSAGE(kills, " kills in ", steps, " steps, ", in_writing, " of them while a checkpoint was written");
}

TEST_CASE("what adds up is kept to the last bit") {
    const Folder folder;
    Run<FixedVector> run;
    run.step();
    run.tokens = 123'456'789.125;
    save_checkpoint(run.training, folder.path / "x");
    run.tokens = 0;
    load_checkpoint(run.training, folder.path / "x");
    CHECK(run.tokens == 123'456'789.125);
}

TEST_CASE("a checkpoint may stand in the current folder") {
    const Folder folder;
    const std::filesystem::path before = std::filesystem::current_path();
    std::filesystem::current_path(folder.path);
    Run<FixedVector> run, again;
    CHECK(error_of([&] { load_checkpoint(run.training, "x"); }) == "(no error)");
    run.step();
    save_checkpoint(run.training, "x");
    CHECK(load_checkpoint(again.training, "x"));
    std::filesystem::current_path(before);
    CHECK(again.losses == run.losses);
}

TEST_CASE("losses are a list of doubles, or it is no checkpoint") {
    const Folder folder;
    Run<FixedVector> run;
    run.step();
    save_checkpoint(run.training, folder.path / "x");
    const Safetensors good = read_safetensors(folder.path / "x");
    for (const auto& [dtype, shape] : {std::pair<std::string, Shape>("F32", {1}), {"F64", {1, 1}}, {"F64", {}}}) {
        std::vector<StoredTensor> tensors = good.tensors;
        tensors.back().dtype = dtype;
        tensors.back().shape = shape;
        write_safetensors(folder.path / "x", tensors, good.metadata);
        CHECK(error_of([&] { load_checkpoint(run.training, folder.path / "x"); }).find("it has no list of losses") !=
              std::string::npos);
    }
}
