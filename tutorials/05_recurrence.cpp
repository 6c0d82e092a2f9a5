// 05 recurrence: How does a net remember?  (about 6 s)
//
// A recurrent net reads word by word and carries a state along, which is all that it knows of what it has read. Here are three
// cells that make the new state from the old one, and a question that needs memory: after a sentence, which word came after its
// first conjunction? A cell must notice the conjunction, store one word, and hold it past all that come later.
//
// What you will see   the cells written out, and that the library's are the same; which cell remembers how long; what clipping is
//                     for; how much of a gradient comes back over 40 words, before training and after it; a gate that lets go once
// Shapes              B sentences, T words, E numbers a word, H hidden numbers, V words that it knows, G gates: 1, 3 or 4
//                     word x (B, E), from_x and from_h (B, G H), state h (B, H), of an LSTM h | c (B, 2H), logits (B, V)
// Predict             An RNN as it starts passes back about half of a gradient at each word. How much arrives from 40 words
//                     away? Do the gates of an untrained GRU or LSTM change that, and what would they have to be?
// Break on            lookback::op::GruSequence::backward, lookback::op::LstmCell::backward, lookback::clip_grad_norm
// Papers              Elman 1990, Cognitive Science 14; Hochreiter & Schmidhuber 1997, Neural Computation 9, sections 3 and 4;
//                     Cho et al. 2014, arXiv:1406.1078, equations 5 to 8; Pascanu et al. 2013, arXiv:1211.5063, section 2

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "lookback/draw/svg.h"
#include "lookback/draw/terminal.h"
#include "lookback/nn/recurrent.h"
#include "lookback/ops/elementwise.h"
#include "lookback/ops/matmul.h"
#include "lookback/ops/shape.h"
#include "lookback/optim/optimizer.h"
#include "lookback/program/claims.h"
#include "lookback/program/file.h"
#include "lookback/program/interrupt.h"
#include "lookback/program/options.h"
#include "lookback/program/progress.h"
#include "lookback/program/stopwatch.h"
#include "lookback/text/batch.h"

using namespace lookback;

namespace {

constexpr int E = 32, H = 64;
constexpr std::size_t longest = 20;    // words of a sentence to learn from: two clauses, and most of three
constexpr double learning_rate = 0.1;

// ---- 1. Three cells --------------------------------------------------------------------------------------------------------

// What a cell reads in x (B, E) and in its old state h (B, H), for all gates side by side: (B, G H) each.
struct Seen {
    Tensor from_x, from_h;

