// 09 score_functions: Which score?  (about 20 s)
//
// 08 compared the decoder's state with each source word by a small net. Would a product of the two not do as well? Five scores
// learn from the same batches, three times each. Then one of them asks earlier, or with what it said before in mind.
//
// What you will see   five scores, what each costs and what it can do, and how much of that is chance; that two of them are one;
//                     which state asks in Bahdanau's decoder and in Luong's, and what comes of it; input feeding
// Shapes              B batch, S source places, T target steps, E embedding, H state, A inside the score, V vocabulary
//                     query q (B, T, H), memory m (B, S, H), scores and weights (B, T, S), context c (B, T, H), logits (B, T, V)
// Predict             A dot product has no weights to learn and compares each number of the state with the same number of the
//                     memory. Will it be worse than a score with weights? How much of a difference may be chance?
// Break on            lookback::op::AdditiveScores::backward, lookback::op::MaskedSoftmax::forward, Translator::say
// Papers              Luong et al. 2015, arXiv:1508.04025, sections 3 to 3.3; Bahdanau et al. 2015, arXiv:1409.0473, section 3.1

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <mutex>

#include "lookback/decode/evaluate.h"
#include "lookback/draw/svg.h"
#include "lookback/draw/terminal.h"
#include "lookback/nn/attention.h"
#include "lookback/nn/recurrent.h"
#include "lookback/ops/attention.h"
#include "lookback/ops/elementwise.h"
#include "lookback/ops/matmul.h"
#include "lookback/ops/recurrent.h"
#include "lookback/ops/shape.h"
#include "lookback/ops/softmax.h"
#include "lookback/optim/optimizer.h"
#include "lookback/program/claims.h"
#include "lookback/program/file.h"
#include "lookback/program/interrupt.h"
#include "lookback/program/options.h"
#include "lookback/program/progress.h"
#include "lookback/program/stopwatch.h"

using namespace lookback;

namespace {

constexpr int E = 32, H = 64, A = 64;    // small, so that there is time for three seeds of each
constexpr int batch_size = 32;
constexpr int longest = 14;    // words of a sentence to learn from: 1 and 2 clauses
constexpr int seeds = 3;
constexpr double learning_rate = 7e-3;

// ---- 1. The scores ---------------------------------------------------------------------------------------------------------

enum class Kind { dot, scaled_dot, general, concat, additive };
constexpr const char* names[] = {"dot", "scaled dot", "general", "concat", "additive"};
constexpr const char* equations[] = {"q . m", "q . m / sqrt(H)", "q . W m", "v . tanh(W [q; m])", "v . tanh(W q + U m)"};

struct Score {
    Kind kind;
    Linear W, U, v;    // those that the equation has: W (H, H), (A, 2H) or (A, H); U (A, H); v (1, A)

