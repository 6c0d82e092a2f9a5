#pragma once

#include "lookback/decode/greedy.h"
#include "lookback/tensor/workers.h"

namespace lookback {

// What a model makes of a test set: a translation for each example, in their order, and the scores of text/metrics.h.
struct Evaluation {
    std::vector<Translation> translations;
    double exact_match = 0, token_accuracy = 0;
};

// Translates every example greedily, 50 of like length at a time; a translation is cut short at twice the tokens of the longest
// source beside it, and 10.
template <class Model>
Evaluation evaluate(const Model& model, const std::vector<Example>& examples, Workers& workers) {
    Evaluation result;
    result.translations.resize(examples.size());
    const std::vector<Batch> batches = batches_in_order(examples, 50);
    workers.run(static_cast<int>(batches.size()), [&](int index) {
        const Batch& batch = batches[index];
        std::vector<Translation> done = greedy(model, batch.source, batch.source_lengths, 2 * batch.source.shape[1] + 10);
        for (int row = 0; row < batch.size(); ++row) result.translations[batch.examples[row]] = std::move(done[row]);
    });
    std::vector<std::vector<int>> hypotheses, references;
    for (std::size_t i = 0; i < examples.size(); ++i) {
        hypotheses.push_back(result.translations[i].tokens);
        references.push_back(examples[i].target);
    }
    result.exact_match = exact_match(hypotheses, references);
    result.token_accuracy = token_accuracy(hypotheses, references);
    return result;
}

// Where the model looks as it reads the true translations: one map an example, (target tokens + 1, source tokens + 1) with </s>
// last in each. For models with look(batch) -> (B, T, S).
template <class Model>
std::vector<AttentionWeights> look_back(const Model& model, const std::vector<Example>& examples, Workers& workers) {
    std::vector<AttentionWeights> maps(examples.size());
    const std::vector<Batch> batches = batches_in_order(examples, 50);
    workers.run(static_cast<int>(batches.size()), [&](int index) {
        const NoGrad no_grad;
        const Batch& batch = batches[index];
        const Tensor weights = model.look(batch);
        const int T = weights.size(1), S = weights.size(2);
        for (int b = 0; b < batch.size(); ++b) {
            AttentionWeights& map = maps[batch.examples[b]];
            map.rows = batch.target_lengths[b];
            map.columns = batch.source_lengths[b];
            for (int t = 0; t < map.rows; ++t) {
                const real* row = weights.data() + (b * T + t) * S;
                map.weights.insert(map.weights.end(), row, row + map.columns);
            }
        }
    });
    return maps;
}

}    // namespace lookback
