// How fast do the three models of 12_contrast train and translate? Sizes, batches and optimiser are those of a PyTorch program that
// a user would write instead (torch_translate.py, run beside this by compare.sh), and so are the fields of the one line of JSON.
//
//     translate_bench TRAIN.tsv {fixed,attention,transformer} [--seconds 20 | --steps N] [--batch 64] [--threads 2]
//                     [--width 128]
//
// Embedding 64, hidden 128 (attention: 64 each way, a score of 128); Transformer: 4 heads, 2 + 2 layers, feed-forward 4 widths,
// pre-norm. Adam, gradient norm clipped at 1, no dropout, batches of like length. --width is the width of the Transformer, and the
// hidden size of the other two. Tokens are target tokens without padding; the time of making a batch is not counted.
#include <fmt/format.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "lookback/decode/greedy.h"
#include "lookback/models/translator.h"
#include "lookback/optim/data_parallel.h"
#include "lookback/optim/optimizer.h"
#include "lookback/program/stopwatch.h"

using namespace lookback;

namespace {

struct Settings {
    std::string file, model;
    double seconds = 20;
    int steps = 0;    // 0: as many as the seconds allow
    int batch = 64, threads = 2, width = 128;
};

// A second; the words with </s>. Sentences compare only models that have learned as much: who has learned little ends them too early.
struct GreedySpeed {
    double sentences, words;
};

// Greedy decoding of `count` sentences, `side_by_side` at a time; each thread has a batch of its own.
template <class Model>
GreedySpeed greedy_speed(const Model& model, const std::vector<Example>& examples, int side_by_side, int count, Workers& workers,
                         Random& random) {
    std::vector<Batch> batches;
    for (int done = 0; done < count; done += side_by_side) {
        std::vector<int> rows;
        for (int row = 0; row < side_by_side; ++row) rows.push_back(static_cast<int>(random.below(examples.size())));
        batches.push_back(make_batch(examples, rows));
    }
    const Stopwatch watch;
    const Frozen frozen;    // from sentence to sentence the weights stay as they are
    std::atomic<std::size_t> words = 0;
    workers.run(static_cast<int>(batches.size()), [&](int index) {
        const Batch& batch = batches[index];
        const int longest = 2 * batch.source.shape[1];
        for (const Translation& translation : greedy(model, batch.source, batch.source_lengths, longest))
            words += std::min(translation.tokens.size() + 1, static_cast<std::size_t>(longest));
    });
    const double seconds = watch.seconds();
    return {count / seconds, static_cast<double>(words) / seconds};
}

// torch.nn.Embedding starts normal with deviation 1, our translators with 0.1: they learn more slowly at first, and after the same
// seconds would be asked to translate as models that know less.
template <class Model>
Model started_as_in_torch(Model model, Random& random) {
    for (Embedding* embedding : {&model.source_embedding, &model.target_embedding})
        *embedding = Embedding(embedding->weight.size(0), embedding->weight.size(1), random, 1);
    return model;
}

struct Training {
    int steps = 0;
    double tokens_per_second, loss, seconds_to_first_step;
};

// In more shards fewer activations are alive at a time, but each weight is read more often.
template <class Model>
Training train(Model& model, int shard_count, double learning_rate, const std::vector<Example>& examples,
               const Settings& settings, Workers& workers, const Stopwatch& since_start) {
    BatchStream stream(examples, settings.batch, Random(1), 8);
    Adam adam(model, {.lr = learning_rate}, &workers);
    DataParallel<Model> parallel(model, shard_count, workers);
    Training training;
    double busy = 0;
    long tokens = 0;
    while (settings.steps ? training.steps < settings.steps : busy < settings.seconds) {
        const Batch batch = stream.next();
        const Stopwatch watch;
        std::vector<Batch> parts = shards(batch, shard_count);
        std::ranges::reverse(parts);    // the longest sentences first: then the threads end at about the same time
        zero_grad(model);
        training.loss = parallel.backward(static_cast<int>(parts.size()), [&](Model& replica, int part) {
            return cross_entropy(replica(parts[part]), parts[part].target_out,
                                 {.ignore_index = Vocabulary::pad, .divisor = static_cast<double>(batch.target_tokens)});
        });
        clip_grad_norm(model, 1.0);
        adam.step();
        busy += watch.seconds();
        tokens += batch.target_tokens;
        if (++training.steps == 1) training.seconds_to_first_step = since_start.seconds();
    }
    training.tokens_per_second = static_cast<double>(tokens) / busy;
    return training;
}

template <class Model>
void measure(Model model, int shard_count, double learning_rate, const std::vector<Example>& examples, const Settings& settings,
             const Stopwatch& since_start) {
    Workers workers(settings.threads);
    const Training training = train(model, shard_count, learning_rate, examples, settings, workers, since_start);
    Random random(2);
    Workers alone(1);
    const GreedySpeed one = greedy_speed(model, examples, 1, 64, alone, random);
    const GreedySpeed many = greedy_speed(model, examples, 64, 512, workers, random);
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    fmt::print(
        "{{\"model\": \"{}\", \"parameters\": {}, \"steps\": {}, \"tokens_per_second\": {:.0f}, \"loss\": {:.4f}, "
        "\"greedy_sentences_per_second\": {{\"batch_1\": {:.1f}, \"batch_64\": {:.1f}}}, "
        "\"greedy_words_per_second\": {{\"words_1\": {:.0f}, \"words_64\": {:.0f}}}, \"peak_mib\": {}, "
        "\"seconds_to_first_step\": {:.3f}}}\n",
        settings.model, parameter_count(model), training.steps, training.tokens_per_second, training.loss, one.sentences,
        many.sentences, one.words, many.words, usage.ru_maxrss / 1024, training.seconds_to_first_step);
}

}    // namespace

