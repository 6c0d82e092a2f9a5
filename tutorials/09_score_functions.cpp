// 09 score_functions: Which score?  (about 40 s)
//
// 08 compared the decoder's state with each source word by a small net. A product of the two would do as well, or would it? Five
// scores learn from the same batches, three times each; then the winner among the cheap ones asks earlier, later, and with what it
// said before in mind.
//
// What you will see   five scores with what each costs and what it can do, and how much of that is chance; that two of them are
//                     one; which state asks in Bahdanau's decoder and in Luong's; input feeding; three maps of one sentence
// Shapes              B batch, S source places, T target steps, E embedding, H state, A inside the score, V vocabulary
//                     query q (B, T, H), memory m (B, S, H), scores and weights (B, T, S), context c (B, T, H), logits (B, T, V)
// Predict             A dot product has no weights to learn and compares each number of the state with the same number of the
//                     memory. Will it be worse than a score with weights? And who needs more time: 128 products, or 64 tanh?
// Break on            lookback::op::AdditiveScores::backward, lookback::op::MaskedSoftmax::forward, Translator::say
// Papers              Luong et al. 2015, arXiv:1508.04025, sections 3.1 and 3.3; Bahdanau et al. 2015, arXiv:1409.0473, section 3.1

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
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
    Kind kind = Kind::dot;
    Linear W, U, v;    // those that the equation has: W (H, H), (A, 2H) or (A, H); U (A, H); v (1, A)

    Score() = default;
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

// As a share of the largest number.
double difference(const Tensor& ours, const Tensor& theirs) {
    double most = 0, largest = 0;
    for (int i = 0; i < static_cast<int>(ours.size()); ++i) {
        most = std::max(most, std::abs(static_cast<double>(ours.data()[i] - theirs.data()[i])));
        largest = std::max(largest, std::abs(static_cast<double>(theirs.data()[i])));
    }
    return most / largest;
}

struct Check {
    double beside_library = 0, concat_beside_additive = 0;
};

Check compare_scores(std::uint64_t seed) {
    Random random(seed);
    const Tensor q = Tensor::normal({2, 3, H}, 1, random), m = Tensor::normal({2, 5, H}, 1, random);
    fmt::print("1. How well a word m of the memory fits the state q that asks\n   {:<12}{:<22}{:>8}   as the library's\n",
               "score", "", "weights");
    Check check;
    Score of_additive, of_concat;
    for (const Kind kind : {Kind::dot, Kind::scaled_dot, Kind::general, Kind::concat, Kind::additive}) {
        Score score(kind, random);
        const Tensor weights = softmax(score(q, score.prepare(m)));
        Attended theirs;
        if (kind == Kind::dot) theirs = DotAttention()(q, m, m, {});
        if (kind == Kind::scaled_dot) theirs = DotAttention()(q * (1 / std::sqrt(H)), m, m, {});
        if (kind == Kind::general) {
            GeneralAttention library;
            library.key = score.W;
            theirs = library(q, library.prepare(m), m, {});
        } else if (kind == Kind::concat) {
            ConcatAttention library;
            library.hidden = score.W, library.energy = score.v, library.query_size = H;
            theirs = library(q, library.prepare(m), m, {});
            of_concat = score;
        } else if (kind == Kind::additive) {
            AdditiveAttention library;
            library.query = score.W, library.key = score.U, library.energy = score.v;
            theirs = library(q, library.prepare(m), m, {});
            of_additive = score;
        }
        const double differs = difference(weights, theirs.weights);
        check.beside_library = std::max(check.beside_library, differs);
        fmt::print("   {:<12}{:<22}{:>8}   relative difference {:.0e}\n", names[static_cast<int>(kind)],
                   equations[static_cast<int>(kind)], parameter_count(score), differs);
    }
    of_concat.W.weight = concat({of_additive.W.weight, of_additive.U.weight}, 1);    // (A, H), (A, H) -> (A, 2H)
    of_concat.v = of_additive.v;
    check.concat_beside_additive = difference(of_concat(q, of_concat.prepare(m)), of_additive(q, of_additive.prepare(m)));
    fmt::print("   concat with the weights of additive, W = [W U]: relative difference {:.0e}\n", check.concat_beside_additive);
    return check;
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
    Score score;
    GruCell decoder;    // E -> H, or E + H -> H if it is given more than the word
    Linear combine;     // W_c: 2H -> H
    Linear out;         // H -> V
    Order order = Order::new_state;

    struct State {
        Tensor s, h;                             // (B, H)
        Tensor memory, prepared, key_padding;    // (B, S, H), (B, S, H or A), (B, S)
        Tensor weights;                          // (B, S): of the last look
    };

    Translator() = default;
    Translator(const Corpus& corpus, Kind kind, Order in_order, Random random)
        : source_embedding(corpus.source.size(), E, random, 0.3),
          target_embedding(corpus.target.size(), E, random, 0.3),
          encoder(E, H / 2, random, true),
          decoder(in_order == Order::new_state ? E : E + H, H, random),
          combine(2 * H, H, random, false),
          out(H, corpus.target.size(), random),
          order(in_order) {
        score = Score(kind, random);    // last, so that the others start alike
    }

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
        score.parameters(within("score", visit));
        decoder.parameters(within("decoder", visit));
        combine.parameters(within("combine", visit));
        out.parameters(within("out", visit));
    }
};

