// 04 training: How do I know that it learns?  (about 6 s)
//
// A net says the next word of a French sentence from the three words before it. It is trained as all nets of this course are from
// now on: on batches, by an optimiser, along a schedule. A net that learns badly looks much like one that learns well, since its
// loss falls, too. So here is what to measure, and what the figures should be.
//
// What you will see   what the loss should be before the first step; one batch learned as far as it can be; the rules of four
//                     optimisers, raced from one start; learning rates and first weights that are wrong, and which figure gives
//                     them away; a net that learns and gets worse
// Shapes              B examples in a batch, N = 3 words before, E numbers a word, H hidden numbers, V words that it knows
//                     before (B, N), x (B, N E), hidden (B, H), logits (B, V), next (B)
// Predict             V is 219. What is the loss of a net that knows nothing? And if all weights start at 0 instead of at random:
//                     which of them ever get a gradient, and what can the net learn with these alone?
// Break on            lookback::Adam::step, lookback::op::CrossEntropy::backward, lookback::op::Embedding::backward
// Papers              Bengio et al. 2003, JMLR 3, section 2; Kingma & Ba 2015, arXiv:1412.6980, algorithm 1; Loshchilov & Hutter
//                     2019, arXiv:1711.05101, algorithm 2, and 2017, arXiv:1608.03983, equation 5

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numeric>

#include "lookback/draw/svg.h"
#include "lookback/draw/terminal.h"
#include "lookback/nn/layers.h"
#include "lookback/ops/elementwise.h"
#include "lookback/ops/shape.h"
#include "lookback/optim/optimizer.h"
#include "lookback/program/claims.h"
#include "lookback/program/file.h"
#include "lookback/program/interrupt.h"
#include "lookback/program/options.h"
#include "lookback/program/progress.h"
#include "lookback/program/stopwatch.h"
#include "lookback/tensor/node.h"
#include "lookback/text/corpus.h"

using namespace lookback;

namespace {

constexpr int N = 3, E = 32, H = 64, batch_size = 128;

// ---- 1. Examples and batches -----------------------------------------------------------------------------------------------

// N words, and the word that came after them.
using Example = std::array<int, N + 1>;
using Examples = std::vector<Example>;

// A sentence of n words gives n + 1 examples: N times <s> stands before its first word, and </s> after its last one.
Examples examples_of(std::span<const Pair> pairs, const Vocabulary& vocabulary) {
    Examples examples;
    for (const Pair& pair : pairs) {
        std::vector<int> words(N, Vocabulary::begin);
        for (const int word : vocabulary.encode(pair.target)) words.push_back(word);
        words.push_back(Vocabulary::end);
        for (std::size_t i = 0; i + N < words.size(); ++i) std::copy_n(&words[i], N + 1, examples.emplace_back().begin());
    }
    return examples;
}

// Some examples side by side. Their mean loss has nearly the gradient that all examples have, for a fraction of the work.
struct Batch {
    Ids before, next;    // (B, N), (B)

    explicit Batch(std::span<const Example> rows) : before{{static_cast<int>(rows.size()), N}, {}}, next{{before.shape[0]}, {}} {
        for (const Example& row : rows) {
            before.values.insert(before.values.end(), row.begin(), row.end() - 1);
            next.values.push_back(row.back());
        }
    }
};

// Batches without end; in an epoch each example comes once, in an order of chance. (BatchStream is that for pairs of sentences.)
struct Batches {
    const Examples& examples;
    Random random;
    std::vector<int> order = {};

    Batch next() {
        Examples rows;
        while (rows.size() < std::min<std::size_t>(batch_size, examples.size())) {
            if (order.empty()) order = random.permutation(static_cast<int>(examples.size()));
            rows.push_back(examples[order.back()]);
            order.pop_back();
        }
        return Batch(rows);
    }
};

// ---- 2. The net ------------------------------------------------------------------------------------------------------------

struct Net {
    Embedding embedding;    // (V, E): a row of numbers for each word, learned as all weights are
    Linear hidden, out;     // N E -> H, H -> V

