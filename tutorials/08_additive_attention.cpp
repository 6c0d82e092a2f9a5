// 08 additive_attention: What if the decoder may look back?  (about 25 s)
//
// The decoder of 06 gets one vector for a whole sentence. Here the encoder keeps what it wrote at every source word, and before
// each word that the decoder says it weighs them all and takes what it needs: score, softmax, weighted sum, output.
//
// What you will see   the four steps by numbers, and that the library's fused form computes the same; how a loss reaches the
//                     words of the source; exact match with and without attention; where the decoder looked
// Shapes              B batch, S source places, T target steps, E embedding, H state, A inside the score, V vocabulary
//                     state s (B, H), memory h (B, S, H), scores and weights (B, S), context (B, H), logits (B, T, V)
// Predict             "the red letter" is "la lettre rouge". Where must the decoder look as it says "lettre"? In a sentence of 17
//                     words, how much weaker is the gradient at the first word than at the last, with one vector, with attention?
// Break on            lookback::op::MaskedSoftmax::backward, lookback::op::GruCell::backward, Translator::say
// Papers              Bahdanau et al. 2015, arXiv:1409.0473, section 3.1, appendix A.1.2 and figure 3

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>

#include "lookback/decode/evaluate.h"
#include "lookback/draw/svg.h"
#include "lookback/draw/terminal.h"
#include "lookback/models/translator.h"
#include "lookback/ops/matmul.h"
#include "lookback/ops/shape.h"
#include "lookback/ops/softmax.h"
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

constexpr int batch_size = 32, shard_count = 2;
constexpr int longest = 24;    // words of a sentence to learn from: 1 to 3 clauses, and some of 4
constexpr double learning_rate = 3e-3;

// ---- 1. The first three steps: score, softmax, weighted sum ----------------------------------------------------------------

struct Look {
    Tensor scores, weights, context;    // (B, S), (B, S), (B, H)
};

struct Attention {
    Tensor W, U, v;    // (A, H), (A, H), (1, A)

    // U h does not change while the decoder speaks: once a sentence is enough.
    Tensor prepare(const Tensor& memory) const { return linear(memory, U); }                        // (B, S, H) -> (B, S, A)

    Look operator()(const Tensor& state, const Tensor& prepared, const Tensor& memory, const Tensor& real_tokens) const {
        const int B = memory.size(0), S = memory.size(1), H = memory.size(2), A = W.size(0);
        // 1. Score: how well does place s fit what the decoder is about to say?      e_s = v . tanh(W state + U h_s)
        const Tensor asked = expand(reshape(linear(state, W), {B, 1, A}), {B, S, A});               // the same at every place
        const Tensor scores = reshape(matmul(tanh(asked + prepared), transpose(v)), {B, S});        // (B, S, A)(A, 1) -> (B, S)
        // 2. Softmax: the scores become shares of one look. Padding gets exactly 0, whatever it scores.
        const Tensor weights = masked_softmax(scores, real_tokens);                                 // (B, S), rows sum to 1
        // 3. Weighted sum: what the decoder sees.                                    context = sum_s weight_s h_s
        const Tensor context = reshape(matmul(reshape(weights, {B, 1, S}), memory), {B, H});        // (B, 1, S)(B, S, H) -> (B, H)
        return {scores, weights, context};
    }
    void parameters(const Visit& visit) {
        visit("query.weight", W);
        visit("key.weight", U);
        visit("energy.weight", v);
    }
};

// ---- 2. The fourth step, output, in a translator ---------------------------------------------------------------------------

struct Translator {
    Embedding source_embedding, target_embedding;    // (V, E) each
    Gru encoder;                                     // E -> H/2 each way: h_s knows what stands before word s and after it
    Attention attention;
    GruCell decoder;                                 // E + H -> H
    Linear out;                                      // H + H + E -> V

    struct State {
        Tensor s;                                    // (B, H): the decoder's
        Tensor memory, prepared, real_tokens;        // (B, S, H), (B, S, A), (B, S): the sentence's
        Tensor weights;                              // (B, S): where the last step looked
    };

    Translator(int source_vocabulary, int target_vocabulary, Random& random, int E = 64, int H = 128, int A = 128)
        : source_embedding(source_vocabulary, E, random),
          target_embedding(target_vocabulary, E, random),
          encoder(E, H / 2, random, true),
          attention{uniform_parameter({A, H}, 1 / std::sqrt(H), random), uniform_parameter({A, H}, 1 / std::sqrt(H), random),
                    uniform_parameter({1, A}, 1 / std::sqrt(A), random)},
          decoder(E + H, H, random),
          out(2 * H + E, target_vocabulary, random) {}

