// 00 tour: What will I be able to do?  (about 3 s)
//
// The whole course in miniature: a number that finds its slope, a net that learns French from short sentences, and a look at where it
// looks. Nothing here has to be understood at first: each section names the programs of the course that build and explain it.
//
// What you will see   d(w w)/dw; a translator before and after its training; "i love you", which it has not read, in French;
//                     and for each French word the English words that it looks at. With --out DIR also as a picture, and
//                     as a page in which arrow keys step through all that computes the loss of that sentence, and back
// Shapes              B sentences side by side, S English tokens, T French tokens, V tokens it knows: logits (B, T, V), look (B, T, S)
// Predict             "i love you" is "je t' aime". Nobody tells the net which words belong together. Will it look at "you" as it
//                     says "t'", and at "love" as it says "aime"? And why might it look at "love" already for "t'"?
// Break on            lookback::run_backward_of: each op of a graph passes it, from the loss back to the weights
// Papers              Bahdanau, Cho & Bengio 2015, arXiv:1409.0473, section 3 and figure 3

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "lookback/decode/evaluate.h"
#include "lookback/draw/steps.h"
#include "lookback/draw/svg.h"
#include "lookback/draw/terminal.h"
#include "lookback/models/translator.h"
#include "lookback/ops/elementwise.h"
#include "lookback/optim/data_parallel.h"
#include "lookback/optim/optimizer.h"
#include "lookback/program/claims.h"
#include "lookback/program/file.h"
#include "lookback/program/interrupt.h"
#include "lookback/program/options.h"
#include "lookback/program/progress.h"
#include "lookback/program/stopwatch.h"
#include "lookback/tensor/node.h"

using namespace lookback;

