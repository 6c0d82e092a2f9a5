// first_losses: the first ten training losses of the three models of 12_contrast, to all digits of a float. They change if any
// bit of initialisation, batches, forward, backward or Adam does; the tests compare them with transcripts/first_losses.txt, in
// every build and with every compiler.

#include <fmt/format.h>

#include "lookback/models/translator.h"
#include "lookback/optim/data_parallel.h"
#include "lookback/optim/optimizer.h"

using namespace lookback;

namespace {

// A short run, with the models of 12_contrast.
constexpr int seed = 1, batch_size = 64, shard_count = 4, warmup = 100, total_steps = 1000;

template <class Model>
void print_losses(const char* name, Model& model, double learning_rate, const std::vector<Example>& examples, Workers& workers) {
    BatchStream stream(examples, batch_size, Random(seed));
    Adam adam(model, {.lr = learning_rate});
    DataParallel<Model> parallel(model, shard_count, workers);
    for (int step = 0; step < 10; ++step) {
        const Batch batch = stream.next();
        const std::vector<Batch> parts = shards(batch, shard_count);
        zero_grad(model);
        const double loss = parallel.backward(static_cast<int>(parts.size()), [&](Model& replica, int part) {
            return cross_entropy(replica(parts[part]), parts[part].target_out,
                                 {.ignore_index = Vocabulary::pad, .divisor = static_cast<double>(batch.target_tokens)});
        });
        clip_grad_norm(model, 1.0);
        adam.options.lr = learning_rate * warmup_cosine(step, warmup, total_steps);
        adam.step();
        fmt::print("{} {} {:.9g}\n", name, step + 1, loss);
    }
}

}    // namespace

int main() {
    const Corpus corpus = read_corpus(LOOKBACK_DATASETS "/english-french");
    const std::vector<Example> examples = encode(corpus.train, corpus.source, corpus.target);
    Workers workers(2);
    Random random(seed);
    FixedVector fixed(corpus.source.size(), corpus.target.size(), random);
    AttentionTranslator attention(corpus.source.size(), corpus.target.size(), random);
    TransformerTranslator transformer(corpus.source.size(), corpus.target.size(), random);
    print_losses("fixed", fixed, 2e-3, examples, workers);
    print_losses("attention", attention, 2e-3, examples, workers);
    print_losses("transformer", transformer, 3e-3, examples, workers);
}