    State start(const Ids& source, const std::vector<int>& lengths) const {
        const Gru::Output encoded = encoder(source_embedding(source), lengths);
        return {encoded.state, encoded.y, attention.prepare(encoded.y), key_padding(source), {}};
    }

    // One target word after y (B, E). The order is Bahdanau's: the old state looks back, and what it sees makes the new one.
    Tensor say(const Tensor& y, State& state) const {
        const Look look = attention(state.s, state.prepared, state.memory, state.real_tokens);
        // 4. Output: the context goes into the new state, and also past it, straight to the logits.
        state.s = decoder(concat({y, look.context}, 1), state.s);                                   // (B, E + H) -> (B, H)
        state.weights = look.weights;
        return out(concat({state.s, look.context, y}, 1));                                          // (B, H + H + E) -> (B, V)
    }

    Tensor step(const std::vector<int>& tokens, State& state) const {
        return say(target_embedding({{static_cast<int>(tokens.size())}, tokens}), state);
    }
    Tensor operator()(const Batch& batch, std::vector<Tensor>* looks = nullptr) const {
        State state = start(batch.source, batch.source_lengths);
        const Tensor words = target_embedding(batch.target_in);                                     // (B, T, E)
        std::vector<Tensor> logits;
        for (int t = 0; t < words.size(1); ++t) {
            logits.push_back(say(select(words, 1, t), state));
            if (looks) looks->push_back(state.weights);
        }
        return stack(logits, 1);                                                                    // (B, T, V)
    }
    Tensor look(const Batch& batch) const {
        std::vector<Tensor> looks;
        (*this)(batch, &looks);
        return stack(looks, 1);                                                                     // (B, T, S)
    }
    void parameters(const Visit& visit) {
        source_embedding.parameters(within("source_embedding", visit));
        target_embedding.parameters(within("target_embedding", visit));
        encoder.parameters(within("encoder", visit));
        attention.parameters(within("attention", visit));
        decoder.parameters(within("decoder", visit));
        out.parameters(within("out", visit));
    }
};

// ---- 3. The steps by numbers, and beside the library's ---------------------------------------------------------------------

using Couples = std::vector<std::pair<Tensor, Tensor>>;    // the program's tensor, the library's

// The largest difference between the values of some couples and the gradients of others.
double report_differences(const char* library, const Couples& values, const Couples& gradients) {
    double forward = 0, backward = 0;
    const auto widen = [](double& largest, real a, real b) { largest = std::max(largest, static_cast<double>(std::abs(a - b))); };
    for (const auto& [ours, theirs] : values)
        for (std::size_t i = 0; i < ours.size(); ++i) widen(forward, ours.data()[i], theirs.data()[i]);
    for (const auto& [ours, theirs] : gradients)
        for (std::size_t i = 0; i < ours.size(); ++i) widen(backward, ours.grad()[i], theirs.grad()[i]);
    fmt::print("   beside {:<20} largest difference: values {:.0e}, gradients {:.0e}\n", library, forward, backward);
    return std::max(forward, backward);
}

// All numbers are drawn: nothing is learned yet. The last place is padding, and loud on purpose.
double look_once(Random random) {
    constexpr int S = 4, H = 4;
    const auto draw = [&](Shape shape) { return Tensor::normal(std::move(shape), 1, random).requires_grad(); };
    const Attention attention{draw({H, H}), draw({H, H}), draw({1, H})};
    const Tensor s = draw({1, H}), h = draw({1, S, H}), y({1, 2}, {0.5, -0.5}), real_tokens({1, S}, {1, 1, 1, 0});
    std::fill_n(h.data() + 3 * H, H, real(9));
    const Look look = attention(s, attention.prepare(h), h, real_tokens);
    const Tensor output = concat({y, look.context}, 1);    // (1, 2 + H)

    const auto numbers = [](const real* x, int count) {
        std::string text;
        for (int i = 0; i < count; ++i) text += fmt::format("{:7.2f}", x[i]);
        return text;
    };
    fmt::print("1. One look at three words, from the state{}\n", numbers(s.data(), H));
    fmt::print("   {:<10}{:^28}{:>10}{:>12}\n", "place", "memory", "1 score", "2 weight");
    const char* const places[] = {"i", "love", "you", "<pad>"};
    for (int i = 0; i < S; ++i)
        fmt::print("   {:<10}{}{:10.2f}{:12.3f}\n", places[i], numbers(h.data() + i * H, H), look.scores.data()[i],
                   look.weights.data()[i]);
    fmt::print("   3 context {}   the sum of weight times memory\n", numbers(look.context.data(), H));
    fmt::print("   4 output  {}   the word before, then the context\n", numbers(output.data(), 2 + H));

    AdditiveAttention library;
    library.query.weight = shared_weights(attention.W);    // the same numbers, gradients of its own
    library.key.weight = shared_weights(attention.U);
    library.energy.weight = shared_weights(attention.v);
    const Tensor twin_s = shared_weights(s), twin_h = shared_weights(h);
    const Attended attended = library(reshape(twin_s, {1, 1, H}), library.prepare(twin_h), twin_h, real_tokens);
    const Tensor projection = Tensor::normal({H}, 1, random);    // a loss in which each number of the context counts
    backward(sum(look.context * projection));
    backward(sum(attended.context * projection));
    return report_differences("AdditiveAttention", {{look.weights, attended.weights}, {look.context, attended.context}},
                              {{attention.W, library.query.weight}, {attention.U, library.key.weight},
                               {attention.v, library.energy.weight}, {s, twin_s}, {h, twin_h}});
}

