// 06 fixed_vector: Can one vector carry a sentence?  (about 25 s)
//
// An encoder reads a sentence word by word into a vector of 128 numbers. A decoder says the translation from that vector and sees
// nothing else of the sentence. It gets the vector once, as its first state (Sutskever), or at every word (Cho).
//
// What you will see   what reversing the source does to either decoder; four models trained, exact match by length; which
//                     word is lost first; that nothing but the vector passes from encoder to decoder
// Shapes              B batch, S source places, T target steps, E embedding, H state, V vocabulary
//                     words x (B, S, E), gates (B, 3H), vector and state h (B, H), logits (B, T, V)
// Predict             Sutskever et al. read the source backwards and gained 4.7 points of BLEU, which counts the runs of 1 to 4
//                     words that a human translation has, too (100: all). The first word is then near its translation, the
//                     last twice as far from it, and the mean is what it was. Why can it help? Does it help both decoders?
// Break on            Translator::encode, lookback::op::GruCell::backward, lookback::op::SelectRows::forward
// Papers              Cho et al. 2014, arXiv:1406.1078, section 2; Sutskever et al. 2014, arXiv:1409.3215, section 3.3

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string_view>

#include "lookback/decode/evaluate.h"
#include "lookback/draw/svg.h"
#include "lookback/draw/terminal.h"
#include "lookback/models/translator.h"
#include "lookback/ops/elementwise.h"
#include "lookback/ops/shape.h"
#include "lookback/optim/data_parallel.h"
#include "lookback/optim/optimizer.h"
#include "lookback/program/claims.h"
#include "lookback/program/file.h"
#include "lookback/program/interrupt.h"
#include "lookback/program/options.h"
#include "lookback/program/progress.h"

using namespace lookback;

namespace {

constexpr int batch_size = 32, shard_count = 2;
constexpr int longest = 18;    // words of a sentence to learn from: 1 and 2 clauses, and half of those of 3
constexpr double learning_rate = 7e-3;

// ---- 1. Encoder, vector, decoder -------------------------------------------------------------------------------------------

struct Translator {
    Embedding source_embedding, target_embedding;    // (V, E) each
    GruCell encoder;                                 // E -> H
    GruCell decoder;                                 // E -> H, or E + H -> H if it gets the vector at every word
    Linear out;                                      // H -> V
    bool every_word = true;

    struct State {
        Tensor vector, h;    // (B, H) each: the sentence, which stays; the decoder's state
    };

    Translator() = default;
    Translator(int source_vocabulary, int target_vocabulary, Random& random, bool vector_at_every_word, int E = 64, int H = 128)
        : source_embedding(source_vocabulary, E, random, 0.3),
          target_embedding(target_vocabulary, E, random, 0.3),
          encoder(E, H, random),
          decoder(vector_at_every_word ? E + H : E, H, random),
          out(H, target_vocabulary, random),
          every_word(vector_at_every_word) {}

    // Reads words x (B, S, E). What the last h (B, H) does not hold, the decoder will never know.
    Tensor encode(const Tensor& x, const std::vector<int>& lengths) const {
        const int B = x.size(0), S = x.size(1);
        Tensor h({B, encoder.hidden()});    // zeros
        for (int s = 0; s < S; ++s) {
            std::vector<bool> reading(B);                                // a shorter sentence is over: padding must not
            for (int b = 0; b < B; ++b) reading[b] = s < lengths[b];     // change its state
            h = select_rows(reading, encoder(select(x, 1, s), h), h);    // (B, E), (B, H) -> (B, H)
        }
        return h;
    }
    // Says one word after y (B, E): the new state, from which `out` scores all words.
    Tensor say(const Tensor& y, State& state) const {
        return state.h = decoder(every_word ? concat({y, state.vector}, 1) : y, state.h);
    }

