// 06 fixed_vector: Can one vector carry a sentence?  (about 25 s)
//
// An encoder reads a sentence word by word into a vector of 128 numbers. A decoder says the translation from that vector and sees
// nothing else of the sentence. It gets the vector once, as its first state (Sutskever), or at every word (Cho).
//
// What you will see   that the library's fused form computes what is written out here; why reversing the source helps one of the
//                     two decoders; four of them trained, exact match and words right by length; where they fail
// Shapes              B batch, S source places, T target steps, E embedding, H state, V vocabulary
//                     words x (B, S, E), gates (B, 3H), vector and state h (B, H), logits (B, T, V)
// Predict             Sutskever et al. read the source backwards and gained 4.7 BLEU. The last word is then as far from its
//                     translation as the first one was before. Why can it help? Does it help both decoders?
// Break on            GatedUnit::operator(), lookback::op::GruCell::backward, lookback::op::SelectRows::forward
// Papers              Cho et al. 2014, arXiv:1406.1078, section 2; Sutskever et al. 2014, arXiv:1409.3215, section 3.3

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "lookback/decode/evaluate.h"
#include "lookback/draw/svg.h"
#include "lookback/models/translator.h"
#include "lookback/ops/elementwise.h"
#include "lookback/ops/matmul.h"
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

// ---- 1. A gated unit, from its equations -----------------------------------------------------------------------------------

// Cell has the weights, those of the three gates below each other: weight_ih (3H, E), weight_hh (3H, H), biases (3H).
struct GatedUnit : Cell {
    GatedUnit() = default;
    GatedUnit(int input, int hidden, Random& random) : Cell(3, input, hidden, random) {}

    Tensor operator()(const Tensor& x, const Tensor& h) const {    // a word (B, E), the state (B, H) -> the next state (B, H)
        const int H = h.size(1);
        const Tensor p = linear(x, weight_ih, bias_ih);                                      // (B, 3H): what the word says
        const Tensor q = linear(h, weight_hh, bias_hh);                                      // (B, 3H): what the state says
        const Tensor r = sigmoid(slice(p, 1, 0, H) + slice(q, 1, 0, H));                     // reset: how much of q enters n
        const Tensor z = sigmoid(slice(p, 1, H, 2 * H) + slice(q, 1, H, 2 * H));             // update: how much of h stays
        const Tensor n = tanh(slice(p, 1, 2 * H, 3 * H) + r * slice(q, 1, 2 * H, 3 * H));    // what is new
        return (1 - z) * n + z * h;
    }
};

// ---- 2. Encoder, vector, decoder -------------------------------------------------------------------------------------------

// Unit is GatedUnit, to read, or the library's GruCell, the same equation in one op, to train.
template <class Unit>
struct Translator {
    Embedding source_embedding, target_embedding;    // (V, E) each
    Unit encoder;                                    // E -> H
    Unit decoder;                                    // E -> H, or E + H -> H if it gets the vector at every word
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
        const Tensor y = target_embedding(batch.target_in);    // (B, T, E): the true words, each a step late
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
    Translator<GruCell> model;
    std::vector<double> gradients = {};                        // before training, at the first, the middle and the last word
    double loss = 0;                                           // after training: mean of the last 50 batches
    std::vector<double> exact_match = {}, words_right = {};    // one figure a test
    std::vector<double> first_right = {}, last_right = {};     // the first word of the translation, and the last
};

// Reversed, the last source word is read first; </s> stays last.
std::vector<Example> read(const std::vector<Pair>& pairs, const Corpus& corpus, bool reversed) {
    std::vector<Example> examples = encode(pairs, corpus.source, corpus.target);
    if (reversed)
        for (Example& example : examples) std::reverse(example.source.begin(), example.source.end() - 1);
    return examples;
}

// ---- 3. Beside the library's -----------------------------------------------------------------------------------------------

// Two models with the same weights read the same batch: the largest difference of their logits, and of their gradients.
template <class Library>
double compare(const char* name, Translator<GatedUnit>& ours, Library library, const Batch& batch) {
    const std::vector<Tensor> weights = parameters_of(ours);
    std::vector<Tensor> twins;    // both models show their parameters in the same order
    library.parameters(
        [&](const std::string&, Tensor& weight) { twins.push_back(weight = shared_weights(weights[twins.size()])); });
    zero_grad(ours);
    const Tensor our_logits = ours(batch), their_logits = library(batch);
    backward(cross_entropy(our_logits, batch.target_out));
    backward(cross_entropy(their_logits, batch.target_out));
    double value = 0, gradient = 0;
    const auto widen = [](double& largest, real a, real b) { largest = std::max(largest, static_cast<double>(std::abs(a - b))); };
    for (std::size_t i = 0; i < our_logits.size(); ++i) widen(value, our_logits.data()[i], their_logits.data()[i]);
    for (std::size_t w = 0; w < weights.size(); ++w)
        for (std::size_t i = 0; i < weights[w].size(); ++i) widen(gradient, weights[w].grad()[i], twins[w].grad()[i]);
    fmt::print("   beside {:<12} largest difference: logits {:.0g}, gradients {:.0g}\n", name, value, gradient);
    return std::max(value, gradient);
}