    Seen(const Cell& cell, const Tensor& x, const Tensor& h)
        : from_x(linear(x, cell.weight_ih, cell.bias_ih)), from_h(linear(h, cell.weight_hh, cell.bias_hh)) {}
    Tensor x(int gate) const { return slice(from_x, 1, gate * H, (gate + 1) * H); }
    Tensor h(int gate) const { return slice(from_h, 1, gate * H, (gate + 1) * H); }
    Tensor both(int gate) const { return x(gate) + h(gate); }
};

// RNN: the old state is mixed anew at each word, and squashed. Nothing of it stays as it was.
Tensor rnn_step(const Cell& cell, const Tensor& x, const Tensor& h) { return tanh(Seen(cell, x, h).both(0)); }

// GRU: of each number of the state the share z stays as it was, and the rest is new.
Tensor gru_step(const Cell& cell, const Tensor& x, const Tensor& h) {
    const Seen seen(cell, x, h);
    const Tensor r = sigmoid(seen.both(0));              // how much of the old state is asked for what is new
    const Tensor z = sigmoid(seen.both(1));              // how much of it is held
    const Tensor n = tanh(seen.x(2) + r * seen.h(2));    // what is new (Cho et al. multiply r into h first)
    const Tensor written = (1 - z) * n, held = z * h;    // one by one: C++ leaves open which side of a + it computes first
    return written + held;
}

// LSTM: c is held by the gate f (Gers et al. 2000), written to by the gate i, and shown through the gate o. State: h | c.
Tensor lstm_step(const Cell& cell, const Tensor& x, const Tensor& state) {
    const Tensor h = slice(state, 1, 0, H), c = slice(state, 1, H, 2 * H);
    const Seen seen(cell, x, h);
    const Tensor i = sigmoid(seen.both(0)), f = sigmoid(seen.both(1)), g = tanh(seen.both(2)), o = sigmoid(seen.both(3));
    const Tensor held = f * c, written = i * g;
    const Tensor new_c = held + written;
    return concat({o * tanh(new_c), new_c}, 1);
}

// In a loss that weighs each number of the output differently, no mistake hides.
std::vector<real> gradients_of(const Tensor& output, std::vector<Tensor> leaves) {
    for (Tensor& leaf : leaves) leaf.zero_grad();
    Random random(3);
    backward(sum(output * Tensor::normal(output.shape(), 1, random)));
    std::vector<real> all;
    for (const Tensor& leaf : leaves) all.insert(all.end(), leaf.grad(), leaf.grad() + leaf.size());
    return all;
}

double largest_difference(const std::vector<real>& ours, const std::vector<real>& theirs) {    // as a share of the largest
    real difference = 0, largest = 0;
    for (std::size_t i = 0; i < ours.size(); ++i) {
        difference = std::max(difference, std::abs(ours[i] - theirs[i]));
        largest = std::max(largest, std::abs(theirs[i]));
    }
    return static_cast<double>(difference / largest);
}

// Ten words, by the step above and by the library's.
template <class CellType, class Step>
void compare(const char* name, const Step& step, Claims& claims) {
    constexpr int B = 4, T = 10;
    Random random(2);
    CellType cell(E, H, random);
    const Tensor x = Tensor::normal({B, T, E}, 1, random).requires_grad();
    Tensor ours({B, cell.state_size()}), theirs({B, cell.state_size()});
    for (int t = 0; t < T; ++t) {
        ours = step(cell, select(x, 1, t), ours);
        theirs = cell(select(x, 1, t), theirs);
    }
    std::vector<Tensor> leaves = parameters_of(cell);
    leaves.push_back(x);
    const double values = largest_difference(ours.values(), theirs.values());
    const double gradients = largest_difference(gradients_of(ours, leaves), gradients_of(theirs, leaves));
    fmt::print("   {:<30}{:>8}{:>10}{:>16.0e}{:>12.0e}\n", name, cell.state_size(),
               count_text(static_cast<long>(parameter_count(cell))), values, gradients);
    claims.check(std::max(values, gradients) < 1e-5, fmt::format("{}: written out and library agree", name));
}

// ---- 2. A question that needs memory ---------------------------------------------------------------------------------------

// The place of the answer, if the sentence has one.
std::size_t place_of_answer(const std::vector<std::string>& words) {
    static const std::vector<std::string> conjunctions = split("and or but because when if");
    const std::size_t place = std::ranges::find_first_of(words, conjunctions) - words.begin() + 1;
    return place < words.size() ? place : 0;    // your own corpus: the first word
}

// Sentences, with their answer in place of a translation.
std::vector<Pair> questions_of(const std::vector<Pair>& pairs, std::size_t most_words) {
    std::vector<Pair> questions;
    for (const auto& [words, translation] : pairs) {
        const std::size_t place = place_of_answer(words);
        if (place > 0 && words.size() <= most_words) questions.push_back({words, {words[place]}});
    }
    if (questions.empty())
        for (const auto& [words, translation] : pairs) questions.push_back({words, {words[0]}});
    return questions;
}

template <class CellType>
struct Reader {
    Embedding embedding;          // (V, E)
    Recurrent<CellType> layer;    // the cell at each word of a sentence: E -> H
    Linear out;                   // H -> V

