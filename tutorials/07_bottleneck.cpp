// 07 bottleneck: Where does it break?  (about 35 s)
//
// 06 found that one vector holds a clause, and not three. Here the vector has 32, 64, 128 and 256 numbers, and the sentences are
// counted by their words, so that the wall itself can be measured: where it stands, and how far a larger vector moves it.
//
// What you will see   exact match and token accuracy against length for four vectors, and for one that reads backwards; a line
//                     through the four walls, and what it would ask for longer sentences; how much of a gradient comes back
//                     from the last word said to the first one read, before training and after it
// Shapes              B batch, S source places, T target steps, E embedding, H numbers of the vector, V vocabulary
//                     words x (B, S, E), vector and state s (B, H), logits (B, T, V)
// Predict             A vector of 32 numbers gets half of the sentences of 6 words right. What will twice the numbers do: double
//                     the length, or add some words to it? And what moves the wall more: twice the numbers, or reading backwards?
// Break on            lookback::op::GruSequence::backward, lookback::op::GruCell::backward, way_back
// Papers              Cho et al. 2014b, arXiv:1409.1259, figure 4; Bahdanau et al. 2015, arXiv:1409.0473, figure 2;
//                     Sutskever et al. 2014, arXiv:1409.3215, section 3.3

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "lookback/decode/evaluate.h"
#include "lookback/draw/svg.h"
#include "lookback/draw/terminal.h"
#include "lookback/models/translator.h"
#include "lookback/ops/shape.h"
#include "lookback/optim/data_parallel.h"
#include "lookback/optim/optimizer.h"
#include "lookback/program/claims.h"
#include "lookback/program/error.h"
#include "lookback/program/file.h"
#include "lookback/program/interrupt.h"
#include "lookback/program/options.h"
#include "lookback/program/progress.h"
#include "lookback/program/stopwatch.h"

using namespace lookback;