double translate_once(Translator& model, const Batch& batch, Random random) {
    const int source = model.source_embedding.weight.size(0), target = model.target_embedding.weight.size(0);
    AttentionTranslator library(source, target, random, 64, 128, 128);
    const std::vector<Tensor> parameters = parameters_of(model);
    Couples couples;    // both models show their parameters in the same order
    library.parameters([&](const std::string&, Tensor& parameter) {
        const Tensor& ours = parameters[couples.size()];
        couples.emplace_back(ours, parameter = shared_weights(ours));
    });
    const Tensor ours = model(batch), theirs = library(batch);
    for (const Tensor& logits : {ours, theirs})
        backward(cross_entropy(logits, batch.target_out, {.ignore_index = Vocabulary::pad}));
    return report_differences("AttentionTranslator", {{ours, theirs}}, couples);
}

// ---- 4. The way back -------------------------------------------------------------------------------------------------------

// |dLoss/dx_s| for each place s of x (1, S, N).
std::vector<double> gradient_norms(const Node& x) {
    const int S = x.shape[1], N = x.shape[2];
    std::vector<double> norms(S);
    for (int i = 0; i < S * N; ++i) norms[i / N] += static_cast<double>(x.grad[i]) * static_cast<double>(x.grad[i]);
    for (double& norm : norms) norm = std::sqrt(norm);
    return norms;
}

// Reads a sentence and takes the loss of target word t, and of it alone, back into the source. Gives that loss, which holds the
// graph, and the decoder's state.
template <class Model>
auto loss_of_word(int t, Model& model, const Example& example) {
    const int S = static_cast<int>(example.source.size());
    zero_grad(model);
    auto state = model.start({{1, S}, example.source}, {S});
    Tensor logits = model.step({Vocabulary::begin}, state);
    for (int i = 0; i < t; ++i) logits = model.step({example.target[i]}, state);
    const Tensor loss = cross_entropy(logits, {{1}, {example.target[t]}});
    backward(loss);
    return std::pair{loss, state};
}

// What of the first target word's loss arrives at each source word. The graph's first lookup made their embeddings (1, S, E).
template <class Model>
std::vector<double> gradient_at_words(Model& model, const Example& example) {
    const auto [loss, state] = loss_of_word(0, model, example);
    const std::vector<Node*> graph = graph_of(loss);
    return gradient_norms(**std::ranges::find_if(graph, [](Node* node) { return std::string_view(node->op) == "embedding"; }));
}

// What is wrong with one vector: its room does not grow with the sentence, and all that a word has to say, and all that it has
// to learn, passes through every cell between that word and the vector.
LineChart compare_ways_back(FixedVector& fixed, Translator& attention, const Pair& pair, const Example& example) {
    LineChart chart{.title = "The first target word's gradient, before training", .x_label = "source word",
                    .y_label = "size of the gradient", .series = {}, .log_y = true};
    chart.series = {{"one vector", {}, gradient_at_words(fixed, example)}, {"attention", {}, gradient_at_words(attention, example)}};
    const int S = static_cast<int>(example.source.size()), H = fixed.decoder.hidden();    // S counts </s>
    fmt::print("\n2. Untrained: the first target word's loss on its way back to source word\n   {:<22}", "");
    const auto row = [&](const std::string& name, const auto& text_of) {
        if (!name.empty()) fmt::print("\n   {:<22}", name);
        for (int i = 0; i < 5; ++i) fmt::print("{:>11}", text_of(i * (S - 2) / 4));
    };
    row("", [&](int s) { return fmt::format("{} {}", s + 1, pair.source[s]); });
    row("one vector  GRU cells", [&](int s) { return S - s + 1; });    // S - s of the encoder, one of the decoder
    row(fmt::format("({})       gradient", H), [&](int s) { return fmt::format("{:.0e}", chart.series[0].ys[s]); });
    row("attention   GRU cells", [](int) { return 1; });               // the one that wrote h_s; from there the context goes on
    row(fmt::format("({} x {})  gradient", S, H), [&](int s) { return fmt::format("{:.0e}", chart.series[1].ys[s]); });
    for (Series& series : chart.series)
        for (int s = 0; s < S; ++s) series.xs.push_back(s + 1);
    return chart;
}