    State start(const Ids& source, const std::vector<int>& lengths) const {
        const Tensor vector = encode(source_embedding(source), lengths);
        return {vector, vector};
    }
    Tensor step(const std::vector<int>& tokens, State& state) const {
        return out(say(target_embedding({{static_cast<int>(tokens.size())}, tokens}), state));    // (B) -> (B, V)
    }
    Tensor operator()(const Batch& batch) const {
        State state = start(batch.source, batch.source_lengths);
        const Tensor y = target_embedding(batch.target_in);    // (B, T, E): teacher forcing, the true words, each a step late
        std::vector<Tensor> states;
        for (int t = 0; t < y.size(1); ++t) states.push_back(say(select(y, 1, t), state));
        return out(stack(states, 1));    // T times (B, H) -> (B, T, H) -> (B, T, V)
    }
    void parameters(const Visit& visit) {
        source_embedding.parameters(within("source_embedding", visit));
        target_embedding.parameters(within("target_embedding", visit));
        encoder.parameters(within("encoder", visit));
        decoder.parameters(within("decoder", visit));
        out.parameters(within("out", visit));
    }
};

struct Run {
    std::string name;
    bool reversed;
    Translator model;
    std::vector<double> gradients = {};    // before training, at the first, the middle and the last word
    double loss = 0;                       // after training: mean of the last 50 batches
    // One figure a test; of the translation's first word, and of its last.
    std::vector<double> exact_match = {}, first_right = {}, last_right = {};
};

// Reversed, the last source word is read first; </s> stays last.
std::vector<Example> read(const std::vector<Pair>& pairs, const Corpus& corpus, bool reversed) {
    std::vector<Example> examples = encode(pairs, corpus.source, corpus.target);
    if (reversed)
        for (Example& example : examples) std::reverse(example.source.begin(), example.source.end() - 1);
    return examples;
}

// ---- 2. The way from a word to its translation -----------------------------------------------------------------------------

// |dLoss/dx_s| at source place s, where the loss is that of target word t alone.
double gradient_norm(const Translator& model, const Example& example, int s, int t) {
    const int S = static_cast<int>(example.source.size());
    const Tensor x = model.source_embedding({{1, S}, example.source});    // (1, S, E)
    const Tensor vector = model.encode(x, {S});
    Translator::State state{vector, vector};
    Tensor logits = model.step({Vocabulary::begin}, state);
    for (int i = 0; i < t; ++i) logits = model.step({example.target[i]}, state);
    backward(cross_entropy(logits, {{1}, {example.target[t]}}));
    const Tensor at_s({x.size(2)}, {x.grad() + s * x.size(2), x.grad() + (s + 1) * x.size(2)});
    return std::sqrt(static_cast<double>(sum(at_s * at_s).item()));
}

// Where word s is translated at step s: given the vector once, it passes the cells of the encoder from s on and those of the decoder
// up to s, about S wherever it stands. Reversed, about 2 s: the first words are near, the last far. Given the vector at every word,
// it passes one cell of the decoder: the last words are near, and reversing only exchanges them with the first.
void compare_ways(std::vector<Run>& runs, const Pair& pair, const Corpus& corpus) {
    const int n = static_cast<int>(pair.source.size()), m = static_cast<int>(pair.target.size());
    const std::pair<int, int> words[] = {{0, 0}, {n / 2, m / 2}, {n - 1, m - 1}};
    fmt::print(
        "1. Untrained, {} words: how many cells a word passes to its translation, and the\n"
        "   gradient that comes back to it from the loss of that translation\n   {:<20}",
        n, "vector given");
    for (const auto& [s, t] : words) fmt::print("{:>19}", pair.source[s] + " -> " + pair.target[t]);
    for (Run& run : runs) {
        const Example example = read({pair}, corpus, run.reversed)[0];
        fmt::print("\n   {:<20}", run.name);
        for (const auto& [s, t] : words) {
            const int place = run.reversed ? n - 1 - s : s;
            const int cells = n + 1 - place + (run.model.every_word ? 1 : t + 1);    // of the encoder, with </s>; of the decoder
            run.gradients.push_back(gradient_norm(run.model, example, place, t));
            fmt::print("{:>12}{:7.0e}", cells, run.gradients.back());
        }
    }
}

// ---- 3. Training and examination -------------------------------------------------------------------------------------------

void train(Run& run, const std::vector<Pair>& pairs, const Corpus& corpus, const Options& options, Workers& workers) {
    const std::vector<Example> examples = read(pairs, corpus, run.reversed);
    BatchStream stream(examples, batch_size, Random(options.seed));    // the same seed: the same batches for all four
    Adam adam(run.model, {.lr = learning_rate});
    DataParallel<Translator> parallel(run.model, shard_count, workers);
    Progress progress(run.name, options.steps);
    const int last = std::min(50, options.steps);
    for (int step = 0; step < options.steps && !interrupted(); ++step) {
        const Batch batch = stream.next();
        const std::vector<Batch> parts = shards(batch, shard_count);    // a shard for each replica of the model, and each thread

        zero_grad(run.model);
        const double loss = parallel.backward(static_cast<int>(parts.size()), [&](Translator& replica, int part) {
            return cross_entropy(replica(parts[part]), parts[part].target_out,
                                 {.ignore_index = Vocabulary::pad, .divisor = static_cast<double>(batch.target_tokens)});
        });
        clip_grad_norm(run.model, 1.0);
        adam.options.lr = learning_rate * warmup_cosine(step, 100, options.steps);
        adam.step();
        if (step >= options.steps - last) run.loss += loss / last;
        progress.advance(batch.target_tokens, loss);
    }
}

// The share of the sentences whose last word would be said right after the true words before it, whatever the model itself says.
double last_right_if_taught(const Translator& model, const std::vector<Example>& examples) {
    const NoGrad no_grad;
    double right = 0;
    for (const Batch& batch : batches_in_order(examples, 50)) {
        const int T = batch.target_out.shape[1];
        const std::vector<int> likeliest = argmax_rows(reshape(model(batch), {batch.size() * T, -1}));
        for (int b = 0; b < batch.size(); ++b) {
            const int last = b * T + batch.target_lengths[b] - 2;    // the one before </s>
            right += likeliest[last] == batch.target_out.values[last];
        }
    }
    return right / static_cast<double>(examples.size());
}

constexpr std::size_t least_width = std::string_view("last word right").size();    // of the columns below it

void examine(Run& run, const Corpus& corpus, Workers& workers) {
    for (const Corpus::Test& test : corpus.tests) {
        const std::vector<Example> examples = read(test.pairs, corpus, run.reversed);
        const Evaluation evaluation = evaluate(run.model, examples, workers);
        double first = 0, last = 0;
        for (std::size_t i = 0; i < examples.size(); ++i) {
            const std::vector<int>&said = evaluation.translations[i].tokens, &right = examples[i].target;
            first += !said.empty() && said.front() == right.front();
            last += !said.empty() && said.back() == right.back();
        }
        run.exact_match.push_back(evaluation.exact_match);
        run.first_right.push_back(first / static_cast<double>(examples.size()));
        run.last_right.push_back(last / static_cast<double>(examples.size()));
    }
    const auto columns = [](const std::vector<double>& shares) {
        std::string text;
        for (const double share : shares) text += fmt::format("{:5.2f}", share);
        return text;
    };
    fmt::print("   {:<20}{:5.2f}{:>{}} {:>{}}\n", run.name, run.loss, columns(run.exact_match), least_width,
               columns(run.last_right), least_width);
}

LineChart score_chart(const std::vector<Run>& runs, bool by_clauses) {
    LineChart chart{"Exact match", by_clauses ? "clauses in the sentence" : "test", "exact match", {}, 0, 1};
    if (by_clauses) chart.title += " by length";
    for (const Run& run : runs) {
        Series series{run.name, {}, run.exact_match};
        for (std::size_t test = 0; test < run.exact_match.size(); ++test) series.xs.push_back(static_cast<double>(test + 1));
        chart.series.push_back(series);
    }
    return chart;
}

// ---- 4. Nothing but the vector ---------------------------------------------------------------------------------------------

Tensor vector_of(const Run& run, const Pair& pair, const Corpus& corpus) {
    const std::vector<int> source = read({pair}, corpus, run.reversed)[0].source;
    return run.model.start({{1, static_cast<int>(source.size())}, source}, {static_cast<int>(source.size())}).vector;    // (1, H)
}

// Greedy: the likeliest word each time, whatever comes of it.
std::string speak(const Run& run, const Tensor& vector, const Corpus& corpus) {
    Translator::State state{vector, vector};
    std::vector<int> words = {Vocabulary::begin};
    while (words.back() != Vocabulary::end && words.size() < 40)
        words.push_back(argmax_rows(run.model.step({words.back()}, state))[0]);
    return join(corpus.target.decode(words));
}

// ---- 5. The experiment -----------------------------------------------------------------------------------------------------

int fixed_vector(const Options& options) {
    Corpus corpus = read_corpus(options.data);
    corpus.tests.resize(std::min<std::size_t>(options.quick ? 3 : 5, corpus.tests.size()));
    std::vector<Pair> pairs = corpus.train;
    std::erase_if(pairs, [](const Pair& pair) { return pair.source.size() > longest; });
    if (pairs.empty()) pairs = corpus.train;
    const int source = corpus.source.size(), target = corpus.target.size(), tests = static_cast<int>(corpus.tests.size());
    Workers workers(options.threads);
    std::vector<Run> runs;
    for (const bool every_word : {false, true})
        for (const bool reversed : {false, true}) {
            Random same(options.seed);
            runs.push_back({fmt::format("{}{}", every_word ? "every word" : "once", reversed ? ", reversed" : ""), reversed,
                            Translator(source, target, same, every_word)});
        }
    const auto far = std::ranges::find_if(corpus.train, [](const Pair& pair) { return pair.source.size() == 17; });
    compare_ways(runs, far == corpus.train.end() ? corpus.train[0] : *far, corpus);

    std::error_code error;    // tests of your own are told by name
    const bool by_clauses = std::filesystem::equivalent(options.data, LOOKBACK_DATASETS "/english-french", error);
    const std::size_t width = std::max(5 * corpus.tests.size(), least_width);
    fmt::print("\n\n2. Each learns from the same {} batches of {}\n   {:<20} loss{:>{}}{:>{}}\n   {:<25}", options.steps,
               batch_size, "vector given", "exact match", width, "last word right", width + 1, "");
    std::string names;
    for (const Corpus::Test& test : corpus.tests)
        names += fmt::format("{:>5}", cut_text(test.name.substr(test.name.starts_with("test-") ? 5 : 0), 4));
    fmt::print("{:>{}} {:>{}}\n", names, width, names, width);
    for (Run& run : runs) {
        train(run, pairs, corpus, options, workers);
        examine(run, corpus, workers);
        if (interrupted()) return Claims().report();
    }
    const double once = runs[1].loss / runs[0].loss - 1, every_word = runs[3].loss / runs[2].loss - 1;
    fmt::print("   reversing changes the loss by {:+.0f} % (once) and {:+.0f} % (every word)\n", std::round(100 * once) + 0.0,
               std::round(100 * every_word) + 0.0);    // + 0.0: no "-0"

    double first = 1, last = 1;
    for (const Run& run : runs) first = std::min(first, std::ranges::min(run.first_right));
    for (const Run& run : runs) last = std::min(last, std::ranges::min(run.last_right));
    fmt::print("   the first word is right in {:.0f} % or more of each test, the last in {:.0f} % or more\n", 100 * first,
               100 * last);
    const int third = std::min(2, tests - 1);
    const double by_itself = runs[2].last_right[third],
                 if_taught = last_right_if_taught(runs[2].model, read(corpus.tests[third].pairs, corpus, false));
    fmt::print("   every word, {}: last word right {:.2f}, after the true words {:.2f}\n", corpus.tests[third].name, by_itself,
               if_taught);
    fmt::print("{}", terminal::line_chart(score_chart(runs, by_clauses), terminal::style_of(stdout), 6));
    if (!options.out.empty()) write_file(options.out / "score_by_length.svg", svg::line_chart(score_chart(runs, by_clauses)));

    const NoGrad no_grad;
    const Run& run = runs[2];
    for (const Pair& pair : corpus.tests[third].pairs) {
        const std::string read_as = join(pair.source), right = join(pair.target),
                          said = speak(run, vector_of(run, pair, corpus), corpus);
        if (said == right || std::max({text_width(read_as), text_width(right), text_width(said)}) > 67) continue;
        fmt::print("\n3. What one vector makes of {}\n   {:<9}{}\n   right    {}\n   said     {}\n",
                   by_clauses ? fmt::format("{} clauses", third + 1) : corpus.tests[third].name,
                   by_clauses ? "english" : "source", read_as, right, said);
        break;
    }

    fmt::print("\n4. Two sentences, each said from its own vector, then from that of the other\n");
    const std::vector<Pair>& near = corpus.tests[0].pairs;
    const Pair two[] = {near.front(), near[std::min<std::size_t>(1, near.size() - 1)]};
    std::vector<std::string> said;
    for (const int other : {0, 1})
        for (const int i : {0, 1}) {
            said.push_back(speak(run, vector_of(run, two[other ? 1 - i : i], corpus), corpus));
            fmt::print("   {:<31} -> {}\n", cut_text(join(two[i].source), 31), cut_text(said.back(), 41));
        }

    Claims claims;
    if (options.usual) {
        claims.check(runs[1].gradients[0] > 100 * runs[0].gradients[0], "once, reversed: the first word is near its translation");
        claims.check(runs[1].gradients[2] < 0.01 * runs[0].gradients[2], "once, reversed: the last word is far");
        claims.check(once < -0.05 && once < every_word - 0.02, "reversing helps the decoder that gets the vector once");
        claims.check(runs[2].loss < 0.6 * runs[0].loss, "the vector at every word helps more than reversing");
        claims.check(std::max(runs[2].exact_match[0], runs[3].exact_match[0]) >= 0.90, "one clause fits into the vector");
        for (const Run& each : runs)
            claims.check(each.exact_match[2] <= 0.03 && each.exact_match[3] <= 0.01, "three and four do not");
        for (const Run& each : runs)
            claims.check(each.first_right[2] > each.last_right[2] + 0.2, "the first word is right, the last lost");
        claims.check(if_taught > 2 * by_itself, "after the true words, the last one is right twice as often");
        claims.check(said[0] == join(two[0].target) && said[1] == join(two[1].target), "two short sentences are right");
        claims.check(said[2] == said[1] && said[3] == said[0], "with the vectors the translations are exchanged");
    }
    return claims.report();
}

}    // namespace