namespace {

constexpr int batch_size = 16, shard_count = 2;
constexpr int longest = 14;    // English words of a sentence to learn from: one clause, and most of two

// ---- 1. The engine (01 chain_rule to 04 training) --------------------------------------------------------------------------

// A tensor remembers how it was made. So backward() can go back from a loss, op by op, and leave the slope of the loss in each leaf.
void show_engine() {
    const auto loss_at = [](const Tensor& w) { return w * w; };
    Tensor w = Tensor::scalar(3).requires_grad();
    const Tensor loss = loss_at(w);
    backward(loss);
    const real rise = loss_at(Tensor::scalar(real(3.1))).item() - loss_at(Tensor::scalar(real(2.9))).item();
    fmt::print("1. A number that finds its slope\n");
    fmt::print("   w = {}; the last op of the graph, #{} {}, makes the loss {}\n", w.item(), loss.node->id, loss.node->op,
               loss.item());
    fmt::print("   backward(loss) leaves the slope in w: dloss/dw = {}\n", w.grad()[0]);
    fmt::print("   it is right: (loss at 3.1 - loss at 2.9) / 0.2 = {:.1f}\n", rise / real(0.2));
    w.data()[0] -= real(0.1) * w.grad()[0];
    fmt::print("   learning is a small step down the slope: w = {:.1f}, and the loss is {:.2f}\n", w.item(), loss_at(w).item());
}

// ---- 2. Training (04 training, 08 additive_attention) ----------------------------------------------------------------------

// The same on many numbers at once. Five beats, as in every program of the course from 05 on: zero_grad, loss, backward, clip, step.
std::vector<double> train(AttentionTranslator& model, const std::vector<Example>& examples, const Options& options,
                          Workers& workers) {
    BatchStream stream(examples, batch_size, Random(options.seed));
    Adam adam(model, {.weight_decay = 0.2});
    DataParallel<AttentionTranslator> parallel(model, shard_count, workers);
    Progress progress("translator", options.steps);
    std::vector<double> losses;
    for (int step = 0; step < options.steps && !interrupted(); ++step) {
        const Batch batch = stream.next();
        const std::vector<Batch> parts = shards(batch, shard_count);

        zero_grad(model);
        // Loss and backward: how much each next French word surprises the model, given the true words before it; then the slopes.
        // Each part of the batch has a graph of its own, and may have a thread of its own.
        const double loss = parallel.backward(static_cast<int>(parts.size()), [&](AttentionTranslator& replica, int part) {
            return cross_entropy(replica(parts[part]), parts[part].target_out,
                                 {.ignore_index = Vocabulary::pad, .divisor = static_cast<double>(batch.target_tokens)});
        });
        clip_grad_norm(model, 1.0);
        adam.options.lr = 6e-3 * warmup_cosine(step, 50, options.steps);
        adam.step();
        losses.push_back(loss);
        progress.advance(batch.target_tokens, loss);
    }
    return losses;
}

// ---- 3. Translation and a look back (08 additive_attention, 12 contrast) ---------------------------------------------------

// Word by word, the most likely one each time, until the model says that the sentence is over.
std::string translate(const AttentionTranslator& model, const Pair& pair, const Corpus& corpus, Workers& workers) {
    return join(
        corpus.target.decode(evaluate(model, encode({pair}, corpus.source, corpus.target), workers).translations[0].tokens));
}

void print_translation(const Pair& pair, const std::string& said) {
    fmt::print("   {:<32} -> {}\n", cut_text(join(pair.source), 32), cut_text(said, 40));
    if (said != join(pair.target)) fmt::print("   {:<32}    {}\n", "    wrong: it should be", cut_text(join(pair.target), 40));
}

// Where the model looks for each word of the right translation. Its last row and column are the end of the sentence.
AttentionMap look_at(const AttentionTranslator& model, const Pair& pair, const Corpus& corpus, Workers& workers) {
    const AttentionWeights look = look_back(model, encode({pair}, corpus.source, corpus.target), workers)[0];
    AttentionMap map{.title = {},
                     .rows = pair.target,
                     .columns = pair.source,
                     .weights = {look.weights.begin(), look.weights.end()},
                     .gold = {}};
    map.rows.push_back("</s>");
    map.columns.push_back("</s>");
    return map;
}

// The English word that row t looks at most.
std::string most(const AttentionMap& map, std::size_t t) {
    const auto row = map.weights.begin() + static_cast<std::ptrdiff_t>(t * map.columns.size());
    return map.columns[std::max_element(row, row + static_cast<std::ptrdiff_t>(map.columns.size())) - row];
}

// The loss of this one sentence, for a browser: every op of the graph forward, and every op backward.
void write_sentence(AttentionTranslator& model, const Pair& pair, const Corpus& corpus, const std::filesystem::path& folder) {
    const Batch sentence = batches_in_order(encode({pair}, corpus.source, corpus.target), 1)[0];
    zero_grad(model);
    const Tensor loss = cross_entropy(model(sentence), sentence.target_out);
    backward(loss);
    write_steps(loss, folder / "steps.html");
    write_graph(loss, folder / "graph.dot");
}

// ---- 4. The tour -----------------------------------------------------------------------------------------------------------

int tour(const Options& options) {
    show_engine();

    const Corpus corpus = read_corpus(options.data);
    std::vector<Pair> pairs = corpus.train;
    std::erase_if(pairs, [](const Pair& pair) { return pair.source.size() > longest; });
    if (pairs.empty()) pairs = corpus.train;
    const std::vector<Example> examples = encode(pairs, corpus.source, corpus.target);
    Pair love{split("i love you"), split("je t' aime")};
    if (corpus.source.id("love") == Vocabulary::unknown) love = corpus.tests[0].pairs[0];    // your own corpus
    const auto has_love = [&](const Pair& pair) {
        return std::search(pair.source.begin(), pair.source.end(), love.source.begin(), love.source.end()) != pair.source.end();
    };
    Workers workers(options.threads);
    Random random(options.seed);

    // Small: 32 numbers a word, 64 for the state. Words start close together (0.1), so that what tells them apart is learned.
    AttentionTranslator model(corpus.source.size(), corpus.target.size(), random, 32, 64, 32);
    model.source_embedding = Embedding(corpus.source.size(), 32, random, 0.1);
    model.target_embedding = Embedding(corpus.target.size(), 32, random, 0.1);
    fmt::print("\n2. A translator is {} such numbers. Before training they are random\n",
               count_text(static_cast<long>(parameter_count(model))));
    print_translation(love, translate(model, love, corpus, workers));

    const Stopwatch watch;
    const std::vector<double> losses = train(model, examples, options, workers);
    if (losses.empty()) return Claims().report();    // Ctrl-C at once
    const int V = corpus.target.size();
    fmt::print("\n3. It learns: {} steps, each with {} of {} pairs ({})\n", losses.size(), batch_size,
               count_text(static_cast<long>(pairs.size())), seconds_text(watch.seconds()));
    fmt::print("   loss {:.2f} {} {:.2f}\n", losses.front(), terminal::sparkline(losses), losses.back());
    fmt::print("   at first it guesses blindly among {} tokens: ln {} = {:.2f}\n", V, V, std::log(V));

    const Corpus::Test& test = corpus.tests[0];
    const std::vector<Example> unseen = encode(test.pairs, corpus.source, corpus.target);
    const Evaluation evaluation = evaluate(model, unseen, workers);
    const std::string said = translate(model, love, corpus, workers);
    const auto times_read = std::ranges::count_if(corpus.train, has_love);
    fmt::print("\n4. Sentences {} (\"{}\" is in {} training pairs)\n", times_read ? "of " + test.name : "that it has not read",
               join(love.source), times_read);
    print_translation(love, said);
    for (std::size_t i = love.source == test.pairs[0].source; i < std::min<std::size_t>(4, unseen.size()); ++i)
        print_translation(test.pairs[i], join(corpus.target.decode(evaluation.translations[i].tokens)));
    fmt::print("   {}: {:.0f} % of {} sentences are right to the last word\n", test.name, 100 * evaluation.exact_match,
               unseen.size());

    AttentionMap map = look_at(model, love, corpus, workers);
    fmt::print("\n5. Where it looks for each word of \"{}\", in tenths\n{}   most:", join(love.target),
               terminal::attention_map(map, terminal::style_of(stdout)));
    for (std::size_t t = 0; t < map.rows.size(); ++t)
        fmt::print(" {} at {}{}", map.rows[t], most(map, t), t + 1 < map.rows.size() ? "," : "\n");
    const double right = test.alignments.empty() ? 0 : alignment_accuracy(look_back(model, unseen, workers), test.alignments);
    if (!test.alignments.empty())
        fmt::print("   {}: {:.0f} % of the words look at their own, though nobody told it which\n", test.name, 100 * right);
    if (!options.out.empty()) {
        map.title = join(love.source);
        write_file(options.out / "love.svg", svg::attention_map(map));
        write_sentence(model, love, corpus, options.out);
        fmt::print("   in {}: love.svg, this map; steps.html, its loss op by op; graph.dot\n", options.out.string());
    }

    Claims claims;
    if (options.usual) {
        claims.check(std::abs(losses.front() - std::log(V)) < 0.2, "the first loss is that of a blind guess");
        claims.check(std::ranges::none_of(corpus.train, has_love) && said == "je t' aime",
                     "it says je t' aime, which it has not read");
        claims.check(evaluation.exact_match >= 0.90, "nine sentences in ten are right");
        claims.check(most(map, 1) == "you" && most(map, 2) == "love", "t' looks at you, aime at love");
        claims.check(right >= 0.90, "nine words in ten look at their own");
    }
    return claims.report();
}

}    // namespace