// ---- 4. The way from a word to its translation -----------------------------------------------------------------------------

// |dLoss/dx_s| at source place s, where the loss is that of target word t alone.
double gradient_norm(const Translator<GruCell>& model, const Example& example, int s, int t) {
    const int S = static_cast<int>(example.source.size());
    const Tensor x = model.source_embedding({{1, S}, example.source});    // (1, S, E)
    const Tensor vector = model.encode(x, {S});
    Translator<GruCell>::State state{vector, vector};
    Tensor logits = model.step({Vocabulary::begin}, state);
    for (int i = 0; i < t; ++i) logits = model.step({example.target[i]}, state);
    backward(cross_entropy(logits, {{1}, {example.target[t]}}));
    const Tensor at_s({x.size(2)}, {x.grad() + s * x.size(2), x.grad() + (s + 1) * x.size(2)});
    return std::sqrt(static_cast<double>(sum(at_s * at_s).item()));
}

// Where word s is translated at step s: given the vector once, it passes the units of the encoder from s on and those of the decoder
// up to s, about S wherever it stands. Reversed, about 2 s: the first words are near, the last far. Given the vector at every word,
// it passes one unit of the decoder: the last words are near, and reversing only exchanges them with the first.
void compare_ways(std::vector<Run>& runs, const Pair& pair, const Corpus& corpus) {
    const int n = static_cast<int>(pair.source.size()), m = static_cast<int>(pair.target.size());
    const std::pair<int, int> words[] = {{0, 0}, {n / 2, m / 2}, {n - 1, m - 1}};
    fmt::print(
        "\n2. Untrained, {} words: how many units a word passes to its translation, and the\n"
        "   gradient that comes back to it from the loss of that translation\n   {:<20}",
        n, "vector given");
    for (const auto& [s, t] : words) fmt::print("{:>19}", pair.source[s] + " -> " + pair.target[t]);
    for (Run& run : runs) {
        const Example example = read({pair}, corpus, run.reversed)[0];
        fmt::print("\n   {:<20}", run.name);
        for (const auto& [s, t] : words) {
            const int place = run.reversed ? n - 1 - s : s;
            const int units = n + 1 - place + (run.model.every_word ? 1 : t + 1);    // of the encoder, with </s>; of the decoder
            run.gradients.push_back(gradient_norm(run.model, example, place, t));
            fmt::print("{:>12}{:7.0e}", units, run.gradients.back());
        }
    }
}

// ---- 5. Training and examination -------------------------------------------------------------------------------------------

