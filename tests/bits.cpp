// Trains each of the three models of 12_contrast for 50 steps, small, and prints a hash of the bits of all their weights. The bits do
// not depend on how they were computed: threads, compiler, optimisation, vector width, reference kernels. tests/bits.sh tries them
// all against tests/bits.txt.
//
//     bits [--threads N]
#include <fmt/format.h>

#include <bit>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <string_view>

#include "lookback/models/translator.h"
#include "lookback/optim/data_parallel.h"
#include "lookback/optim/optimizer.h"

using namespace lookback;

namespace {

// FNV-1a over the bytes of the weights, least significant first.
template <class Model>
std::uint64_t hash_of(Model& model) {
    std::uint64_t hash = 0xcbf29ce484222325;
    for (const Tensor& parameter : parameters_of(model))
        for (const real x : parameter.values())
            for (int byte = 0; byte < 4; ++byte)
                hash = (hash ^ (std::bit_cast<std::uint32_t>(x) >> 8 * byte & 0xff)) * 0x100000001b3;
    return hash;
}

// Dropout, label smoothing and weight decay are there to have their arithmetic in the hash.
template <class Model>
void train(const char* name, Model model, const std::vector<Example>& examples, int threads) {
    constexpr int shard_count = 4, steps = 50;
    Workers workers(threads);
    BatchStream stream(examples, 16, Random(1));
    Adam adam(model, {.lr = 3e-3, .weight_decay = 0.01});
    DataParallel<Model> parallel(model, shard_count, workers);
    for (int step = 0; step < steps; ++step) {
        const Batch batch = stream.next();
        const std::vector<Batch> parts = shards(batch, shard_count);
        zero_grad(model);
        parallel.backward(static_cast<int>(parts.size()), [&](Model& replica, int part) {
            const int number = step * shard_count + part;
            Random random = Random(2).split(static_cast<std::uint64_t>(number));
            Tensor logits;
            if constexpr (std::is_same_v<Model, TransformerTranslator>)
                logits = replica(parts[part], {&random});
            else
                logits = replica(parts[part]);
            return cross_entropy(
                logits, parts[part].target_out,
                {.ignore_index = Vocabulary::pad, .label_smoothing = 0.1, .divisor = static_cast<double>(batch.target_tokens)});
        });
        clip_grad_norm(model, 1.0);
        adam.options.lr = 3e-3 * warmup_cosine(step, 10, steps);
        adam.step();
    }
    fmt::print("{:<12}{:016x}\n", name, hash_of(model));
}

}    // namespace

int main(int argc, char** argv) {
    int threads = argc == 1 ? 1 : 0;
    if (argc == 3 && std::string_view(argv[1]) == "--threads") {
        const char* end = argv[2] + std::string_view(argv[2]).size();
        if (std::from_chars(argv[2], end, threads).ptr != end) threads = 0;
    }
    if (threads < 1 || threads > 256) {
        fmt::print(stderr, "usage: bits [--threads N], 1 to 256\n");
        return 2;
    }
    const Corpus corpus = read_corpus(LOOKBACK_DATASETS "/english-french");
    const std::vector<Example> examples = encode(corpus.train, corpus.source, corpus.target);
    const int source = corpus.source.size(), target = corpus.target.size();
    Random random(1);    // sizes that fill no register
    train("fixed", FixedVector(source, target, random, 20, 37), examples, threads);
    train("attention", AttentionTranslator(source, target, random, 20, 38, 21), examples, threads);
    train("transformer",
          TransformerTranslator(source, target, random,
                                {.size = 36, .heads = 4, .feed_forward = 70, .dropout = 0.1, .activation = Activation::gelu}),
          examples, threads);
    return std::fflush(stdout) != 0;
}