    Reader(int V, Random random) : embedding(V, E, random, 0.5), layer(E, H, random), out(H, V, random) {}
    Tensor answer(const Tensor& state) const { return out(layer.forward_cell.output(state)); }    // of an LSTM, h
    // Sentences are of unlike length, so a batch is filled up with <pad>. The state is that after each sentence's last word.
    Tensor operator()(const Batch& batch) const {
        return answer(layer(embedding(batch.source), batch.source_lengths).state);    // (B, S, E) -> (B, H) -> (B, V)
    }
    void parameters(const Visit& visit) {
        embedding.parameters(within("embedding", visit));
        layer.parameters(within("layer", visit));
        out.parameters(within("out", visit));
    }
};

// The first word of each target: (B).
Ids answers_of(const Batch& batch) {
    const int T = batch.target_out.shape[1];
    Ids answers{{batch.size()}, {}};
    for (int b = 0; b < batch.size(); ++b) answers.values.push_back(batch.target_out.values[b * T]);
    return answers;
}

template <class CellType>
double share_right(const Reader<CellType>& model, const std::vector<Example>& examples) {
    const NoGrad no_grad;
    int right = 0;
    for (const Batch& batch : batches_in_order(examples, 50)) {
        const Tensor logits = model(batch);
        const std::vector<int> answers = answers_of(batch).values;
        for (int b = 0; b < batch.size(); ++b) {
            const real* row = logits.data() + b * logits.size(1);
            right += std::max_element(row, row + logits.size(1)) == row + answers[b];
        }
    }
    return right / static_cast<double>(examples.size());
}

// ---- 3. Training, and clipping ---------------------------------------------------------------------------------------------

struct Trace {
    std::vector<double> losses, norms;    // at each step: loss, |gradient| before it was clipped
};

template <class CellType>
Trace train(const char* name, Reader<CellType>& model, const std::vector<Example>& examples, double limit,
            const Options& options) {
    BatchStream stream(examples, 32, Random(options.seed));    // sentences of like length side by side, so that little is padding
    Sgd sgd(model, {.lr = learning_rate, .momentum = 0.9});
    Progress progress(name, options.steps);
    Trace trace;
    for (int step = 0; step == 0 || (step < options.steps && !interrupted()); ++step) {    // one at least: something to show
        const Batch batch = stream.next();

        zero_grad(model);
        const Tensor loss = cross_entropy(model(batch), answers_of(batch));
        backward(loss);
        // A gradient g whose norm |g|, its length, is above the limit is made as long as that: g limit / |g|. Its direction stays.
        trace.norms.push_back(clip_grad_norm(model, limit));
        sgd.options.lr = learning_rate * warmup_cosine(step, 50, options.steps);
        sgd.step();

        trace.losses.push_back(static_cast<double>(loss.item()));
        progress.advance(batch.size(), trace.losses.back());
    }
    return trace;
}

// ---- 4. The way back -------------------------------------------------------------------------------------------------------

// The state after each word of one sentence, to be asked for its gradient.
template <class CellType>
std::vector<Tensor> states_of(const Reader<CellType>& model, const std::vector<int>& words) {
    std::vector<Tensor> states = {Tensor({1, model.layer.forward_cell.state_size()})};
    for (const int word : words) states.push_back(model.layer.forward_cell(model.embedding({{1}, {word}}), states.back()));
    return {states.begin() + 1, states.end()};
}

// |dLoss/dh_t| over the distance of word t from the end, as a share of that at distance 1.
Series way_back(const std::string& name, const std::vector<Tensor>& states) {
    Series series{name, {}, {}};
    for (std::size_t distance = 1; distance < states.size(); ++distance) {
        series.xs.push_back(static_cast<double>(distance));
        series.ys.push_back(clip_grad_norm({states[states.size() - 1 - distance]}, HUGE_VAL));    // clips nothing, tells the norm
    }
    const double near = series.ys[0];
    for (double& norm : series.ys) norm /= near;
    return series;
}

struct Readers {
    Reader<RnnCell> rnn;
    Reader<GruCell> gru;
    Reader<LstmCell> lstm;