// ---- 3. Training -----------------------------------------------------------------------------------------------------------

struct Run {
    std::string name;
    Translator model;
    std::uint64_t seed;
    double seconds = 0;
    double exact_match = 0, looks_right = 0, entropy = 0;
};

// On one thread: while it learns, another run learns on another.
void train(Translator& model, const std::vector<Example>& examples, std::uint64_t seed, int steps,
           const std::function<void(const Batch&, double)>& tell) {
    BatchStream stream(examples, batch_size, Random(seed));    // runs of one seed see the same batches
    Adam adam(model, {.lr = learning_rate, .beta2 = 0.99});
    for (int step = 0; step < steps && !interrupted(); ++step) {
        const Batch batch = stream.next();

        zero_grad(model);
        const Tensor loss = cross_entropy(model(batch), batch.target_out, {.ignore_index = Vocabulary::pad});
        backward(loss, Graph::release);
        clip_grad_norm(model, 1.0);
        adam.options.lr = learning_rate * warmup_cosine(step, 50, steps);
        adam.step();
        tell(batch, static_cast<double>(loss.item()));
    }
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

void examine(Run& run, const std::vector<Example>& examples, const std::vector<Alignment>& gold, Workers& workers) {
    run.exact_match = evaluate(run.model, examples, workers).exact_match;
    const std::vector<AttentionWeights> maps = look_back(run.model, examples, workers);
    run.looks_right = gold.empty() ? 0 : alignment_accuracy(maps, gold);
    run.entropy = entropy_of(maps);
}

// ---- 4. The experiment -----------------------------------------------------------------------------------------------------

// The runs that differ in their seed alone stand side by side.
struct Summary {
    double seconds = 0, mean = 0, spread = 0, looks_right = 0, entropy = 0;    // spread: of exact match, largest less smallest
};

Summary summary_of(const Run* runs) {
    Summary all;
    double least = 1, most = 0;
    for (const Run* run = runs; run < runs + seeds; ++run) {
        all.seconds += run->seconds / seeds;
        all.mean += run->exact_match / seeds;
        all.looks_right += run->looks_right / seeds;
        all.entropy += run->entropy / seeds;
        least = std::min(least, run->exact_match);
        most = std::max(most, run->exact_match);
    }
    all.spread = most - least;
    return all;
}

void print_summary(const Run* runs) {
    const Summary all = summary_of(runs);
    fmt::print("   {:<14}{:>8} ", runs->name, seconds_text(all.seconds));
    for (int i = 0; i < seeds; ++i) fmt::print("{:6.2f}", runs[i].exact_match);
    fmt::print("{:8.2f}{:8.2f}{:12.2f}{:9.2f}\n", all.mean, all.spread, all.looks_right, all.entropy);
}

// Where it looks as it reads the right translation.
AttentionMap map_of(const Run& run, const Pair& pair, const Corpus& corpus, Workers& workers) {
    const AttentionWeights looks = look_back(run.model, encode({pair}, corpus.source, corpus.target), workers)[0];
    AttentionMap map{run.name, pair.target, pair.source, {looks.weights.begin(), looks.weights.end()}, {}};
    map.rows.push_back("</s>");
    map.columns.push_back("</s>");
    return map;
}

int score_functions(const Options& options) {
    const Corpus corpus = read_corpus(options.data);
    std::vector<Pair> pairs = corpus.train;
    std::erase_if(pairs, [](const Pair& pair) { return pair.source.size() > longest; });
    const std::vector<Example> examples = encode(pairs.empty() ? corpus.train : pairs, corpus.source, corpus.target);
    std::vector<Example> test;
    std::vector<Alignment> gold;
    for (std::size_t i = 0; i < std::min<std::size_t>(options.quick ? 1 : 2, corpus.tests.size()); ++i) {
        const std::vector<Example> more = encode(corpus.tests[i].pairs, corpus.source, corpus.target);
        test.insert(test.end(), more.begin(), more.end());
        gold.insert(gold.end(), corpus.tests[i].alignments.begin(), corpus.tests[i].alignments.end());
    }
    if (gold.size() != test.size()) gold.clear();

    const Check check = compare_scores(options.seed);

    std::vector<Run> runs;
    const auto add = [&](const char* name, Kind kind, Order order) {
        for (std::uint64_t seed = options.seed; seed < options.seed + seeds; ++seed)
            runs.push_back({name, Translator(corpus, kind, order, Random(seed)), seed});
    };
    for (int kind = 0; kind < 5; ++kind) add(names[kind], static_cast<Kind>(kind), Order::new_state);
    add("old state", Kind::general, Order::old_state);
    add("input feeding", Kind::general, Order::feeding);

    Workers workers(options.threads);
    Progress progress("21 models", static_cast<int>(runs.size()) * options.steps);
    std::mutex one_at_a_time;
    workers.run(static_cast<int>(runs.size()), [&](int index) {
        Run& run = runs[index];
        const Stopwatch watch;
        train(run.model, examples, run.seed, options.steps, [&](const Batch& batch, double loss) {
            const std::lock_guard lock(one_at_a_time);
            progress.advance(batch.target_tokens, loss);
        });
        run.seconds = watch.seconds();
    });
    progress.done();
    if (interrupted()) return Claims().report();
    for (Run& run : runs) examine(run, test, gold, workers);

    const char* const head = "time     exact match, 3 seeds    mean  spread looks right  entropy";
    fmt::print("\n2. Each learns from the same {} batches of {}; the state that has read y asks\n", options.steps, batch_size);
    fmt::print("   {:<14}    {}\n", "score", head);
    for (int kind = 0; kind < 5; ++kind) print_summary(&runs[kind * seeds]);

    fmt::print("\n3. Who asks, with general: s' state, y word, h' output before; c what is seen\n");
    fmt::print("   old state      s' looks: c        s', y, c  -> s\n");
    fmt::print("   new state      s', y     -> s     s looks: c\n");
    fmt::print("   input feeding  s', y, h' -> s     s looks: c     in all: c, s -> h -> word\n");
    fmt::print("   {:<14}    {}\n", "who asks", head);
    Run* const general = &runs[2 * seeds];
    general->name = "new state";
    print_summary(&runs[5 * seeds]);
    print_summary(general);
    print_summary(&runs[6 * seeds]);

    Pair shown{split("they read the red letter"), split("ils lisent la lettre rouge")};
    if (corpus.source.id("letter") == Vocabulary::unknown) shown = corpus.tests[0].pairs[0];    // your own corpus
    std::vector<AttentionMap> maps;
    for (const int first : {5, 2, 6}) maps.push_back(map_of(runs[first * seeds], shown, corpus, workers));
    fmt::print("\n4. Where each looks, in tenths\n{}", terminal::small_multiples(maps, terminal::style_of(stdout)));
    if (!options.out.empty()) write_file(options.out / "who_asks.svg", svg::small_multiples("Who asks", maps, 3));

    Claims claims;
    if (options.usual) {
        claims.check(check.beside_library <= 1e-5, "the program and the library compute the same weights");
        claims.check(check.concat_beside_additive <= 1e-5, "concat is additive");
    }
    return claims.report();
}

}    // namespace

int main(int argc, char** argv) {
    return run_program(argc, argv,
                       {.name = "09_score_functions",
                        .question = "Which score?",
                        .steps = 400,
                        .quick_steps = 2,
                        .out = {},
                        .data = LOOKBACK_DATASETS "/english-french",
                        .own = {}},
                       score_functions);
}
