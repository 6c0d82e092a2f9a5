// 08 additive_attention: What if the decoder may look back?  (about 20 s)
//
// The decoder of 06 gets one vector for a whole sentence. Here the encoder keeps what it wrote at every source word, and before
// each word that the decoder says it weighs them all and takes what it needs: score, softmax, weighted sum, output.
//
// What you will see   the first three steps by numbers, and that the library computes the same in all four; how a loss finds
//                     its way back to the source words; exact match with and without attention; where the decoder looked
// Shapes              B batch, S source places, T target steps, E embedding, H state, A inside the score, V vocabulary
//                     state (B, H), memory (B, S, H), scores and weights (B, S), context (B, H), logits (B, T, V)
// Predict             "the red letter" is "la lettre rouge". Where must the decoder look as it says "lettre"? In a sentence of 22
//                     words, how much weaker is the gradient at the first word than at the last, with one vector, with attention?
// Break on            lookback::op::MaskedSoftmax::backward, lookback::op::GruCell::backward, WrittenOut::say
// Papers              Bahdanau et al. 2015, arXiv:1409.0473, section 3.1, appendix A.1.2 and figure 3

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

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

using namespace lookback;

namespace {

// ---- 1. The first three steps: score, softmax, weighted sum ----------------------------------------------------------------

struct Look {
    Tensor scores, weights, context;    // (B, S), (B, S), (B, H)
};

// The additive score. Its weights are the library's, under the paper's names: W and U (A, H), v (1, A).
// U memory is the same for all steps of a sentence, so it comes prepared: (B, S, A).
Look attend(const AdditiveAttention& module, const Tensor& state, const Tensor& prepared, const Tensor& memory,
            const Tensor& real_tokens) {
    const Tensor &W = module.query.weight, &v = module.energy.weight;
    const int B = memory.size(0), S = memory.size(1), H = memory.size(2), A = W.size(0);
    // 1. Score: how well does place s fit what the decoder is about to say?      score_s = v . tanh(W state + U memory_s)
    const Tensor asked = reshape(linear(state, W), {B, 1, A});                              // the same for every place
    const Tensor scores = reshape(matmul(tanh(asked + prepared), transpose(v)), {B, S});    // (B, S, A)(A, 1) -> (B, S)
    // 2. Softmax: the scores become shares of one look. Padding gets exactly 0, whatever it scores.
    const Tensor weights = masked_softmax(scores, real_tokens);    // (B, S), each row sums to 1
    // 3. Weighted sum: what the decoder sees.                                    context = sum_s weight_s memory_s
    const Tensor context = matmul(reshape(weights, {B, 1, S}), memory);    // (B, 1, S)(B, S, H) -> (B, 1, H)
    return {scores, weights, reshape(context, {B, H})};
}

// ---- 2. The fourth step, output, in a translator ---------------------------------------------------------------------------

// The library's translator gives the weights: embeddings, an encoder that reads both ways, a GRU cell, one output layer.
struct WrittenOut {
    AttentionTranslator model;
    using State = AttentionTranslator::State;    // the decoder's h (B, H); memory, prepared, key_padding; the last step's weights