void train(Run& run, const std::vector<Pair>& pairs, const Corpus& corpus, const Options& options, Workers& workers) {
    const std::vector<Example> examples = read(pairs, corpus, run.reversed);
    BatchStream stream(examples, batch_size, Random(options.seed));    // the same seed: the same batches for all four
    Adam adam(run.model, {.lr = learning_rate});
    DataParallel<Translator<GruCell>> parallel(run.model, shard_count, workers);
    Progress progress(run.name, options.steps);
    const int last = std::min(50, options.steps);
    for (int step = 0; step < options.steps && !interrupted(); ++step) {
        const Batch batch = stream.next();
        const std::vector<Batch> parts = shards(batch, shard_count);

        zero_grad(run.model);
        const double loss = parallel.backward(static_cast<int>(parts.size()), [&](Translator<GruCell>& replica, int part) {
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

void print_row(const std::string& name, const std::vector<double>& left, const std::vector<double>& right) {
    fmt::print("   {:<25}", name);
    for (const double share : left) fmt::print("{:5.2f}", share);
    fmt::print(" ");
    for (const double share : right) fmt::print("{:5.2f}", share);
    fmt::print("\n");
}

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
        run.words_right.push_back(evaluation.token_accuracy);
        run.first_right.push_back(first / static_cast<double>(examples.size()));
        run.last_right.push_back(last / static_cast<double>(examples.size()));
    }
    print_row(fmt::format("{:<20}{:5.2f}", run.name, run.loss), run.exact_match, run.words_right);
}

// ---- 6. Nothing but the vector ---------------------------------------------------------------------------------------------

Tensor vector_of(const Run& run, const Pair& pair, const Corpus& corpus) {
    const std::vector<int> source = read({pair}, corpus, run.reversed)[0].source;
    return run.model.start({{1, static_cast<int>(source.size())}, source}, {static_cast<int>(source.size())}).vector;    // (1, H)
}

std::string speak(const Run& run, const Tensor& vector, const Corpus& corpus) {
    Translator<GruCell>::State state{vector, vector};
    std::vector<int> words = {Vocabulary::begin};
    while (words.back() != Vocabulary::end && words.size() < 40)
        words.push_back(argmax_rows(run.model.step({words.back()}, state))[0]);
    return join(corpus.target.decode(words));
}

// ---- 7. The experiment -----------------------------------------------------------------------------------------------------

int fixed_vector(const Options& options) {
    Corpus corpus = read_corpus(options.data);
    corpus.tests.resize(std::min<std::size_t>(options.quick ? 3 : 5, corpus.tests.size()));
    std::vector<Pair> pairs = corpus.train;
    std::erase_if(pairs, [](const Pair& pair) { return pair.source.size() > longest; });
    if (pairs.empty()) pairs = corpus.train;
    const int source = corpus.source.size(), target = corpus.target.size(), tests = static_cast<int>(corpus.tests.size());
    Workers workers(options.threads);
    Random random(options.seed);

    fmt::print("1. Written out here, on the same weights and the same sentence\n");
    Translator<GatedUnit> written(source, target, random, true);
    const Batch one = make_batch(read({pairs[0]}, corpus, false), std::vector{0});
    const double of_unit = compare("GruCell:", written, Translator<GruCell>(source, target, random, true), one);
    const double of_model = compare("FixedVector:", written, FixedVector(source, target, random), one);

    std::vector<Run> runs;
    for (const bool every_word : {false, true})
        for (const bool reversed : {false, true}) {
            Random same(options.seed);
            runs.push_back({fmt::format("{}{}", every_word ? "every word" : "once", reversed ? ", reversed" : ""), reversed,
                            Translator<GruCell>(source, target, same, every_word)});
        }
    const auto far = std::ranges::find_if(corpus.train, [](const Pair& pair) { return pair.source.size() == 17; });
    compare_ways(runs, far == corpus.train.end() ? corpus.train[0] : *far, corpus);

    const std::size_t width = 5 * corpus.tests.size();
    fmt::print("\n\n3. Each learns from the same {} batches of {}\n   {:<20} loss{:>{}}{:>{}}\n   {:<25}", options.steps,
               batch_size, "vector given", "exact match", width, "words right", width + 1, "");
    for (const char* gap : {" ", "\n"}) {
        for (const Corpus::Test& test : corpus.tests)
            fmt::print("{:>5}", test.name.substr(test.name.starts_with("test-") ? 5 : 0));
        fmt::print("{}", gap);
    }
    for (Run& run : runs) {
        train(run, pairs, corpus, options, workers);
        examine(run, corpus, workers);
        if (interrupted()) return Claims().report();
    }
    const double once = runs[1].loss / runs[0].loss - 1, every_word = runs[3].loss / runs[2].loss - 1;
    fmt::print("   reversing changes the loss by {:+.0f} % (once) and {:+.0f} % (every word)\n", 100 * once, 100 * every_word);

    fmt::print("\n4. {:<25}{:>{}}{:>{}}\n", "Where the mistakes are", "first word right", width, "last word right", width + 1);
    for (const Run& run : runs) print_row(run.name, run.first_right, run.last_right);
    const NoGrad no_grad;
    const Run& run = runs[2];
    for (const Pair& pair : corpus.tests[std::min(2, tests - 1)].pairs) {
        const std::string english = join(pair.source), right = join(pair.target),
                          said = speak(run, vector_of(run, pair, corpus), corpus);
        if (said == right || std::max({text_width(english), text_width(right), text_width(said)}) > 67) continue;
        fmt::print("   english  {}\n   right    {}\n   said     {}\n", english, right, said);
        break;
    }

    fmt::print("\n5. Two sentences, each said from its own vector, then from that of the other\n");
    const std::vector<Pair>& near = corpus.tests[0].pairs;
    const Pair two[] = {near.front(), near[std::min<std::size_t>(1, near.size() - 1)]};
    std::vector<std::string> said;
    for (const int other : {0, 1})
        for (const int i : {0, 1}) {
            said.push_back(speak(run, vector_of(run, two[other ? 1 - i : i], corpus), corpus));
            fmt::print("   {:<31} -> {}\n", cut_text(join(two[i].source), 31), cut_text(said.back(), 41));
        }

    Claims claims;
    claims.check(std::max(of_unit, of_model) <= 1e-5, "the program and the library compute the same");
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