// ---- 5. Training and examination, the same for both models -----------------------------------------------------------------

struct Scores {
    std::vector<double> exact_match, alignment_accuracy;    // one figure a test
};

template <class Model>
Scores train(const char* name, Model& model, const std::vector<Example>& examples, const Corpus& corpus, const Options& options,
             Workers& workers) {
    BatchStream stream(examples, batch_size, Random(options.seed));    // the same seed: the same batches for both models
    Adam adam(model, {.lr = learning_rate});
    DataParallel<Model> parallel(model, shard_count, workers);
    Progress progress(name, options.steps);
    const Stopwatch watch;
    for (int step = 0; step < options.steps && !interrupted(); ++step) {
        const Batch batch = stream.next();
        const std::vector<Batch> parts = shards(batch, shard_count);

        zero_grad(model);
        const double loss = parallel.backward(static_cast<int>(parts.size()), [&](Model& replica, int part) {
            return cross_entropy(replica(parts[part]), parts[part].target_out,
                                 {.ignore_index = Vocabulary::pad, .divisor = static_cast<double>(batch.target_tokens)});
        });
        clip_grad_norm(model, 1.0);
        adam.options.lr = learning_rate * warmup_cosine(step, 100, options.steps);
        adam.step();
        progress.advance(batch.target_tokens, loss);
    }
    progress.done();
    fmt::print("   {:<12}{:>9}", name, seconds_text(watch.seconds()));
    Scores scores;
    for (const Corpus::Test& test : corpus.tests) {
        const std::vector<Example> tests = encode(test.pairs, corpus.source, corpus.target);
        scores.exact_match.push_back(evaluate(model, tests, workers).exact_match);
        fmt::print("{:6.2f}", scores.exact_match.back());
        if constexpr (requires(const Batch& batch) { model.look(batch); })
            if (!test.alignments.empty())
                scores.alignment_accuracy.push_back(alignment_accuracy(look_back(model, tests, workers), test.alignments));
    }
    fmt::print("\n");
    return scores;
}

// ---- 6. The experiment -----------------------------------------------------------------------------------------------------

// Where the model looks as it reads the right translation; above it, what it says on its own.
AttentionMap show_look(const Translator& model, const Pair& pair, const Alignment& gold, const Corpus& corpus, Workers& workers) {
    const std::vector<Example> one = encode({pair}, corpus.source, corpus.target);
    const AttentionWeights look = look_back(model, one, workers)[0];
    AttentionMap map{.title = {}, .rows = pair.target, .columns = pair.source,
                     .weights = {look.weights.begin(), look.weights.end()}, .gold = {}};
    map.rows.push_back("</s>");
    map.columns.push_back("</s>");
    for (const auto& [source, target] : gold) map.gold.emplace_back(target, source);
    fmt::print("   {} -> {}\n{}", join(pair.source),
               join(corpus.target.decode(evaluate(model, one, workers).translations[0].tokens)),
               terminal::attention_map(map, terminal::style_of(stdout)));
    return map;
}