    State start(const Ids& source, const std::vector<int>& lengths) const {
        return read(model.source_embedding(source), lengths, key_padding(source));
    }
    State read(const Tensor& x, const std::vector<int>& lengths, const Tensor& real_tokens) const {    // (B, S, E)
        const auto [memory, last] = model.encoder(x, lengths);                                         // (B, S, H), (B, H)
        return {last, memory, linear(memory, model.attention.key.weight), real_tokens, {}};
    }
    // What comes after the target word y (B, E). As in the paper, the old state looks back, and what it sees makes the new one.
    Tensor say(const Tensor& y, State& state) const {
        const Look look = attend(model.attention, state.h, state.prepared, state.memory, state.key_padding);
        // 4. Output: the context goes into the new state, and also past it, straight to the logits.
        state.h = model.decoder(concat({y, look.context}, 1), state.h);    // (B, E + H), (B, H) -> (B, H)
        state.weights = look.weights;
        return model.out(concat({state.h, look.context, y}, 1));    // (B, H + H + E) -> (B, V)
    }
    Tensor step(const std::vector<int>& tokens, State& state) const {
        return say(model.target_embedding({{static_cast<int>(tokens.size())}, tokens}), state);
    }
    Tensor operator()(const Batch& batch) const {
        State state = start(batch.source, batch.source_lengths);
        const Tensor words = model.target_embedding(batch.target_in);    // (B, T, E)
        std::vector<Tensor> logits;
        for (int t = 0; t < words.size(1); ++t) logits.push_back(say(select(words, 1, t), state));
        return stack(logits, 1);    // (B, T, V)
    }
    void parameters(const Visit& visit) { model.parameters(visit); }
};

// ---- 3. The steps by numbers, and beside the library's ---------------------------------------------------------------------

// In a loss that weighs each number of the output differently, no mistake hides.
std::vector<real> gradients_of(const Tensor& output, std::vector<Tensor> leaves) {
    for (Tensor& leaf : leaves) leaf.zero_grad();
    Random random(3);
    backward(sum(output * Tensor::normal(output.shape(), 1, random)));
    std::vector<real> all;
    for (const Tensor& leaf : leaves) all.insert(all.end(), leaf.grad(), leaf.grad() + leaf.size());
    return all;
}

// As a share of the largest number.
double largest_difference(const std::vector<real>& ours, const std::vector<real>& theirs) {
    real difference = 0, largest = 0;
    for (std::size_t i = 0; i < ours.size(); ++i) {
        difference = std::max(difference, std::abs(ours[i] - theirs[i]));
        largest = std::max(largest, std::abs(theirs[i]));
    }
    return static_cast<double>(difference / largest);
}

double compare(const char* name, const Tensor& ours, const Tensor& theirs, const std::vector<Tensor>& leaves) {
    const double values = largest_difference(ours.values(), theirs.values());
    const std::vector<real> of_ours = gradients_of(ours, leaves), of_theirs = gradients_of(theirs, leaves);
    const double gradients = largest_difference(of_ours, of_theirs);
    fmt::print("   beside {:<19} relative difference: values {:.0e}, gradients {:.0e}\n", name, values, gradients);
    return std::max(values, gradients);
}

// Made up, so that you can check the steps by hand: W = U = 1, v = (2, 1). The last place is padding, and loud on purpose.
double look_once() {
    constexpr int S = 4, H = 2;
    AdditiveAttention module;
    const Tensor W = module.query.weight = Tensor({H, H}, {1, 0, 0, 1}).requires_grad();
    const Tensor U = module.key.weight = Tensor({H, H}, {1, 0, 0, 1}).requires_grad();
    const Tensor v = module.energy.weight = Tensor({1, H}, {2, 1}).requires_grad();
    const Tensor state = Tensor({1, H}, {0.5, -0.5}).requires_grad();
    const Tensor memory = Tensor({1, S, H}, {-1, 0.5, 1, 0, real(0.2), -1, 9, 9}).requires_grad();
    const Tensor real_tokens({1, S}, {1, 1, 1, 0});
    const Look look = attend(module, state, linear(memory, U), memory, real_tokens);
    const real *m = memory.data(), *score = look.scores.data(), *weight = look.weights.data(), *context = look.context.data();

    fmt::print("1. One look at three words, from the state {:.1f} {:.1f}\n", state.data()[0], state.data()[1]);
    fmt::print("   {:<12}{:>16}{:>12}{:>12}\n", "place", "memory", "1 score", "2 weight");
    const char* const words[] = {"i", "love", "you", "<pad>"};
    for (int s = 0; s < S; ++s)
        fmt::print("   {:<12}{:8.1f}{:8.1f}{:12.2f}{:12.3f}\n", words[s], m[s * H], m[s * H + 1], score[s], weight[s]);
    fmt::print("   {:<12}{:8.2f}{:8.2f}   the sum of weight times memory\n", "3 context", context[0], context[1]);
    fmt::print("   4 output    is made of the context, the new state and the word before\n");
    const Attended theirs = module(reshape(state, {1, 1, H}), module.prepare(memory), memory, real_tokens);
    return compare("AdditiveAttention", look.context, reshape(theirs.context, {1, H}), {W, U, v, state, memory});
}

// ---- 4. The way back -------------------------------------------------------------------------------------------------------

// Takes the loss of the first target word, and of it alone, back into the source: |dLoss/dx_s| at each word's embedding x_s.
std::vector<double> gradient_at_words(const Tensor& x, const Tensor& logits, int first_word) {
    backward(cross_entropy(logits, {{1}, {first_word}}));
    const int S = x.size(1), E = x.size(2);    // x (1, S, E)
    std::vector<double> norms(S);
    for (int i = 0; i < S * E; ++i) norms[i / E] += static_cast<double>(x.grad()[i]) * static_cast<double>(x.grad()[i]);
    for (double& norm : norms) norm = std::sqrt(norm);
    return norms;
}

std::vector<double> with_one_vector(const FixedVector& model, const Example& example) {
    const int S = static_cast<int>(example.source.size());
    const Tensor x = model.source_embedding({{1, S}, example.source}), vector = model.encoder(x).state;
    const Tensor begin = model.target_embedding({{1}, {Vocabulary::begin}});
    return gradient_at_words(x, model.out(model.decoder(concat({begin, vector}, 1), vector)), example.target[0]);
}

std::vector<double> with_attention(const WrittenOut& attention, const Example& example) {
    const int S = static_cast<int>(example.source.size());
    const Ids source{{1, S}, example.source};
    const Tensor x = attention.model.source_embedding(source);
    WrittenOut::State state = attention.read(x, {S}, key_padding(source));
    return gradient_at_words(x, attention.step({Vocabulary::begin}, state), example.target[0]);
}

// ---- 5. Training and examination, the same for both models -----------------------------------------------------------------

template <class Model>
std::vector<double> study(const char* name, Model& model, const Corpus& corpus, const std::vector<Example>& examples,
                          const Options& options, Workers& workers) {
    BatchStream stream(examples, 32, Random(options.seed));    // the same seed: the same batches for both models
    Adam adam(model, {.lr = 3e-3});
    DataParallel<Model> parallel(model, 2, workers);
    Progress progress(name, options.steps);
    const Stopwatch watch;

    for (int step = 0; step < options.steps && !interrupted(); ++step) {
        const Batch batch = stream.next();
        const std::vector<Batch> parts = shards(batch, 2);

        zero_grad(model);
        const double loss = parallel.backward(static_cast<int>(parts.size()), [&](Model& replica, int part) {
            return cross_entropy(replica(parts[part]), parts[part].target_out,
                                 {.ignore_index = Vocabulary::pad, .divisor = static_cast<double>(batch.target_tokens)});
        });
        clip_grad_norm(model, 1.0);
        adam.options.lr = 3e-3 * warmup_cosine(step, 100, options.steps);
        adam.step();
        progress.advance(batch.target_tokens, loss);
    }
    progress.done();
    fmt::print("\n   {:<16}{:>14}", name, seconds_text(watch.seconds()));
    std::vector<double> exact_match;
    for (const Corpus::Test& test : corpus.tests) {
        exact_match.push_back(evaluate(model, encode(test.pairs, corpus.source, corpus.target), workers).exact_match);
        fmt::print("{:>8.2f}", exact_match.back());
    }
    return exact_match;
}

// What the model says (at most a word more than it has read), and where it looked for each.
AttentionMap translate(const WrittenOut& model, const Pair& pair, const Corpus& corpus) {
    const Example example = encode({pair}, corpus.source, corpus.target)[0];
    const int S = static_cast<int>(example.source.size());
    const Translation said = greedy(model, {{1, S}, example.source}, {S}, S)[0];
    AttentionMap map{.title = join(pair.source),
                     .rows = {},
                     .columns = pair.source,
                     .weights = {said.attention.weights.begin(), said.attention.weights.end()},
                     .gold = {}};
    map.columns.push_back("</s>");
    for (const int id : said.tokens) map.rows.push_back(corpus.target.token(id));
    if (static_cast<int>(map.rows.size()) < said.attention.rows) map.rows.push_back("</s>");
    fmt::print("{}", terminal::attention_map(map, terminal::style_of(stdout)));
    return map;
}

bool looks_at(const AttentionMap& map, int row, int column) {
    const double* weights = map.weights.data() + row * map.columns.size();
    return std::max_element(weights, weights + map.columns.size()) == weights + column;
}

// ---- 6. The experiment -----------------------------------------------------------------------------------------------------

int additive_attention(const Options& options) {
    const double of_one_look = look_once();
    Corpus corpus = read_corpus(options.data);
    corpus.tests.resize(std::min<std::size_t>(options.quick ? 1 : 4, corpus.tests.size()));
    std::vector<Pair> pairs = corpus.train;
    std::erase_if(pairs, [](const Pair& pair) { return pair.source.size() > 24; });    // 1 to 3 clauses, and some of 4
    const std::vector<Example> examples = encode(pairs.empty() ? corpus.train : pairs, corpus.source, corpus.target);
    Workers workers(options.threads);
    Random random(options.seed);
    WrittenOut attention{AttentionTranslator(corpus.source.size(), corpus.target.size(), random)};
    FixedVector fixed(corpus.source.size(), corpus.target.size(), random);
    const Batch batch = BatchStream(examples, 16, random).next();
    const double of_a_batch = compare("AttentionTranslator", attention(batch), attention.model(batch), parameters_of(attention));

    const std::vector<std::string>& words = corpus.tests.back().pairs[0].source;
    const Example example = encode({corpus.tests.back().pairs[0]}, corpus.source, corpus.target)[0];
    const std::vector<double> one = with_one_vector(fixed, example), many = with_attention(attention, example);
    fmt::print("\n2. Untrained: the first target word's loss on its way back to a source word\n");
    fmt::print("   source word   one vector: GRU cells  gradient  attention: GRU cells  gradient\n");
    const std::size_t last = words.size() - 1, rows = std::min<std::size_t>(5, words.size());
    for (std::size_t i = 0; i < rows; ++i) {
        const std::size_t s = rows > 1 ? i * last / (rows - 1) : 0;
        // One vector: the encoder's cells from word s to </s>, and one of the decoder. Attention: the one that wrote memory_s.
        fmt::print("   {:>3} {:<9}{:>22}{:>10.0e}{:>22}{:>10.0e}\n", s + 1, words[s], one.size() - s + 1, one[s], 1, many[s]);
    }

    fmt::print("\n3. Both learn from the same {} batches of 32 sentences\n   {:<16}{:>14}", options.steps, "exact match", "time");
    for (const Corpus::Test& test : corpus.tests) fmt::print(" {:>7}", cut_text(test.name, 7));
    const std::vector<double> f = study("one vector", fixed, corpus, examples, options, workers);
    const std::vector<double> a = study("attention", attention, corpus, examples, options, workers);
    Pair love{split("i love you"), {}}, red{split("they read the red letter"), {}};    // love: in no training pair
    if (corpus.source.id("love") == Vocabulary::unknown || corpus.source.id("letter") == Vocabulary::unknown)
        love = corpus.tests[0].pairs[0], red = corpus.tests[0].pairs.back();    // your own corpus: of its first test
    fmt::print("\n\n4. Where it looked for each word, in tenths\n");
    const AttentionMap love_map = translate(attention, love, corpus), red_map = translate(attention, red, corpus);
    if (!options.out.empty()) write_file(options.out / "love.svg", svg::attention_map(love_map));
    if (!options.out.empty()) write_file(options.out / "red_letter.svg", svg::attention_map(red_map));

    Claims claims;
    if (options.usual) {
        claims.check(of_one_look <= 1e-5 && of_a_batch <= 1e-5, "the program and the library compute the same");
        claims.check(one[0] < 1e-3 * one[21], "one vector: word 1 gets a thousandth of what word 22 gets");
        claims.check(std::ranges::min(many) > 0.1 * std::ranges::max(many), "attention: all get as much, within a factor of ten");
        claims.check(f[2] <= 0.05, "one vector does not hold three clauses");
        claims.check(a[0] >= 0.95 && a[2] >= 0.95, "attention translates one clause and three");
        claims.check(join(love_map.rows) == "je t' aime </s>" && looks_at(love_map, 2, 1), "je t' aime; aime looks at love");
        claims.check(join(red_map.rows) == "ils lisent la lettre rouge </s>", "attention says: ils lisent la lettre rouge");
        claims.check(looks_at(red_map, 3, 4) && looks_at(red_map, 4, 3), "lettre looks at letter, rouge at red");
    }
    return claims.report();
}

}    // namespace

