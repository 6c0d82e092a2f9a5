// What does a training step of the models of 12_contrast take, without the checked mode and with it? Each thread has one shard, a
// quarter of a batch of 32, the same at each step; in turn without and with, and of each the cheapest step. Counted is the processor
// time of all threads: other programs change it least. debugger.sh runs this in several builds.
//
//     debugger TRAIN.tsv [SECONDS]        a line for each model: name, threads, ms without, ms with
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <numeric>
#include <string>
#include <vector>

#include "lookback/models/translator.h"
#include "lookback/optim/data_parallel.h"
#include "lookback/optim/optimizer.h"
#include "lookback/program/error.h"
#include "lookback/program/stopwatch.h"
#include "lookback/tensor/debugger.h"

using namespace lookback;

namespace {

template <class Model>
void measure(const char* name, Model model, const std::vector<Example>& examples, int threads, double budget) {
    Workers workers(threads);
    Adam adam(model, {.lr = 1e-6});
    DataParallel<Model> parallel(model, threads, workers);
    std::vector<int> rows(8 * threads);
    std::iota(rows.begin(), rows.end(), 0);
    const Batch batch = make_batch(examples, rows);
    const std::vector<Batch> parts = shards(batch, threads);
    double cheapest[2] = {1e9, 1e9};
    for (const Stopwatch whole; whole.seconds() < budget; checking = !checking) {
        const std::clock_t begin = std::clock();
        zero_grad(model);
        parallel.backward(static_cast<int>(parts.size()), [&](Model& replica, int part) {
            return cross_entropy(replica(parts[part]), parts[part].target_out,
                                 {.ignore_index = Vocabulary::pad, .divisor = static_cast<double>(batch.target_tokens)});
        });
        clip_grad_norm(model, 1.0);
        adam.step();
        const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
        cheapest[checking] = std::min(cheapest[checking], seconds);
    }
    fmt::print("{} {} {:.3f} {:.3f}\n", name, threads, 1e3 * cheapest[0], 1e3 * cheapest[1]);
}

}    // namespace

int main(int argc, char** argv) {
    if (argc < 2) {
        fmt::print(stderr, "usage: debugger TRAIN.tsv [SECONDS]\n");
        return 2;
    }
    const double budget = argc > 2 ? std::atof(argv[2]) : 2;
    std::vector<Pair> pairs;
    try {
        pairs = read_pairs(argv[1]);
    } catch (const BadInput& error) {
        fmt::print(stderr, "debugger: {}\n", error.what());
        return 2;
    }
    const Vocabulary source = vocabulary_of(pairs, &Pair::source), target = vocabulary_of(pairs, &Pair::target);
    pairs.resize(std::min<std::size_t>(32, pairs.size()));
    const std::vector<Example> examples = encode(pairs, source, target);
    Random random(1);
    const int V = source.size(), W = target.size();
    for (const int threads : {1, 2}) {
        measure("fixed", FixedVector(V, W, random), examples, threads, budget);
        measure("attention", AttentionTranslator(V, W, random), examples, threads, budget);
        measure("transformer", TransformerTranslator(V, W, random, {}), examples, threads, budget);
    }
}