namespace {

constexpr int batch_size = 32, shard_count = 2;
constexpr int longest = 18;    // words of a sentence to learn from, and to be examined in
constexpr int sizes[] = {32, 64, 128, 256};
constexpr int backwards_size = 128;    // of the one that reads the source from its end

// ---- 1. Sentences by length ------------------------------------------------------------------------------------------------

// Those of `longest` words at most, in classes of two lengths: 3 and 4 words, 5 and 6, and so on.
struct Class {
    int up_to = 0;                // words
    double mean_words = 0;        // of its sentences
    std::vector<Pair> pairs{};    // none of them was learned from
};

std::vector<Class> classes_of(const Corpus& corpus, std::size_t most) {
    std::vector<Pair> all = corpus.valid;
    for (const Corpus::Test& test : corpus.tests) all.insert(all.end(), test.pairs.begin(), test.pairs.end());
    std::map<int, Class> classes;
    for (const Pair& pair : all) {
        const int words = static_cast<int>(pair.source.size()), up_to = words + words % 2;
        if (words > longest || classes[up_to].pairs.size() >= most) continue;
        classes[up_to].up_to = up_to;
        classes[up_to].mean_words += words;
        classes[up_to].pairs.push_back(pair);
    }
    std::vector<Class> list;
    for (auto& [up_to, each] : classes) {
        if (each.pairs.empty()) continue;
        each.mean_words /= static_cast<double>(each.pairs.size());
        list.push_back(each);
    }
    return list;
}

// Reversed, the last source word is read first; </s> stays last (06).
std::vector<Example> read(const std::vector<Pair>& pairs, const Corpus& corpus, bool reversed) {
    std::vector<Example> examples = encode(pairs, corpus.source, corpus.target);
    if (reversed)
        for (Example& example : examples) std::reverse(example.source.begin(), example.source.end() - 1);
    return examples;
}

// ---- 2. Training and examination -------------------------------------------------------------------------------------------

// The library's model is the better one of 06: its decoder is given the vector at every word.
struct Run {
    std::string name;
    int size;
    bool reversed;
    FixedVector model;
    double seconds = 0;                                            // of training
    std::vector<double> exact_match = {}, token_accuracy = {};     // one figure a class
    double wall = 0;                                               // words at which half of the sentences are right
    std::array<double, 3> untrained_way = {}, trained_way = {};    // printed in section 3
};

void train(Run& run, const std::vector<Pair>& pairs, const Corpus& corpus, const Options& options, Workers& workers) {
    // More weights want shorter steps. With one rate for all, the table would show whom it suits, and not how large a vector is.
    const double learning_rate = 0.12 / std::sqrt(run.size);
    const std::vector<Example> examples = read(pairs, corpus, run.reversed);
    BatchStream stream(examples, batch_size, Random(options.seed));    // the same seed: the same batches for all
    Adam adam(run.model, {.lr = learning_rate, .beta2 = 0.99, .weight_decay = 0.002 / learning_rate});    // the same decay a step
    DataParallel<FixedVector> parallel(run.model, shard_count, workers);
    Progress progress(run.name, options.steps);
    const Stopwatch watch;
    for (int step = 0; step < options.steps && !interrupted(); ++step) {
        const Batch batch = stream.next();
        const std::vector<Batch> parts = shards(batch, shard_count);

        zero_grad(run.model);
        const double loss = parallel.backward(static_cast<int>(parts.size()), [&](FixedVector& replica, int part) {
            return cross_entropy(replica(parts[part]), parts[part].target_out,
                                 {.ignore_index = Vocabulary::pad, .divisor = static_cast<double>(batch.target_tokens)});
        });
        clip_grad_norm(run.model, 1.0);
        adam.options.lr = learning_rate * warmup_cosine(step, 100, options.steps);
        adam.step();
        progress.advance(batch.target_tokens, loss);
    }
    run.seconds = watch.seconds();
}

// ---- 3. The wall -----------------------------------------------------------------------------------------------------------

// Where the curve of exact match first falls below a half, on a line between the class before and the one after; beyond the last
// class, if it never does.
double wall_of(const std::vector<double>& exact_match, const std::vector<Class>& classes) {
    double words = 0, share = 1;    // a sentence of no words is right
    for (std::size_t i = 0; i < classes.size(); ++i) {
        const double next_words = classes[i].mean_words, next_share = exact_match[i];
        if (next_share < 0.5) return words + (next_words - words) * (share - 0.5) / (share - next_share);
        words = next_words;
        share = next_share;
    }
    return words;
}

void examine(Run& run, const std::vector<Class>& classes, const Corpus& corpus, Workers& workers) {
    for (const Class& each : classes) {
        const Evaluation evaluation = evaluate(run.model, read(each.pairs, corpus, run.reversed), workers);
        run.exact_match.push_back(evaluation.exact_match);
        run.token_accuracy.push_back(evaluation.token_accuracy);
    }
    run.wall = wall_of(run.exact_match, classes);
}

// y = at_0 + slope x, with the least sum of squared misses, for x = 0, 1, 2 ...
struct Line {
    double at_0 = 0, slope = 0, largest_miss = 0;
};

Line line_through(const std::vector<double>& y) {
    const double n = static_cast<double>(y.size()), mean_x = (n - 1) / 2;
    double mean_y = 0, products = 0, squares = 0;
    for (const double each : y) mean_y += each / n;
    for (std::size_t x = 0; x < y.size(); ++x) {
        products += (static_cast<double>(x) - mean_x) * (y[x] - mean_y);
        squares += (static_cast<double>(x) - mean_x) * (static_cast<double>(x) - mean_x);
    }
    Line line;
    line.slope = squares > 0 ? products / squares : 0;
    line.at_0 = mean_y - line.slope * mean_x;
    for (std::size_t x = 0; x < y.size(); ++x)
        line.largest_miss = std::max(line.largest_miss, std::abs(y[x] - line.at_0 - line.slope * static_cast<double>(x)));
    return line;
}

LineChart score_chart(const std::vector<Run>& runs, const std::vector<Class>& classes) {
    LineChart chart{
        "Exact match by length, for vectors of 32 to 256 numbers", "words in a sentence, on average", "exact match", {}, 0, 1};
    for (const Run& run : runs) {
        chart.series.push_back({run.name, {}, run.exact_match});
        for (const Class& each : classes) chart.series.back().xs.push_back(std::round(10 * each.mean_words) / 10);
    }
    return chart;
}

// ---- 4. The gradient's way -------------------------------------------------------------------------------------------------

double norm(const real* numbers, int count) {
    double squares = 0;
    for (int i = 0; i < count; ++i) squares += static_cast<double>(numbers[i]) * static_cast<double>(numbers[i]);
    return std::sqrt(squares);
}

// The loss of the last target word alone, on its way back: what arrives at the first source word, at the one in the middle and at
// the last, of 1 at the state that said the word. Between them are one cell of the decoder and those of the encoder. (The way
// through the decoder's own states is there as well: untrained little comes by it, as 06 shows, trained up to half.) Medians over the sentences.
std::array<double, 3> way_back(const Run& run, const std::vector<Pair>& pairs, const Corpus& corpus) {
    const FixedVector& model = run.model;
    std::array<std::vector<double>, 3> arrived;
    for (const Example& example : read(pairs, corpus, run.reversed)) {
        const int S = static_cast<int>(example.source.size()), words = S - 1;
        const Tensor x = model.source_embedding({{1, S}, example.source});    // (1, S, E)
        const Tensor vector = model.encoder(x).state;                         // (1, H)
        Tensor state = vector;
        int before = Vocabulary::begin;
        for (const int word : example.target) {
            state = model.decoder(concat({model.target_embedding({{1}, {before}}), vector}, 1), state);
            before = word;
        }
        backward(cross_entropy(model.out(state), {{1}, {example.target.back()}}));
        const int E = x.size(2), places[] = {0, words / 2, words - 1};
        for (int i = 0; i < 3; ++i) {
            const int place = run.reversed ? words - 1 - places[i] : places[i];
            arrived[i].push_back(norm(x.grad() + place * E, E) / norm(state.grad(), state.size(1)));
        }
    }
    std::array<double, 3> medians;
    for (int i = 0; i < 3; ++i) {
        std::ranges::nth_element(arrived[i], arrived[i].begin() + static_cast<std::ptrdiff_t>(arrived[i].size() / 2));
        medians[i] = arrived[i][arrived[i].size() / 2];
    }
    return medians;
}

// ---- 5. The experiment -----------------------------------------------------------------------------------------------------

void print_figures(const Run& run, const std::vector<double>& figures) {
    for (const double share : figures) fmt::print("{:5.2f}", share);
    if (&figures == &run.exact_match) fmt::print("{:7.1f}", run.wall);
    fmt::print("\n");
}

int bottleneck(const Options& options) {
    const Corpus corpus = read_corpus(options.data);
    const std::vector<Class> classes = classes_of(corpus, options.quick ? 10 : 1000);
    std::vector<Pair> pairs = corpus.train;
    std::erase_if(pairs, [](const Pair& pair) { return pair.source.size() > longest; });
    if (pairs.empty() || classes.empty())
        throw BadInput(fmt::format("{}: no sentence of {} words or less: give shorter ones", options.data.string(), longest));
    const std::vector<Pair>& middle = classes[classes.size() / 2].pairs;
    const std::vector<Pair> few(middle.begin(), middle.begin() + std::min<std::ptrdiff_t>(40, middle.end() - middle.begin()));

    std::vector<Run> runs;
    const auto add = [&](int size, bool reversed) {
        Random same(options.seed);
        runs.push_back({fmt::format("{}{}", size, reversed ? ", reversed" : ""), size, reversed,
                        FixedVector(corpus.source.size(), corpus.target.size(), same, 64, size)});
    };
    for (const int size : sizes) add(size, false);
    add(backwards_size, true);

    Workers workers(options.threads);
    fmt::print("1. Each learns from the same {} batches of {} sentences, of up to {} words\n", options.steps, batch_size,
               longest);
    fmt::print("   numbers       weights   time  exact match by words, up to\n{:32}", "");
    for (const Class& each : classes) fmt::print("{:>5}", each.up_to);
    fmt::print("   half\n   {:<29}", "sentences in that class");
    for (const Class& each : classes) fmt::print("{:>5}", each.pairs.size());
    fmt::print("\n");
    for (Run& run : runs) {
        run.untrained_way = way_back(run, few, corpus);
        train(run, pairs, corpus, options, workers);
        if (interrupted()) return Claims().report();
        examine(run, classes, corpus, workers);
        run.trained_way = way_back(run, few, corpus);
        fmt::print("   {:<13}{:>8}{:>8}", run.name, count_text(static_cast<long>(parameter_count(run.model))),
                   seconds_text(run.seconds));
        print_figures(run, run.exact_match);
    }
    fmt::print("{:32}  token accuracy\n", "");
    for (const Run& run : runs) {
        fmt::print("   {:<29}", run.name);
        print_figures(run, run.token_accuracy);
    }
    fmt::print("{}", terminal::line_chart(score_chart(runs, classes), terminal::style_of(stdout), 7));
    if (!options.out.empty()) write_file(options.out / "score_by_length.svg", svg::line_chart(score_chart(runs, classes)));

    std::vector<double> walls;
    for (const Run& run : runs)
        if (!run.reversed) walls.push_back(run.wall);
    const Line line = line_through(walls);
    const auto all_right = [](const Run& run) { return std::ranges::min(run.exact_match) >= 0.5; };
    if (std::ranges::any_of(runs, all_right)) {
        fmt::print("\n2. Not all sizes fall below a half: these sentences are too short to show the wall\n");
    } else if (std::ranges::any_of(runs, [](const Run& run) { return run.exact_match[0] < 0.5; })) {
        fmt::print("\n2. Not half of the shortest sentences are right yet: there is no wall to see\n");
    } else {
        fmt::print("\n2. Half of the sentences are right at {:.1f} words: the wall\n", fmt::join(walls, ", "));
        fmt::print("   each doubling of the vector buys {:.1f} words: a line that misses by {:.1f} at most\n", line.slope,
                   line.largest_miss);
        if (line.slope > 0.1)
            fmt::print("   if it went on like that, 50 words would take 2^{:.0f} numbers\n", 5 + (50 - line.at_0) / line.slope);
    }

    fmt::print("\n3. Of a gradient of 1 at the last word's state, what comes back to a source word\n");
    fmt::print("   {:<16}{:>30}{:>30}\n   {:<16}", "", "untrained", "trained", "numbers");
    for (int i = 0; i < 2; ++i) fmt::print("{:>12}{:>9}{:>9}", "first", "middle", "last");
    fmt::print("\n");
    for (const Run& run : runs) {
        fmt::print("   {:<16}", run.name);
        for (const auto& way : {run.untrained_way, run.trained_way})
            fmt::print("{:>12.0e}{:>9.0e}{:>9.0e}", way[0], way[1], way[2]);
        fmt::print("\n");
    }

    Claims claims;
    if (options.usual) {
        const Run &small = runs[0], &same_size = runs[2], &large = runs[3], &backwards = runs[4];
        claims.check(line.slope > 2 && line.slope < 4 && line.largest_miss < 1.2, "each doubling buys about three words");
        for (std::size_t i = 1; i < walls.size(); ++i)
            claims.check(walls[i] > walls[i - 1] && walls[i] < 1.6 * walls[i - 1], "it moves the wall, but does not double it");
        const double gain = backwards.wall - same_size.wall;
        claims.check(gain > 0 && gain < line.slope / 2, "reading backwards moves it less than half a doubling does");
        for (const Run& run : runs) {
            claims.check(run.exact_match[0] > 0.7 && run.exact_match.back() < 0.2, "all know short sentences, none the longest");
            claims.check(run.token_accuracy.back() > run.exact_match.back(), "what is wrong is not wrong in every word");
            const int near = run.reversed ? 0 : 2, far = 2 - near;
            claims.check(run.untrained_way[far] < 0.02 * run.untrained_way[near], "untrained, little comes back to the far end");
            claims.check(run.trained_way[far] > 50 * run.untrained_way[far], "learning opens the way");
        }
        claims.check(large.untrained_way[0] < small.untrained_way[0], "a larger vector is not a shorter way");
    }
    return claims.report();
}

}    // namespace

