// say_logits DIR FILE: for each model in a folder of saved translators, writes to FILE the logits and the greedy translations of
// some sentences of the corpus: what check_state_dict.py compares with PyTorch's.
#include <fmt/format.h>

#include "lookback/decode/greedy.h"
#include "lookback/io/translator.h"
#include "lookback/program/error.h"

using namespace lookback;

namespace {

constexpr int longest = 40;    // tokens of a translation

StoredTensor stored_ids(const std::string& name, const Shape& shape, const std::vector<int>& ids) {
    return {name, "I64", shape, {}, {ids.begin(), ids.end()}};
}

template <class Model>
void say(const std::filesystem::path& folder, const std::string& name, const Batch& batch, std::vector<StoredTensor>& out) {
    const NoGrad no_grad;
    const Model model = load_translator<Model>(folder, name);
    const Tensor logits = model(batch);    // (B, T, V)
    out.push_back({name + ".logits", "F32", logits.shape(), {logits.data(), logits.data() + logits.size()}, {}});
    std::vector<int> tokens;    // (B, longest), with padding at the end
    for (const Translation& translation : greedy(model, batch.source, batch.source_lengths, longest)) {
        tokens.insert(tokens.end(), translation.tokens.begin(), translation.tokens.end());
        tokens.resize((tokens.size() + longest - 1) / longest * longest, Vocabulary::pad);
    }
    out.push_back(stored_ids(name + ".tokens", {batch.size(), longest}, tokens));
}

}    // namespace

int main(int argc, char** argv) {
    if (argc != 3) {
        fmt::print(stderr, "usage: say_logits DIR FILE\n");
        return 2;
    }
    try {
        const std::filesystem::path folder = argv[1];
        const Corpus corpus = read_corpus(LOOKBACK_DATASETS "/english-french");
        std::vector<Pair> pairs;    // of one, three and five clauses, so that there is padding
        for (const int test : {0, 2, 4})
            pairs.insert(pairs.end(), corpus.tests[test].pairs.begin(), corpus.tests[test].pairs.begin() + 20);
        const std::vector<Example> examples = encode(pairs, corpus.source, corpus.target);
        const Batch batch = batches_in_order(examples, static_cast<int>(examples.size()))[0];
        std::vector<StoredTensor> out = {stored_ids("source", batch.source.shape, batch.source.values),
                                         stored_ids("source_lengths", {batch.size()}, batch.source_lengths),
                                         stored_ids("target_in", batch.target_in.shape, batch.target_in.values)};
        say<FixedVector>(folder, "fixed", batch, out);
        say<AttentionTranslator>(folder, "attention", batch, out);
        say<TransformerTranslator>(folder, "transformer", batch, out);
        write_safetensors(argv[2], out);
        return 0;
    } catch (const std::exception& error) {
        fmt::print(stderr, "say_logits: {}\n", error.what());
        return 1;
    }
}