    Net(int V, Random random, double scale) : embedding(V, E, random, 0.5), hidden(N * E, H, random), out(H, V, random) {
        for (const Tensor& w : parameters_of(*this))
            for (std::size_t i = 0; i < w.size(); ++i) w.data()[i] *= static_cast<real>(scale);
    }
    Tensor operator()(const Ids& before) const {
        const Tensor x = reshape(embedding(before), {-1, N * E});    // (B, N, E) -> (B, N E): the rows of N words side by side
        return out(tanh(hidden(x)));                                 // (B, H) -> (B, V)
    }
    void parameters(const Visit& visit) {
        embedding.parameters(within("embedding", visit));
        hidden.parameters(within("hidden", visit));
        out.parameters(within("out", visit));
    }
};

double mean_loss(const Net& net, const Batch& batch) {
    const NoGrad no_grad;    // nothing is learned from these: no graph is needed
    return static_cast<double>(cross_entropy(net(batch.before), batch.next).item());    // cross-entropy: mean of -ln p(next)
}

// The loss of one who counts what came in `examples` after the same `known` last words; a word that never did counts as once.
double loss_by_counting(const Examples& examples, const Examples& asked, int known, double blind = 0) {
    std::map<std::vector<int>, double> times;    // how often these words came; with `next`, and then the next one
    const auto count = [&](const Example& example, bool next) -> double& {
        return times[{example.end() - 1 - known, example.end() - !next}];
    };
    for (const Example& example : examples) ++count(example, false), ++count(example, true);
    double loss = 0;
    for (const Example& example : asked)
        loss += count(example, false) > 0 ? std::log(count(example, false) / std::max(count(example, true), 1.0)) : blind;
    return loss / static_cast<double>(asked.size());
}

// ---- 3. What an optimiser makes of a gradient ------------------------------------------------------------------------------

constexpr double momentum = 0.9, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, decay = 0.1;

// What is kept of a weight from step to step. (beta1^t and beta2^t of step t are the same for all weights.)
struct Kept {
    double m = 0, v = 0, beta1_t = 1, beta2_t = 1;
};

using Rule = void (*)(double& w, double g, double lr, Kept& kept);    // moves one weight w, whose gradient is g

void sgd(double& w, double g, double lr, Kept&) { w -= lr * g; }

// A ball that rolls. Where the slope stays the same it becomes ten times as fast; where the slope changes its sign it does not.
void with_momentum(double& w, double g, double lr, Kept& kept) {
    kept.v = momentum * kept.v + g;
    w -= lr * kept.v;
}

// m is the mean of the last gradients, some 10, and v that of their squares, some 1000. So m / sqrt(v) is near 1 or -1 where they
// agree and near 0 where they do not; how large they are does not count. Both began at 0, too small at first: hence beta^t.
void adam(double& w, double g, double lr, Kept& kept) {
    kept.m = beta1 * kept.m + (1 - beta1) * g;
    kept.v = beta2 * kept.v + (1 - beta2) * g * g;
    kept.beta1_t *= beta1;
    kept.beta2_t *= beta2;
    const double m = kept.m / (1 - kept.beta1_t), v = kept.v / (1 - kept.beta2_t);
    w -= lr * m / (std::sqrt(v) + epsilon);
}

// Beside that each weight shrinks, which is called weight decay: what nobody needs goes away.
void adamw(double& w, double g, double lr, Kept& kept) {
    w -= lr * decay * w;
    adam(w, g, lr, kept);
}

Sgd optimizer_of(const std::vector<Tensor>& parameters, const SgdOptions& options) { return Sgd(parameters, options); }
Adam optimizer_of(const std::vector<Tensor>& parameters, const AdamOptions& options) { return Adam(parameters, options); }

std::vector<double> numbers_of(const std::vector<Tensor>& parameters) {
    std::vector<double> all;
    for (const Tensor& w : parameters) all.insert(all.end(), w.data(), w.data() + w.size());
    return all;
}

// The norm of the difference, as a share of the norm before. The norm of many numbers is their length: sqrt(sum of their squares).
double change(const std::vector<double>& before, const std::vector<double>& after) {
    double squares = 0, total = 0;
    for (std::size_t i = 0; i < after.size(); ++i) {
        squares += (after[i] - before[i]) * (after[i] - before[i]);
        total += before[i] * before[i];
    }
    return std::sqrt(squares / total);
}

// How far apart 100 weights are after twenty steps by the rule, and by the library's, along the same gradients.
template <class With>
double difference(const Rule& rule, const With& with) {
    Random random(1);
    Tensor w = Tensor::normal({100}, 1, random).requires_grad();
    w.zero_grad();
    auto theirs = optimizer_of({w}, with);
    std::vector<double> ours = numbers_of({w});
    std::vector<Kept> kept(ours.size());
    for (int t = 0; t < 20; ++t) {
        for (std::size_t i = 0; i < ours.size(); ++i) {
            w.grad()[i] = static_cast<real>(random.normal());
            rule(ours[i], static_cast<double>(w.grad()[i]), with.lr, kept[i]);
        }
        theirs.step();
    }
    return change(numbers_of({w}), ours);
}

// ---- 4. The loop -----------------------------------------------------------------------------------------------------------

double mean_of(std::span<const double> numbers) {
    return std::accumulate(numbers.begin(), numbers.end(), 0.0) / static_cast<double>(numbers.size());
}

struct Trace {
    std::vector<double> losses, gradients, updates;          // at each step: loss, norm of the gradient, change of the weights
    std::vector<double> valid_losses = {}, valid_at = {};    // 21 times: the mean loss of other sentences, and the step
    double loss() const { return mean_of(std::span(losses).last(std::min<std::size_t>(50, losses.size()))); }
};

template <class With>
Trace train(const std::string& name, Net net, const With& with, const Examples& examples, const Batch& valid,
            const Options& options, bool scheduled = false) {
    auto optimizer = optimizer_of(parameters_of(net), with);
    Batches batches{examples, Random(options.seed)};    // the same seed: the same batches for all
    Progress progress(name, options.steps);
    Trace trace;
    for (int step = 0; step == 0 || (step < options.steps && !interrupted()); ++step) {    // one at least: something to show
        const Batch batch = batches.next();
        const std::vector<double> before = numbers_of(optimizer.parameters);

        zero_grad(net);
        const Tensor loss = cross_entropy(net(batch.before), batch.next);
        backward(loss);
        trace.gradients.push_back(clip_grad_norm(net, HUGE_VAL));    // 05 sets a limit; here it only tells the norm
        // A warm-up as long as all weights are wrong, then large steps, then smaller and smaller ones, to settle.
        if (scheduled) optimizer.options.lr = with.lr * warmup_cosine(step, options.steps / 10, options.steps);
        optimizer.step();

        trace.losses.push_back(static_cast<double>(loss.item()));
        trace.updates.push_back(change(before, numbers_of(optimizer.parameters)));
        if (step == 0 || (step + 1) * 20L / options.steps > step * 20L / options.steps) {
            trace.valid_losses.push_back(mean_loss(net, valid));
            trace.valid_at.push_back(step + 1);
        }
        progress.advance(batch.next.shape[0], trace.losses.back());
    }
    return trace;
}

// ---- 5. The experiment -----------------------------------------------------------------------------------------------------

// The mean of each twentieth of the steps.
Series curve_of(const std::string& name, const std::vector<double>& losses) {
    Series curve{name, {}, {}};
    const std::size_t points = std::min<std::size_t>(20, losses.size());
    for (std::size_t i = 0; i < points; ++i) {
        const std::size_t begin = i * losses.size() / points, end = (i + 1) * losses.size() / points;
        curve.xs.push_back(static_cast<double>(end));
        curve.ys.push_back(mean_of(std::span(losses).subspan(begin, end - begin)));
    }
    return curve;
}

int training(const Options& options) {
    const Corpus corpus = read_corpus(options.data);
    const auto first = [&](const std::vector<Pair>& pairs, std::size_t count) {
        return examples_of(std::span(pairs).first(std::min(count, pairs.size())), corpus.target);
    };
    const Examples all = first(corpus.train, options.quick ? 1000 : corpus.train.size()), few = first(corpus.train, 100);
    const Examples unseen = first(corpus.valid, options.quick ? 20 : 300);
    const Examples batch(all.begin(), all.begin() + std::min<std::ptrdiff_t>(32, std::ssize(all)));
    const Batch valid(unseen);
    const int V = corpus.target.size();
    const auto net = [&](double scale = 1) { return Net(V, Random(options.seed), scale); };    // always the same start

    Net blank = net();
    const double guess = std::log(V), untrained = mean_loss(blank, valid);
    const double by_frequency = loss_by_counting(all, unseen, 0), by_last_word = loss_by_counting(all, unseen, 1, guess);
    fmt::print("1. What should the loss be? {} weights, {} examples\n", count_text(static_cast<long>(parameter_count(blank))),
               count_text(std::ssize(all)));
    fmt::print("   a blind guess, ln {:<12}{:>6.2f}     how often each word comes{:>11.2f}\n", V, guess, by_frequency);
    fmt::print("   the net before step 1{:>15.2f}     which word follows which{:>12.2f}\n", untrained, by_last_word);

    const Trace one = train("one batch", net(), AdamOptions{.lr = 0.005}, batch, Batch(batch), options);
    const double least = loss_by_counting(batch, batch, N);
    fmt::print("\n2. The same {} examples, {} times over: if that does not work, nothing will\n", batch.size(), options.steps);
    fmt::print("   loss {:.2f} {} {:.3f}; the least is {:.3f}: some begin alike\n", one.losses[0],
               terminal::sparkline(one.losses, 20), one.losses.back(), least);

    Claims claims;
    std::vector<Trace> race;
    LineChart chart{.title = "Five ways down", .x_label = "steps", .y_label = "loss", .series = {}, .overlay = true};
    if (options.usual) chart.title += " (losses above 3.4 are not drawn)", chart.y_min = 2.4, chart.y_max = 3.4;
    fmt::print("\n3. Six ways down from one start   rate  library differs   training   validation\n");
    const auto run = [&](const std::string& name, const Rule& rule, const auto& with, bool scheduled = false) {
        const double differs = rule ? difference(rule, with) : 0;
        const Trace& trace = race.emplace_back(train(name, net(), with, all, valid, options, scheduled));
        fmt::print("   {:<26}{:>9}{:>17}{:>11.3f}{:>13.3f}\n", name + (race.size() == 1 ? ", not drawn" : ""), with.lr,
                   rule ? fmt::format("{:.0e}", differs) : "", trace.loss(), trace.valid_losses.back());
        claims.check(differs < 1e-5, "the rule is the library's: " + name);
        if (race.size() == 1) return;    // too slow for the picture
        Series& curve = chart.series.emplace_back(curve_of(name, trace.losses));
        for (double& y : curve.ys)
            if (chart.y_max > 0 && y > chart.y_max) y = HUGE_VAL;    // not drawn: above they are all alike
    };
    run("SGD, slow", sgd, SgdOptions{.lr = 0.1});
    run("SGD", nullptr, SgdOptions{.lr = 1});
    run("momentum", with_momentum, SgdOptions{.lr = 0.1, .momentum = momentum});
    run("Adam", adam, AdamOptions{.lr = 0.005});
    run("AdamW", adamw, AdamOptions{.lr = 0.005, .weight_decay = decay});
    run("AdamW, scheduled", nullptr, AdamOptions{.lr = 0.02, .weight_decay = decay}, true);
    fmt::print("{}", terminal::line_chart(chart, terminal::style_of(stdout), 9));

    // The update as a share of the weights, at the first step and at the last; the last loss is a mean of 50 steps.
    fmt::print("\n4. Adam, and four mistakes  loss, first to last  1st gradient   update/weights\n");
    const auto show = [](const char* name, const Trace& trace) {
        fmt::print("   {:<15}{:>8.2f} {:<18} {:>6.2f}{:>10.2f}{:>10.0e}{:>7.0e}\n", name, trace.losses[0],
                   terminal::sparkline(trace.losses, 18), trace.loss(), trace.gradients[0], trace.updates[0],
                   trace.updates.back());
        return trace;
    };
    Net zero = net(0);
    const Trace right = show("as it should be", race[3]);
    const Trace slow = show("rate 0.00001", train("rate 1e-5", net(), AdamOptions{.lr = 1e-5}, all, valid, options));
    const Trace fast = show("rate 1", train("rate 1", net(), AdamOptions{.lr = 1}, all, valid, options));
    const Trace large = show("weights x 10", train("weights x 10", net(10), AdamOptions{.lr = 0.005}, all, valid, options));
    const Trace none = show("weights x 0", train("weights x 0", zero, AdamOptions{.lr = 0.005}, all, valid, options));
    std::string learned;
    for (const Tensor& w : parameters_of(zero))
        if (std::any_of(w.data(), w.data() + w.size(), [](real number) { return number != 0; })) learned += w.node->name;
    fmt::print("   x 0: inf, as all were 0; only {} learns: how often each word comes\n", learned);

    fmt::print("\n5. Loss of what is learned, and of sentences not seen           lowest, at step\n");
    LineChart heart{"Loss of unseen sentences, and of the 100 learned", "steps", "loss", {}};
    const auto compare = [&](const char* name, const Trace& trace) {
        const std::vector<double>& losses = trace.valid_losses;
        const auto lowest = std::ranges::min_element(losses);
        fmt::print("   {:<20}{:>10.2f}{:>10.2f} {:<21}{:>7.2f}{:>6}\n", name, trace.loss(), losses.back(),
                   terminal::sparkline(losses), *lowest, trace.valid_at[lowest - losses.begin()]);
        heart.series.push_back({name, trace.valid_at, losses});
        return trace;
    };
    compare("all sentences", right);
    const Trace hundred = compare("100 sentences", train("100 sentences", net(), AdamOptions{.lr = 0.005}, few, valid, options));
    const Trace decayed = compare(
        "100, with decay 1", train("100, with decay 1", net(), AdamOptions{.lr = 0.005, .weight_decay = 1}, few, valid, options));
    heart.series.push_back(curve_of("the 100 learned from", hundred.losses));
    if (!options.out.empty()) write_file(options.out / "curves.svg", svg::line_chart(chart));
    if (!options.out.empty()) write_file(options.out / "by_heart.svg", svg::line_chart(heart));

    if (options.usual) {
        claims.check(std::abs(untrained - guess) < 0.1, "at first it guesses blindly");
        claims.check(one.losses.back() < least + 0.001, "one batch is learned as far as it can be");
        claims.check(race[0].loss() > race[2].loss() + 1, "at the same rate, momentum is much faster than SGD");
        claims.check(std::abs(race[1].loss() - race[2].loss()) < 0.03, "SGD at ten times the rate is as fast as momentum");
        claims.check(race[3].loss() < race[1].loss() - 0.05, "Adam is better than both");
        claims.check(race[5].loss() < race[3].loss() - 0.03, "with a schedule it is better still");
        claims.check(race[5].valid_losses.back() < by_last_word - 0.3, "three words tell more than one");
        claims.check(slow.loss() > 5.3 && fast.loss() > 10, "a small rate does nothing, a large one is worse than guessing");
        claims.check(large.losses[0] > 10 && large.loss() > right.loss() + 0.5, "large weights start far off and stay behind");
        claims.check(learned == "out.bias" && std::abs(none.loss() - by_frequency) < 0.03, "from 0 only the bias learns");
        claims.check(std::abs(right.loss() - right.valid_losses.back()) < 0.1, "of many sentences none is learned by heart");
        claims.check(hundred.loss() < 0.6 && hundred.valid_losses.back() > guess, "of 100 all are; worse than guessing");
        claims.check(decayed.valid_losses.back() < hundred.valid_losses.back() - 1, "decay helps");
    }
    return claims.report();
}

}    // namespace