    Score(Kind of_kind, Random& random) : kind(of_kind) {
        if (kind == Kind::general) W = Linear(H, H, random, false);
        if (kind == Kind::concat) W = Linear(2 * H, A, random, false);
        if (kind == Kind::additive) W = Linear(H, A, random, false), U = Linear(H, A, random, false);
        if (kind >= Kind::concat) v = Linear(A, 1, random, false);
    }
    // What depends on the memory alone, once a sentence: (B, S, H) -> (B, S, H or A).
    Tensor prepare(const Tensor& m) const {
        if (kind == Kind::general) return W(m);
        if (kind == Kind::concat) return linear(m, W.weight, {}, {.column = H});    // W [q; m] is the left half of W times q,
        if (kind == Kind::additive) return U(m);                                    // and the right half times m
        return m;
    }
    // q (B, T, H) -> (B, T, S)
    Tensor operator()(const Tensor& q, const Tensor& prepared) const {
        switch (kind) {
            case Kind::dot:
            case Kind::general: return matmul(q, transpose(prepared));
            case Kind::scaled_dot: return matmul(q, transpose(prepared)) * (1 / std::sqrt(H));
            case Kind::concat: return additive_scores(linear(q, W.weight, {}, {.columns = H}), prepared, reshape(v.weight, {A}));
            case Kind::additive: return additive_scores(W(q), prepared, reshape(v.weight, {A}));
        }
        return {};
    }
    void parameters(const Visit& visit) {
        if (W.weight) W.parameters(within("W", visit));
        if (U.weight) U.parameters(within("U", visit));
        if (v.weight) v.parameters(within("v", visit));
    }
};

double size_of(const Tensor& x) { return std::sqrt(static_cast<double>(mean(x * x).item())); }

// Of numbers of size 1, untrained. Returns how much concat and additive differ where they have the same weights.
double compare_scores(std::uint64_t seed) {
    Random random(seed);
    const Tensor q = Tensor::normal({1, 200, H}, 1, random), m = Tensor::normal({1, 200, H}, 1, random);
    fmt::print("1. How well does a word m of the memory fit the state q that asks?\n");
    fmt::print("   {:<14}{:<24}{:>10}{:>22}\n", "score", "", "weights", "untrained, its size");
    for (int kind = 0; kind < 5; ++kind) {
        Score score(static_cast<Kind>(kind), random);
        fmt::print("   {:<14}{:<24}{:>10}{:>22.2f}\n", names[kind], equations[kind],
                   count_text(static_cast<long>(parameter_count(score))), size_of(score(q, score.prepare(m))));
    }
    Score additive(Kind::additive, random), as_concat(Kind::concat, random);
    as_concat.W.weight = concat({additive.W.weight, additive.U.weight}, 1);    // (A, H), (A, H) -> (A, 2H)
    as_concat.v = additive.v;
    const Tensor of_additive = additive(q, additive.prepare(m)), of_concat = as_concat(q, as_concat.prepare(m));
    const double difference = size_of(of_concat - of_additive) / size_of(of_additive);
    fmt::print("   concat with the weights of additive, W = [W U]: relative difference {:.0e}\n", difference);
    return difference;
}

// ---- 2. Who asks, and when -------------------------------------------------------------------------------------------------

// s' the state before, y the word before, h what the word is said from, h' what the word before was said from
enum class Order {
    old_state,    // s' looks: c;   s', y, c -> s                     Bahdanau: the look goes into the new state
    new_state,    // s', y -> s;    s looks: c                        Luong: no state knows of a look
    feeding       // s', y, h' -> s;   s looks: c                     Luong, section 3.3: the next one does
};                // c, s -> h = tanh(W_c [c; s]) -> the word         in all three

struct Translator {
    Embedding source_embedding, target_embedding;    // (V, E)
    Gru encoder;                                     // E -> H/2 each way
    GruCell decoder;                                 // E -> H, or E + H -> H if it is given more than the word
    Linear combine;                                  // W_c: 2H -> H
    Linear out;                                      // H -> V
    Order order;
    Score score;    // last, so that the others start alike

    struct State {
        Tensor s, h;                             // (B, H)
        Tensor memory, prepared, key_padding;    // (B, S, H), (B, S, H or A), (B, S)
        Tensor weights;                          // (B, S): of the last look
    };

    Translator(const Corpus& corpus, Kind kind, Order in_order, Random random)
        : source_embedding(corpus.source.size(), E, random, 0.3),
          target_embedding(corpus.target.size(), E, random, 0.3),
          encoder(E, H / 2, random, true),
          decoder(in_order == Order::new_state ? E : E + H, H, random),
          combine(2 * H, H, random, false),
          out(H, corpus.target.size(), random),
          order(in_order),
          score(kind, random) {}