int main(int argc, char** argv) {
    return run_program(argc, argv,
                       {.name = "08_additive_attention",
                        .question = "What if the decoder may look back?",
                        .steps = 1500,
                        .quick_steps = 4,
                        .out = {},
                        .data = LOOKBACK_DATASETS "/english-french",
                        .own = {}},
                       additive_attention);
}

// Exercises (solutions/08_additive_attention.md)
//   1. "she looks for our big door" is "elle cherche notre grande porte". Where will "cherche" look? Ask the trained model.
//   2. In look_once, work out on paper the gradient of the sum of the context at each score. Let backward() check it.
//   3. The encoder reads both ways. Let it read forward only, and predict first: where must "t'" look then, and "rouge"?
//
// Break it: change one line, say what will happen, run
//   masked_softmax(scores, real_tokens)     masked_softmax(scores, real_tokens * 0 + 1): padding may be looked at
//   masked_softmax(scores, real_tokens)     masked_softmax(scores * 0, real_tokens): a look without a choice
//   linear(state, W)                        linear(state * 0, W): the decoder does not say what it wants to know
//   concat({y, look.context}, 1)            concat({y, look.context * 0}, 1): the new state is not told what was seen
//
// Questions
//   Which line lets the decoder choose?  asked + prepared: the state on one side, each place on the other. All else is the same
//     for all states, or for all places.
//   Why is U memory worked out once, and W state at each step?  The memory is the same for the whole sentence, the state is not.
//   Which way does a loss take to the first source word?  The weighted sum: dmemory_s = weight_s dcontext, at each step. The other
//     way, through the scores, only moves the look.
//   What would the softmax do with equal scores?  Give all places the same share: the mean of the memory, one vector again.
//   Why may an encoder read both ways, and a decoder not?  The source is there from the start; of the target only what was said.