int main(int argc, char** argv) {
    return run_program(argc, argv,
                       {.name = "00_tour",
                        .question = "What will I be able to do?",
                        .steps = 1500,
                        .quick_steps = 4,
                        .out = {},
                        .data = LOOKBACK_DATASETS "/english-french",
                        .own = {}},
                       tour);
}

// Exercises (solutions/00_tour.md)
//   1. Run with --steps 100, 300 and 700. What does it learn first: which words there are, which belong together, or where to look?
//   2. Let loss_at be w * w * w. What slope and what loss after the step do you expect? Work them out, then run.
//   3. "i do not love you" is "je ne t' aime pas". Where will "ne" and "pas" look? Draw the map for it in place of "i love you".
//
// Break it: change one line, say what will happen, run
//   real(0.1) * w.grad()[0]           real(1.1) * w.grad()[0]: a longer step down the slope
//   zero_grad(model);                 leave it out: the slopes of all steps so far pile up
//   6e-3 * warmup_cosine(             6e-1 * warmup_cosine(: steps a hundred times as long
//   longest = 14                      longest = 5: it reads the shortest sentences only
//
// Questions
//   Which line makes all slopes of the translator?  parallel.backward: it calls backward(loss), once for each part of the batch.
//   Which line uses them?  adam.step(), and none before it. So clip_grad_norm can still shorten them, and zero_grad must end them.
//   Why is the first loss ln 219?  One who knows nothing gives each of 219 tokens 1/219, and -ln(1/219) = ln 219.
//   How can it say "je t' aime", which it has never read?  It has read "i love the shop", and "i see you" in longer sentences.
//   Is each row of the map a guess at the alignment?  Nobody asked for one. It is where looking made the next word likelier.