    State start(const Ids& source, const std::vector<int>& lengths) const {
        const auto [memory, last] = encoder(source, source_embedding, lengths);    // (B, S, H), (B, H)
        return {last, last * 0, memory, score.prepare(memory), key_padding(source), {}};
    }
    Attended look(const Tensor& q, const State& state) const {    // (B, T, H)
        const int B = state.key_padding.size(0), S = state.key_padding.size(1);
        const Tensor weights = masked_softmax(score(q, state.prepared), reshape(state.key_padding, {B, 1, S}));    // (B, T, S)
        return {matmul(weights, state.memory), weights};                                                           // (B, T, H)
    }
    Tensor look_once(const Tensor& q, State& state) const {    // (B, H) -> (B, H)
        const Attended attended = look(reshape(q, {q.size(0), 1, H}), state);
        state.weights = select(attended.weights, 1, 0);
        return reshape(attended.context, {q.size(0), H});
    }
    // Says what comes after y (B, E): h (B, H), from which `out` scores all words.
    Tensor say(const Tensor& y, State& state) const {
        Tensor c;
        if (order == Order::old_state) {
            c = look_once(state.s, state);
            state.s = decoder(concat({y, c}, 1), state.s);
        } else {
            state.s = decoder(order == Order::feeding ? concat({y, state.h}, 1) : y, state.s);
            c = look_once(state.s, state);
        }
        return state.h = tanh(combine(concat({c, state.s}, 1)));
    }
    Tensor step(const std::vector<int>& tokens, State& state) const {
        return out(say(target_embedding({{static_cast<int>(tokens.size())}, tokens}), state));    // (B) -> (B, V)
    }
    Tensor operator()(const Batch& batch, Tensor* weights = nullptr) const {
        State state = start(batch.source, batch.source_lengths);
        const Tensor y = target_embedding(batch.target_in);    // (B, T, E)
        if (order == Order::new_state) {                       // no state waits for a look, so all can look at once
            const Tensor s = gru_sequence(decoder.project(y), state.s, decoder.weight_hh, decoder.bias_hh);    // (B, T, H)
            const Attended attended = look(s, state);
            if (weights) *weights = attended.weights;
            return out(tanh(combine(concat({attended.context, s}, 2))));    // (B, T, V)
        }
        std::vector<Tensor> said, looks;
        for (int t = 0; t < y.size(1); ++t) {
            said.push_back(say(select(y, 1, t), state));
            looks.push_back(state.weights);
        }
        if (weights) *weights = stack(looks, 1);
        return out(stack(said, 1));
    }
    Tensor look(const Batch& batch) const {
        Tensor weights;
        (*this)(batch, &weights);
        return weights;
    }
    void parameters(const Visit& visit) {
        source_embedding.parameters(within("source_embedding", visit));
        target_embedding.parameters(within("target_embedding", visit));
        encoder.parameters(within("encoder", visit));
        decoder.parameters(within("decoder", visit));
        combine.parameters(within("combine", visit));
        out.parameters(within("out", visit));
        score.parameters(within("score", visit));
    }
};

// ---- 3. Training -----------------------------------------------------------------------------------------------------------

struct Run {
    std::string name;
    Translator model;
    std::uint64_t seed;
    double seconds = 0, tokens = 0;
    double exact_match = 0, looks_right = 0, entropy = 0;
};

// On one thread: while it learns, another run learns on another.
void train(Run& run, const std::vector<Example>& examples, int steps) {
    Translator& model = run.model;
    BatchStream stream(examples, batch_size, Random(run.seed));    // runs of one seed see the same batches
    Adam adam(model, {.lr = learning_rate, .beta2 = 0.99});
    const Stopwatch watch;
    for (int step = 0; step < steps && !interrupted(); ++step) {
        const Batch batch = stream.next();

        zero_grad(model);
        const Tensor loss = cross_entropy(model(batch), batch.target_out, {.ignore_index = Vocabulary::pad});
        backward(loss, Graph::release);
        clip_grad_norm(model, 1.0);
        adam.options.lr = learning_rate * warmup_cosine(step, 50, steps);
        adam.step();
        run.tokens += batch.target_tokens;
    }
    run.seconds = watch.seconds();
}

// In bits, of the mean look: 0 at one place, 1 evenly at two, 2 at four.
double entropy_of(const std::vector<AttentionWeights>& maps) {
    double bits = 0, rows = 0;
    for (const AttentionWeights& map : maps) {
        for (const real weight : map.weights)
            if (weight > 0) bits -= static_cast<double>(weight) * std::log2(static_cast<double>(weight));
        rows += map.rows;
    }
    return bits / rows;
}

// ---- 4. The experiment -----------------------------------------------------------------------------------------------------

// The runs that differ in their seed alone stand side by side.
struct Summary {
    double seconds = 0, mean = 0, spread = 0, looks_right = 0, entropy = 0;    // spread: of exact match, largest less smallest
};

Summary summary_of(const Run* runs) {
    Summary all;
    for (int i = 0; i < seeds; ++i) {
        all.seconds += runs[i].seconds / seeds;
        all.mean += runs[i].exact_match / seeds;
        all.looks_right += runs[i].looks_right / seeds;
        all.entropy += runs[i].entropy / seeds;
        for (int j = 0; j < seeds; ++j) all.spread = std::max(all.spread, runs[i].exact_match - runs[j].exact_match);
    }
    return all;
}

void print_summary(const std::string& name, const Run* runs) {
    const Summary all = summary_of(runs);
    fmt::print("   {:<13}{:>7} ", name, seconds_text(all.seconds));
    for (int i = 0; i < seeds; ++i) fmt::print("{:6.2f}", runs[i].exact_match);
    const std::string looks = std::isnan(all.looks_right) ? "-" : fmt::format("{:.2f}", all.looks_right);
    fmt::print("{:6.2f}{:8.2f}{:>12}{:9.2f}\n", all.mean, all.spread, looks, all.entropy);
}

int score_functions(const Options& options) {
    const Corpus corpus = read_corpus(options.data);
    std::vector<Pair> pairs = corpus.train, test;
    std::erase_if(pairs, [](const Pair& pair) { return pair.source.size() > longest; });
    const std::vector<Example> examples = encode(pairs.empty() ? corpus.train : pairs, corpus.source, corpus.target);
    std::vector<Alignment> gold;
    for (std::size_t i = 0; i < std::min<std::size_t>(options.quick ? 1 : 2, corpus.tests.size()); ++i) {
        test.insert(test.end(), corpus.tests[i].pairs.begin(), corpus.tests[i].pairs.end());
        gold.insert(gold.end(), corpus.tests[i].alignments.begin(), corpus.tests[i].alignments.end());
        gold.resize(test.size());    // your own corpus may have none: then no look is right or wrong
    }

    const double concat_is_additive = compare_scores(options.seed);
    std::vector<Run> runs;
    const auto add = [&](const char* name, Kind kind, Order order) {
        for (int i = 0; i < seeds; ++i)
            runs.push_back({name, Translator(corpus, kind, order, Random(options.seed + i)), options.seed + i});
    };
    for (int kind = 0; kind < 5; ++kind) add(names[kind], static_cast<Kind>(kind), Order::new_state);
    add("old state", Kind::general, Order::old_state);
    add("input feeding", Kind::general, Order::feeding);

    Workers workers(options.threads);
    Progress progress("21 trainings", static_cast<int>(runs.size()));
    std::mutex mutex;
    workers.run(static_cast<int>(runs.size()), [&](int index) {
        train(runs[index], examples, options.steps);
        const std::lock_guard one_at_a_time(mutex);
        progress.advance(static_cast<std::int64_t>(runs[index].tokens));
    });
    progress.done();
    if (interrupted()) return Claims().report();

    const std::vector<Example> test_examples = encode(test, corpus.source, corpus.target);
    const bool no_gold = std::ranges::all_of(gold, [](const Alignment& links) { return links.empty(); });
    std::vector<std::vector<AttentionWeights>> looks;    // of each run at each test sentence
    for (Run& run : runs) {
        run.exact_match = evaluate(run.model, test_examples, workers).exact_match;
        looks.push_back(look_back(run.model, test_examples, workers));
        run.looks_right = no_gold ? std::nan("") : alignment_accuracy(looks.back(), gold);
        run.entropy = entropy_of(looks.back());
    }

    const char* const head = "time  exact match, 3 seeds  mean  spread looks right  entropy";
    fmt::print("\n2. From {} batches of {} each; the state that has read the word before asks\n", options.steps, batch_size);
    fmt::print("   {:<16}{}\n", "score", head);
    for (int kind = 0; kind < 5; ++kind) print_summary(names[kind], &runs[kind * seeds]);

    enum { dot, scaled_dot, general, concat, additive, old_state, feeding };
    fmt::print(
        "\n3. Who asks? y is the word before, c what a look finds, s the state, h what the\n"
        "   next word is said from; s' and h' are those of the word before\n");
    fmt::print("   old state      s' looks: c        s', y, c  -> s\n");
    fmt::print("   new state      s', y     -> s     s looks: c\n");
    fmt::print("   input feeding  s', y, h' -> s     s looks: c      in all: c, s -> h -> word\n");
    fmt::print("   {:<16}{}\n", "with general", head);
    for (const int of : {old_state, general, feeding})
        print_summary(of == general ? "new state" : runs[of * seeds].name, &runs[of * seeds]);

    // The short sentence in which the two differ most.
    std::size_t shown = 0;
    double most = -1;
    for (std::size_t i = 0; i < test.size(); ++i) {
        const auto right = [&](int run) { return alignment_accuracy({&looks[run][i], 1}, {&gold[i], 1}); };
        const double differ = right(general * seeds) - right(old_state * seeds);
        if (test[i].source.size() > 5 || test[i].target.size() > 6 || differ <= most) continue;
        most = differ;
        shown = i;
    }
    std::vector<AttentionMap> maps;
    for (const int of : {old_state, general, feeding, dot, scaled_dot, additive}) {
        maps.push_back(map_of({test_examples[shown].target, looks[of * seeds][shown]}, test[shown].source, corpus.target));
        maps.back().title = of == general ? "new state, general" : runs[of * seeds].name;
    }
    fmt::print("\n4. Where old and new state look, in tenths, in a sentence in which they differ\n{}",
               terminal::small_multiples({maps[0], maps[1]}, terminal::style_of(stdout)));
    if (!options.out.empty())
        write_file(options.out / "looks.svg", svg::small_multiples("Who asks, and by which score", maps, 3));

    Claims claims;
    if (options.usual) {
        Summary of[7];
        for (int i = 0; i < 7; ++i) of[i] = summary_of(&runs[i * seeds]);
        claims.check(concat_is_additive <= 1e-5, "concat is additive");
        claims.check(std::abs(of[concat].mean - of[additive].mean) < of[additive].spread, "trained, they differ by chance");
        claims.check(of[dot].mean > of[scaled_dot].mean + 0.1, "dot learns faster than scaled dot");
        claims.check(of[dot].mean > of[additive].mean - of[additive].spread, "a score without weights is no worse");
        claims.check(of[scaled_dot].entropy > 2 && of[general].entropy < 0.2,
                     "scaled dot looks at some five places, general at one");
        claims.check(of[general].looks_right > of[old_state].looks_right + 0.03, "the new state knows better where to look");
        claims.check(of[feeding].mean < of[general].mean + of[general].spread, "input feeding does not help here");
    }
    return claims.report();
}

}    // namespace