int main(int argc, char** argv) {
    return run_program(argc, argv,
                       {.name = "06_fixed_vector",
                        .question = "Can one vector carry a sentence?",
                        .steps = 2000,
                        .quick_steps = 4,
                        .out = {},
                        .data = LOOKBACK_DATASETS "/english-french",
                        .own = {}},
                       fixed_vector);
}

// Exercises (solutions/06_fixed_vector.md)
//   1. The vector has 128 numbers. With 32 and with 256, for 500 steps: which of the four decoders gains most?
//   2. Put only half of the vector to use: let the decoder start from it, but see it at no later word, or the other way round.
//   3. In a debugger: break lookback::op::SelectRows::forward, and see which rows of the batch have come to their end.
//
// Break it: change one line, say what will happen, run with --steps 500
//   reading[b] = s < lengths[b]       reading[b] = lengths[b] > 0: padding is read like words
//   return {vector, vector};          return {vector, vector * 0};: the decoder starts from nothing
//   example.source.end() - 1          example.source.end(): reversed, </s> is read first
//   learning_rate = 7e-3              learning_rate = 7e-2
//
// Questions
//   Where is all that the decoder knows of the sentence?  In start: the vector, (B, H). Nothing else of the encoder is passed on.
//   Why is it the last word that is lost?  It is said last: what the decoder's own states hold by then is mostly what was said.
//     One that sees the vector again stumbles over its own mistakes: after the true words it is right three times as often.
//   Why does reversing help the decoder that sees the vector at every word so little?  The way from a word to its translation ends in
//     that vector, one step before the translation: reversing only decides which words were read last. (After training, in longer
//     sentences, the reversed one says the last word right more often, 0.35 against 0.24: a short way is not all that counts.)
//   Why is the gradient over 35 cells 4e-09 and over 19 cells 1e-05?  Each cell passes on less than it gets: 0.61^16 is 4e-04.
//   Why select_rows, and not a loop to the length of each sentence?  So that a batch is one product a step; a row that has
//     ended keeps its state, and its gradient goes around the step.