int main(int argc, char** argv) {
    return run_program(argc, argv,
                       {.name = "04_training",
                        .question = "How do I know that it learns?",
                        .steps = 1000,
                        .quick_steps = 10,
                        .out = {},
                        .data = LOOKBACK_DATASETS "/english-french",
                        .own = {}},
                       training);
}

// Exercises (solutions/04_training.md)
//   1. A batch of 8 costs a sixteenth of one of 128. How good is Adam after as many steps? And after 16 times as many?
//   2. In a debugger: break lookback::Adam::step. By how much does the first step move each weight, and why by that much?
//   3. In two threads, as from 06 on: cut each batch in two and use DataParallel. What must each half's loss be divided by?
//
// Break it: change one line, say what will happen, run
//   zero_grad(net);                         leave it out
//   row.begin(), row.end() - 1              row.begin() + 1, row.end(): the word to say is one of the three
//   loss = cross_entropy(net(batch.before), ...    loss = cross_entropy(net(batch.before), batch.next, {.divisor = 1}): a sum
//   out(tanh(hidden(x)))                    out(hidden(x)): no tanh
//   m = kept.m / (1 - kept.beta1_t), ...    m = kept.m, v = kept.v: too small at first
//
// Questions
//   Which line makes a batch stand for all examples?  order = random.permutation(...): each example is as likely to be in it, so
//     the mean of the batches' gradients is the gradient of all.
//   Why does only out.bias learn when all weights are 0?  The others' gradients have a factor that is 0: hidden, or a weight.
//   Why is momentum at rate 0.1 as fast as SGD at rate 1?  v is g + 0.9 g + 0.81 g + ..., ten times g where g stays the same.
//   Which figure shows a wrong rate before the loss does?  The update as a share of the weights: at the first step 4e-05 leads
//     nowhere, 4e+00 leaves nothing of the net. 1e-3 to a few 1e-2 is usual. (For weights that are 0 it is inf: no sign.)
//   When is the net that knows 100 sentences at its best?  After 150 steps. Then it learns what is true of these sentences alone.