int main(int argc, char** argv) {
    const Stopwatch since_start;
    Settings settings;
    for (int i = 1; i < argc; ++i) {
        const std::string argument = argv[i], value = i + 1 < argc ? argv[i + 1] : "";
        char* end = nullptr;
        double number = std::strtod(value.c_str(), &end);
        if (*end != 0 || number > 1e6 || (argument != "--seconds" && number != std::floor(number))) number = -1;
        if (argument == "--seconds" && number > 0)
            settings.seconds = number, ++i;
        else if (argument == "--steps" && number >= 1)
            settings.steps = static_cast<int>(number), ++i;
        else if (argument == "--batch" && number >= 1)
            settings.batch = static_cast<int>(number), ++i;
        else if (argument == "--threads" && number >= 1)
            settings.threads = static_cast<int>(number), ++i;
        else if (argument == "--width" && number >= 4)
            settings.width = static_cast<int>(number), ++i;
        else if (settings.file.empty() && argument[0] != '-')
            settings.file = argument;
        else if (settings.model.empty() && argument[0] != '-')
            settings.model = argument;
        else
            settings.model = "?";
    }
    if (settings.file.empty() ||
        (settings.model != "fixed" && settings.model != "attention" && settings.model != "transformer")) {
        std::fputs(
            "usage: translate_bench TRAIN.tsv {fixed,attention,transformer} [--seconds 20 | --steps N] [--batch 64] "
            "[--threads 2] [--width 128]\n",
            stderr);
        return 2;
    }
    try {
        std::vector<Pair> pairs = read_pairs(settings.file);
        const Vocabulary source = vocabulary_of(pairs, &Pair::source), target = vocabulary_of(pairs, &Pair::target);
        const std::vector<Example> examples = encode(pairs, source, target);
        pairs = {};    // the words are half of a small model's memory
#ifdef __GLIBC__
        malloc_trim(0);    // which malloc would keep
#endif
        Random random(1);
        const int V = source.size(), W = target.size(), H = settings.width;
        if (settings.model == "fixed") {
            measure(started_as_in_torch(FixedVector(V, W, random, 64, H), random), 6, 2e-3, examples, settings, since_start);
        } else if (settings.model == "attention") {
            measure(started_as_in_torch(AttentionTranslator(V, W, random, 64, H, H), random), 6, 2e-3, examples, settings,
                    since_start);
        } else {
            const TransformerOptions options{.size = H, .heads = 4, .feed_forward = 4 * H};
            measure(TransformerTranslator(V, W, random, options), 8, 1e-3, examples, settings, since_start);
        }
        if (std::fflush(stdout) != 0) throw std::runtime_error("cannot write the standard output");
    } catch (const std::exception& error) {
        std::fputs(fmt::format("translate_bench: {}\n", error.what()).c_str(), stderr);
        return 2;
    }
}