    // One backward pass for all three: then each state has its gradient.
    std::vector<Series> ways_back(const Example& example, const std::string& when) const {
        const std::vector<Tensor> r = states_of(rnn, example.source), g = states_of(gru, example.source);
        const std::vector<Tensor> l = states_of(lstm, example.source);
        const Ids answer{{1}, {example.target[0]}};
        const Tensor loss_r = cross_entropy(rnn.answer(r.back()), answer), loss_g = cross_entropy(gru.answer(g.back()), answer);
        const Tensor loss_l = cross_entropy(lstm.answer(l.back()), answer);
        backward(loss_r + loss_g + loss_l);
        return {way_back("RNN" + when, r), way_back("GRU" + when, g), way_back("LSTM" + when, l)};
    }
};

// ---- 5. What a gate holds --------------------------------------------------------------------------------------------------

// z of the GRU at each word: the mean, and the units that make most of a difference between one word and those after it.
AttentionMap gate_over(const Reader<GruCell>& model, const std::vector<std::string>& words, const Vocabulary& vocabulary,
                       std::size_t at) {
    const NoGrad no_grad;
    std::vector<std::vector<double>> units(H);    // (H, words)
    AttentionMap map{{}, {fmt::format("mean of {}", H)}, words, {}, {}, {}};
    map.about = "z: the share of each unit of a GRU's state that stays as it was, at each word";
    Tensor h({1, H});
    for (const int word : vocabulary.encode(words)) {
        const Tensor x = model.embedding({{1}, {word}}), z = sigmoid(Seen(model.layer.forward_cell, x, h).both(1));
        for (int unit = 0; unit < H; ++unit) units[unit].push_back(static_cast<double>(z.data()[unit]));
        map.weights.push_back(static_cast<double>(mean(z).item()));
        h = gru_step(model.layer.forward_cell, x, h);
    }
    std::ranges::sort(units, {}, [at](const std::span<double>& z) { return z[at] - std::ranges::min(z.subspan(at + 1)); });
    for (int i = 0; i < 8; ++i) {
        map.rows.push_back(fmt::format("unit {}", i + 1));
        map.weights.insert(map.weights.end(), units[i].begin(), units[i].end());
    }
    return map;
}

// ---- 6. The experiment -----------------------------------------------------------------------------------------------------

int recurrence(const Options& options) {
    Claims claims;
    fmt::print("1. Written out, and the library's   state   weights   values differ   gradients\n");
    compare<RnnCell>("RNN", rnn_step, claims);
    compare<GruCell>("GRU", gru_step, claims);
    compare<LstmCell>("LSTM", lstm_step, claims);

    const Corpus corpus = read_corpus(options.data);
    const int V = corpus.source.size();
    const auto encoded = [&](const std::vector<Pair>& questions) { return encode(questions, corpus.source, corpus.source); };
    const std::vector<Example> examples = encoded(questions_of(corpus.train, longest));
    const std::size_t most_tests = options.quick ? 2 : 7;
    std::vector<std::vector<Pair>> tests;
    for (std::size_t t = corpus.tests.size() > 1; t < corpus.tests.size() && tests.size() < most_tests; ++t)
        tests.push_back(questions_of(corpus.tests[t].pairs, SIZE_MAX));

    const Example far = encoded(questions_of(corpus.tests.back().pairs, SIZE_MAX))[0];
    const std::size_t end = far.source.size() - 1, place = place_of_answer(corpus.source.decode(far.source));
    fmt::print("\n2. Which word came {}? % right, by words since\n", place > 0 ? "after the first conjunction" : "first");
    fmt::print("   {:<15}{:>5} {:>18}{:>9} ", fmt::format("{} steps", options.steps), "loss", "", "most |g|");
    for (const std::vector<Pair>& test : tests) {
        std::size_t since = 0;
        for (const Pair& pair : test) since += pair.source.size() - place_of_answer(pair.source) - 1;
        fmt::print("{:>4}", (since + test.size() / 2) / test.size());
    }

    const Random random(options.seed);
    Readers readers{{V, random}, {V, random}, {V, random}};
    Reader<RnnCell> wild(V, random);
    std::vector<Series> ways = readers.ways_back(far, " untrained");
    std::vector<Trace> traces;
    std::vector<std::vector<double>> right;
    const auto study = [&](const char* name, auto& model, double limit) {
        const Trace& trace = traces.emplace_back(train(name, model, examples, limit, options));
        fmt::print("\n   {:<15}{:>5.2f} {:<13}{:>5.2f}{:>9.1f} ", name, trace.losses[0], terminal::sparkline(trace.losses, 13),
                   trace.losses.back(), std::ranges::max(trace.norms));
        right.emplace_back();
        for (const std::vector<Pair>& test : tests) {
            right.back().push_back(share_right(model, encoded(test)));
            fmt::print("{:4.0f}", 100 * right.back().back());
        }
    };
    study("RNN", readers.rnn, 1);
    study("GRU", readers.gru, 1);
    study("LSTM", readers.lstm, 1);
    study("RNN, no limit", wild, HUGE_VAL);
    for (const Series& way : readers.ways_back(far, " trained")) ways.push_back(way);

    const std::size_t answer = end - place;    // words back from the end
    fmt::print("\n\n3. |dLoss/dh|, of that 1 word back: the answer is read {} words back", answer);
    if (place > 0) fmt::print(", \"{}\" {}", corpus.source.token(far.source[place - 1]), answer + 1);
    fmt::print("\n   {:<17}", "words back");
    std::vector<std::size_t> distances = {10, 20, 30, answer, answer + 2};
    std::erase_if(distances, [&](std::size_t words) { return words > ways[0].ys.size(); });
    for (const std::size_t words : distances) fmt::print("{:>12}", words);
    const auto at = [](const Series& way, std::size_t words) { return way.ys[words - 1]; };
    for (const Series& way : ways) {
        fmt::print("\n   {:<17}", way.name);
        for (const std::size_t words : distances) fmt::print("{:>12.2g}", at(way, words));
    }

    std::vector<std::string> words = split("she sees him because my old friend looks for the red bird");
    const std::vector<std::string>& own = corpus.tests[0].pairs[0].source;
    if (corpus.source.id("because") == Vocabulary::unknown && own.size() > 1) words = own;    // your own corpus
    AttentionMap gate = gate_over(readers.gru, words, corpus.source, std::min(place_of_answer(words), words.size() - 2));
    fmt::print("\n\n4. The gate z of the trained GRU, in tenths: what it holds at each word\n{}",
               terminal::attention_map(gate, terminal::style_of(stdout)));
    gate.title = "What a gate holds";
    LineChart chart{"What comes back of a gradient", "words back", "|dLoss/dh|, as a share", ways};
    chart.log_y = true;
    if (!options.out.empty()) write_file(options.out / "gradient.svg", svg::line_chart(chart));
    if (!options.out.empty()) write_file(options.out / "gate.svg", svg::attention_map(gate));

    if (options.usual) {
        for (int cell = 0; cell < 3; ++cell) claims.check(at(ways[cell], 30) < 1e-5, "untrained, nothing comes back");
        claims.check(at(ways[4], answer) > 0.3 && at(ways[4], answer + 2) < 0.1, "GRU: it comes to the answer, not further");
        claims.check(at(ways[5], answer) > 0.02, "LSTM: a part comes back to the answer");
        for (const double share : right[2]) claims.check(share > 0.9, "the LSTM remembers over all distances");
        claims.check(right[1][0] > 0.98 && right[1][3] > 0.9, "the GRU remembers over 25 words");
        claims.check(right[0][0] < 0.9 && right[0][6] < 0.5, "the RNN does not");
        claims.check(traces[3].losses.back() > traces[0].losses.back() + 1, "without a limit the RNN learns next to nothing");
        for (std::size_t unit = 1; unit < gate.rows.size(); ++unit) {
            const std::span<double> z = std::span(gate.weights).subspan(unit * words.size(), words.size());
            claims.check(z[4] < 0.1 && std::ranges::min(z.subspan(5)) > 0.9, "a unit is written at one word, and then held");
        }
    }
    return claims.report();
}

}    // namespace