int main(int argc, char** argv) {
    return run_program(argc, argv,
                       {.name = "09_score_functions",
                        .question = "Which score?",
                        .steps = 600,
                        .quick_steps = 2,
                        .out = {},
                        .data = LOOKBACK_DATASETS "/english-french",
                        .own = {}},
                       score_functions);
}

// Exercises (solutions/09_score_functions.md)
//   1. Run with --steps 1500. Which of the differences stay, and which were only a matter of time?
//   2. Write concat as the paper has it: put q and m side by side for each pair (t, s), then W, tanh, v. What does it cost?
//   3. In a debugger: how often does MaskedSoftmax::forward run in a step of the new state's model, and of the old state's?
//
// Break it: change one line, say what will happen, run
//   (1 / std::sqrt(H));                (1.0 / H);: scaled dot is scaled twice
//   softmax(score(q, state.prepared)   softmax(score(q, state.prepared) * 0: no score says anything
//   concat({y, state.h}, 1)            concat({y, state.h * 0}, 1): input feeding that feeds nothing
//
// Questions
//   How can a score without weights work?  Both sides are learned: encoder and decoder come to write what is to be found alike.
//     It asks for a state and a memory of one size; general and additive do not.
//   Why are concat and additive one score?  W [q; m] is the left half of W times q plus the right half times m.
//   Why is the new state's model the fastest?  No state waits for a look: all steps are one gru_sequence, all looks one product.
//   Why does the old state look at the right word less often?  It asks before it has read the word before: it must foretell it.
//   Is 0.70 against 0.73 a difference?  Here it is one score with other first weights, concat's smaller (1/sqrt(128), not 1/sqrt(64):
//     one matrix reads both); seeds differ by more than 0.1.