int additive_attention(const Options& options) {
    Corpus corpus = read_corpus(options.data);
    corpus.tests.resize(std::min<std::size_t>(options.quick ? 1 : 5, corpus.tests.size()));
    std::vector<Pair> pairs = corpus.train;
    std::erase_if(pairs, [](const Pair& pair) { return pair.source.size() > longest; });
    const std::vector<Example> examples = encode(pairs.empty() ? corpus.train : pairs, corpus.source, corpus.target);
    const auto example_of = [&](const Pair& pair) { return encode({pair}, corpus.source, corpus.target)[0]; };
    Workers workers(options.threads);
    Random random(options.seed);
    Translator attention(corpus.source.size(), corpus.target.size(), random);
    FixedVector fixed(corpus.source.size(), corpus.target.size(), random);

    const double of_one_look = look_once(Random(options.seed));
    const double of_a_batch = translate_once(attention, make_batch(examples, std::vector{0, 1, 2, 3}), random);
    const auto far = std::ranges::find_if(corpus.train, [](const Pair& pair) { return pair.source.size() == 17; });
    const Pair& far_pair = far == corpus.train.end() ? corpus.train[0] : *far;
    const LineChart ways = compare_ways_back(fixed, attention, far_pair, example_of(far_pair));

    fmt::print("\n\n3. Both learn from the same {} batches of {} sentences: exact match by test\n   {:<12}{:>9}", options.steps,
               batch_size, "", "time");
    for (const Corpus::Test& test : corpus.tests) fmt::print("{:>6}", test.name.substr(test.name.starts_with("test-") ? 5 : 0));
    fmt::print("\n");
    const Scores f = train("one vector", fixed, examples, corpus, options, workers);
    const Scores a = train("attention", attention, examples, corpus, options, workers);
    fmt::print("   {:<21}", "  at the right word");
    for (const double share : a.alignment_accuracy) fmt::print("{:6.2f}", share);

    Pair love{split("i love you"), split("je t' aime")}, red{split("they read the red letter"), split("ils lisent la lettre rouge")};
    Alignment love_gold{{0, 0}, {2, 1}, {1, 2}}, red_gold{{0, 0}, {1, 1}, {2, 2}, {3, 4}, {4, 3}};
    if (corpus.source.id("love") == Vocabulary::unknown || corpus.source.id("letter") == Vocabulary::unknown) {
        love = red = corpus.tests[0].pairs[0];    // your own corpus: its first test sentence
        love_gold = red_gold = {};
    }
    fmt::print("\n\n4. Where it looked for each word, in tenths\n");
    const AttentionMap love_map = show_look(attention, love, love_gold, corpus, workers);
    const int last = static_cast<int>(love.target.size()) - 1;
    const auto [loss, state] = loss_of_word(last, attention, example_of(love));
    const std::vector<double> norms = gradient_norms(*state.memory.node);
    fmt::print("   gradient of the loss of {} alone at the memory: ", love.target[last]);
    for (std::size_t s = 0; s < norms.size(); ++s) fmt::print(" {} {:.0e}", love_map.columns[s], norms[s]);
    fmt::print("\n");
    const AttentionMap red_map = show_look(attention, red, red_gold, corpus, workers);
    if (!options.out.empty()) {
        write_file(options.out / "love.svg", svg::attention_map(love_map));
        write_file(options.out / "red_letter.svg", svg::attention_map(red_map));
        write_file(options.out / "way_back.svg", svg::line_chart(ways));
        fmt::print("pictures: {}\n", options.out.string());
    }

    Claims claims;
    claims.check(of_one_look <= 1e-5 && of_a_batch <= 1e-5, "the program and the library compute the same");
    if (options.usual) {
        const auto looks_at = [](const AttentionMap& map, std::size_t row, std::size_t column) {
            const double* weights = map.weights.data() + row * map.columns.size();
            return map.rows.size() > row && std::max_element(weights, weights + map.columns.size()) == weights + column;
        };
        const std::vector<double>&one = ways.series[0].ys, &many = ways.series[1].ys;
        claims.check(one[0] < 1e-3 * one[16], "one vector: word 1 gets a thousandth of what word 17 gets");
        claims.check(std::ranges::min(many) > 0.1 * std::ranges::max(many), "attention: no word gets less than a tenth of another");
        claims.check(f.exact_match[2] <= 0.02, "one vector does not hold three clauses");
        claims.check(a.exact_match[0] >= 0.95 && a.exact_match[2] >= 0.90, "attention translates one clause and three");
        claims.check(a.alignment_accuracy[2] >= 0.80, "attention looks at the right word");
        claims.check(looks_at(love_map, 1, 2) && looks_at(love_map, 2, 1), "t' looks at you, aime at love");
        claims.check(looks_at(red_map, 3, 4) && looks_at(red_map, 4, 3), "lettre looks at letter, rouge at red");
        claims.check(std::ranges::max(norms) == norms[1], "the loss of aime goes to love");
    }
    return claims.report();
}

}  // namespace

int main(int argc, char** argv) {
    return run_program(argc, argv,
                       {.name = "08_additive_attention",
                        .question = "What if the decoder may look back?",
                        .steps = 1000,
                        .quick_steps = 4,
                        .out = {},
                        .data = LOOKBACK_DATASETS "/english-french",
                        .own = {}},
                       additive_attention);
}