int main(int argc, char** argv) {
    return run_program(argc, argv,
                       {.name = "05_recurrence",
                        .question = "How does a net remember?",
                        .steps = 2000,
                        .quick_steps = 4,
                        .out = {},
                        .data = LOOKBACK_DATASETS "/english-french",
                        .own = {}},
                       recurrence);
}

// Exercises (solutions/05_recurrence.md)
//   1. Start with open gates: add 3 to bias_ih of the GRU's z and of the LSTM's f. What comes back before training, and after it?
//   2. In a debugger: stop in ways_back, then in op::GruCell::backward, and follow the gradient over 20 words. What remains?
//   3. An RNN that begins with the identity as weight_hh passes more back, too. Does it learn what the gates learn?
//
// Break it: change one line, say what will happen, run
//   written = (1 - z) * n, held = z * h     written = z * n, held = (1 - z) * h: as Cho et al. write z, or not?
//   batch.source_lengths).state             without lengths: the state after the padding
//   clip_grad_norm(model, limit)            clip_grad_norm(model, limit / 100)
//   sgd.options.lr = learning_rate          leave it out: no warm-up, and no rest in the end
//
// Questions
//   On which way does a gradient pass a word unchanged?  Through held, where the gate is 1. In the RNN there is no such way.
//   Why does the RNN's gradient vanish or explode?  It meets one matrix, and the slope of tanh, at each word: 0.56^37 is 5e-10,
//     and 1.1^37 is 34.
//   Trained, the RNN passes back 0.69 over 38 words. Why does it not know the answer?  A gradient says that a word counts, not
//     what for: all later words are mixed into the same state. (And it is chance: with the seeds 2 and 3 it passes back 2e-05 and
//     4e-04.) At 32 % it knows little; always to say "the" gives 22 %.
//   Why is the whole gradient scaled, and not each number cut?  So that it keeps its direction: the same way down, less far.
//   How does the GRU know at "my" that it must write?  From h: x does not say that a conjunction came before. Afterwards h
//     says that the answer is there.