int main(int argc, char** argv) {
    return run_program(argc, argv,
                       {.name = "07_bottleneck",
                        .question = "Where does it break?",
                        .steps = 2000,
                        .quick_steps = 4,
                        .out = {},
                        .data = LOOKBACK_DATASETS "/english-french",
                        .own = {}},
                       bottleneck);
}

// Exercises (solutions/07_bottleneck.md)
//   1. Half is a choice. Put the wall where nine of ten sentences are right: does a doubling still buy as much?
//   2. Run with --steps 4000. Which walls move, and what does that say of the size of a vector?
//   3. In a debugger: break lookback::op::GruSequence::backward in the first call of way_back, and see dh shrink on its way.
//
// Break it: change one line, say what will happen, run
//   0.12 / std::sqrt(run.size)     0.12 / std::sqrt(32): one learning rate for all
//   vector}, 1), state);           Tensor(vector.shape(), vector.values())}, 1), state);: the vector by value, without its graph
//   Random same(options.seed);     Random same(options.seed + size);: each size starts from its own weights
//
// Questions
//   What is the bottleneck, in this file?  The last argument of the model, `size`: all that the decoder knows of S words is one
//     row of so many numbers, whatever S is.
//   Why does twice the numbers not carry twice the words?  They are not memory cells that are filled one after the other: each
//     word read changes all of them, and what is to be kept must survive every later change.
//   Why is the token accuracy so much higher than the exact match?  A sentence is right if all of its words are: 0.9 of the words
//     each by itself would be 0.9^10 = 0.35 of the sentences of 10.
//   Why is the untrained gradient smaller in a larger vector?  The way ends in W_ih, whose numbers start within
//     1/sqrt(H), and a word has 64 numbers in each of the models. The cells on the way are as many as before.
//   Would a longer training move the wall?  Somewhat (exercise 2): the wall is that of a size and of a budget. But no budget
//     gives the first word a shorter way.
