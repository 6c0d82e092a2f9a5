// 10 self_attention: Attention without recurrence?  (about 3 s)
//
// So far a decoder looked back at what an encoder had written word by word. In self-attention the words of a sentence look at each
// other, all at once, and nothing is handed on from word to word. What is lost with that is their order: here it is put back.
//
// What you will see   three words look at each other, each number of it; why scores are divided by sqrt(d_k); that masks hide
//                     exactly; what order is to attention, and positions as a picture; how many ops lie between two words
// Shapes              B sentences side by side, T words that look, S words looked at (the same: T = S), V vocabulary, C numbers a
//                     word, here also d_k; x, q, k, v, output (B, T, C), scores and weights (B, T, S), mask broadcast to that
// Predict             In section 1 "love" asks for persons, most for the one spoken to. Where will it look most, where least?
//                     In section 4 each word names the one before it. How often can it, if it sees all words but no order?
// Break on            look, lookback::op::MaskedSoftmax::backward, lookback::op::Matmul::backward
// Papers              Vaswani et al. 2017, arXiv:1706.03762, sections 3.2.1, 3.2.3 and 3.5, and table 1

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <complex>
#include <map>
#include <utility>

#include "lookback/decode/greedy.h"
#include "lookback/draw/svg.h"
#include "lookback/draw/terminal.h"
#include "lookback/nn/attention.h"
#include "lookback/nn/positions.h"
#include "lookback/nn/recurrent.h"
#include "lookback/ops/elementwise.h"
#include "lookback/ops/matmul.h"
#include "lookback/ops/shape.h"
#include "lookback/ops/softmax.h"
#include "lookback/optim/optimizer.h"
#include "lookback/program/claims.h"
#include "lookback/program/file.h"
#include "lookback/program/interrupt.h"
#include "lookback/program/options.h"
#include "lookback/program/progress.h"
#include "lookback/tensor/node.h"

using namespace lookback;

namespace {

constexpr int C = 32;    // numbers a word, but for section 1
constexpr int longest_place = 1000;
constexpr int longest = 14;    // words of a sentence to learn from: 1 clause, and most of 2

// ---- 1. Four steps: score, softmax, weighted sum, output -------------------------------------------------------------------

struct SelfAttention {
    Linear query, key, value, out;    // W_q, W_k, W_v, W_o: (C, C) each, no biases

    SelfAttention() = default;
    explicit SelfAttention(Random& random)
        : query(C, C, random, false), key(C, C, random, false), value(C, C, random, false), out(C, C, random, false) {}
    void parameters(const Visit& visit) {
        query.parameters(within("query", visit));
        key.parameters(within("key", visit));
        value.parameters(within("value", visit));
        out.parameters(within("out", visit));
    }
};

struct Look {
    Tensor q, k, v, scores, scaled, weights, found, output;
};

Look look(const SelfAttention& attention, const Tensor& x, const Tensor& mask) {
    // Each word in three roles: what it asks for, what it is found by, what it tells.
    const Tensor q = attention.query(x), k = attention.key(x), v = attention.value(x);    // (B, T, C), (B, S, C), (B, S, C)
    // 1. Score: how well does word s fit what word t asks for?                   score_ts = q_t . k_s / sqrt(d_k)
    const Tensor scores = matmul(q, transpose(k));    // (B, T, C)(B, C, S) -> (B, T, S)
    const Tensor scaled = scores * (1 / std::sqrt(static_cast<double>(k.size(-1))));
    // 2. Softmax: the scores of word t become shares of its look. What the mask hides, by a 0, gets exactly none.
    const Tensor weights = masked_softmax(scaled, mask);    // (B, T, S), each row sums to 1
    // 3. Weighted sum: what word t found.                                        found_t = sum_s weight_ts v_s
    const Tensor found = matmul(weights, v);    // (B, T, S)(B, S, C) -> (B, T, C)
    // 4. Output: that, turned into what the next layer wants to read.            output_t = W_o found_t
    return {q, k, v, scores, scaled, weights, found, attention.out(found)};
}

// Row t, to be printed number by number.
auto row(const Tensor& x, int t) { return fmt::join(x.data() + t * x.size(-1), x.data() + (t + 1) * x.size(-1), ""); }

// Made up, so that you can check each number by hand. x says: a person? an action? the one who speaks? the one spoken to?
// The second column of W_q is what an action asks for: persons (4), and the one spoken to (2).
Look three_words() {
    const Tensor x({1, 3, 4}, {1, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1});
    SelfAttention attention;
    attention.query.weight = Tensor({4, 4}, {0, 4, 0, 0, 2, 0, 0, 0, 0, 0, 0, 1, 0, 2, 1, 0});
    attention.key.weight = Tensor({4, 4}, {1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1});
    attention.value.weight = Tensor({4, 4}, {1, 0, 0, 0, 0, 3, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2});
    attention.out.weight = Tensor({4, 4}, {1, 1, 0, 0, 1, -1, 0, 0, 0, 0, 1, 1, 0, 0, 1, -1});
    Look seen = look(attention, x, Tensor({1}, {1}));    // no mask: all may look at all

    const char* const words[] = {"i", "love", "you"};
    fmt::print("1. Words     x           query = W_q x       key = W_k x         value = W_v x\n");
    for (int t = 0; t < 3; ++t)
        fmt::print("   {:<5}{:3.0f}    {:4.0f}    {:4.0f}    {:4.0f}\n", words[t], row(x, t), row(seen.q, t), row(seen.k, t),
                   row(seen.v, t));
    fmt::print("   1 score  q . k       over sqrt(4)              2 softmax\n");
    for (int t = 0; t < 3; ++t)
        fmt::print("   {:<5}{:4.0f}    {:6.1f}    {:8.3f}\n", words[t], row(seen.scores, t), row(seen.scaled, t),
                   row(seen.weights, t));
    fmt::print("   3 sum of weight . value                4 output = W_o sum\n");
    for (int t = 0; t < 3; ++t) fmt::print("   {:<5}{:8.3f}    {:8.3f}\n", words[t], row(seen.found, t), row(seen.output, t));
    return seen;
}

// ---- 2. Why sqrt(d_k) ------------------------------------------------------------------------------------------------------

// Of 200 looks at 16 places, with q and k of d_k random numbers of variance 1: the variance of the scores, and the norm of the
// gradient that their softmax passes on to them (the median).
std::pair<double, double> spread_of(int d_k, double scale) {
    constexpr int B = 200, S = 16;
    Random random(5);
    const Tensor q = Tensor::normal({B, 1, d_k}, 1, random), k = Tensor::normal({B, S, d_k}, 1, random);
    const Tensor scores = Tensor({B, S}, (matmul(q, transpose(k)) * scale).values()).requires_grad();    // a leaf
    backward(sum(softmax(scores) * Tensor::normal({B, S}, 1, random)));
    const Tensor gradient({B, S}, {scores.grad(), scores.grad() + B * S});
    std::vector<real> norms = sqrt(sum(gradient * gradient, 1)).values();
    std::ranges::nth_element(norms, norms.begin() + B / 2);
    return {mean(scores * scores).item(), norms[B / 2]};
}

// ---- 3. What a mask hides --------------------------------------------------------------------------------------------------

// 1 where word t may look at word s: at itself, and at what came before.
Tensor causal(int T) {
    Tensor mask({T, T});
    for (int t = 0; t < T; ++t) std::fill_n(mask.data() + t * T, t + 1, real(1));
    return mask;
}

// Of the pairs (t, s) that the mask hides, [0], and of those that it lets see, [1]: how many there are, in how many output t
// changes when another word stands at s, in how many a gradient reaches word s from output t.
using Pairs = std::array<std::array<int, 3>, 2>;

Pairs pairs_of(const SelfAttention& attention, Tensor x, const Tensor& mask, int looking) {
    Pairs pairs{};
    const Tensor before = look(attention, x, mask).output;    // (1, T, C)
    for (int t = 0; t < looking; ++t)
        for (int s = 0; s < x.size(1); ++s) {
            Random random(s);
            x.zero_grad();
            backward(sum(select(before, 1, t) * Tensor::normal({1, C}, 1, random)));
            Tensor other(x.shape(), x.values());
            for (int i = s * C; i < (s + 1) * C; ++i) other.data()[i] = static_cast<real>(random.normal());
            const Tensor after = look(attention, other, mask).output;
            std::array<int, 3>& count = pairs[mask.data()[t * x.size(1) + s] != 0];
            ++count[0];
            count[1] += select(after, 1, t).values() != select(before, 1, t).values();
            count[2] += std::any_of(x.grad() + s * C, x.grad() + (s + 1) * C, [](real dx) { return dx != 0; });
        }
    return pairs;
}

// ---- 4. Order --------------------------------------------------------------------------------------------------------------

// Place t in C numbers: the hands of C / 2 clocks, each of which turns slower than the one before (section 3.5).
//     p_{t,2i} = sin(t w_i)          p_{t,2i+1} = cos(t w_i)          w_i = 10000^{-2i/C}
// k places further on each hand has turned by the same angle, wherever it stood: so a matrix can ask for "k places before me".
Tensor places(int length) {
    Tensor p({length, C});
    double w = 1;
    for (int i = 0; i < C; i += 2, w /= std::sqrt(std::sqrt(10.0))) {    // 10000^{2/C} is the fourth root of 10, as C is 32
        std::complex<double> hand = 1, turn = 1, term = 1;
        for (int n = 1; n < 20; ++n) turn += term *= std::complex(0.0, w / n);    // cos w + i sin w, by its power series
        for (int t = 0; t < length; ++t, hand *= turn) {
            p.data()[t * C + i] = static_cast<real>(hand.imag());
            p.data()[t * C + i + 1] = static_cast<real>(hand.real());
        }
    }
    return p;
}

// Each word is to name the word before it, which it can only know by looking.
struct WordBefore {
    Embedding embedding;    // (V, C)
    SelfAttention attention;
    Linear out;          // C -> V
    Tensor positions;    // (T, C), or zeros

    Look read(const Ids& ids) const {    // (B, T)
        const int B = ids.shape[0], T = ids.shape[1];
        const Tensor x = embedding(ids) + slice(positions, 0, 0, T);        // (B, T, C): which word, and where it stands
        return look(attention, x, reshape(key_padding(ids), {B, 1, T}));    // nobody looks at padding
    }
    Tensor operator()(const Ids& ids) const { return out(read(ids).output); }    // (B, T, V)
    void parameters(const Visit& visit) {
        embedding.parameters(within("embedding", visit));
        attention.parameters(within("attention", visit));
        out.parameters(within("out", visit));
    }
};

// Sentences as their own translation: a Batch then has x1 .. xm </s> as source, and as target_in <s> x1 .. xm, the words before.
std::vector<Example> read(std::vector<Pair> pairs, const Corpus& corpus) {
    for (Pair& pair : pairs) pair.target = pair.source;
    return encode(pairs, corpus.source, corpus.source);
}

void train(const char* name, WordBefore& model, const std::vector<Example>& examples, const Options& options) {
    BatchStream stream(examples, 32, Random(options.seed));
    Adam adam(model, {.lr = 5e-3});
    Progress progress(name, options.steps);
    for (int step = 0; step < options.steps && !interrupted(); ++step) {
        const Batch batch = stream.next();
        zero_grad(model);
        const Tensor loss = cross_entropy(model(batch.source), batch.target_in, {.ignore_index = Vocabulary::pad});
        backward(loss);
        clip_grad_norm(model, 1.0);
        adam.options.lr = 5e-3 * warmup_cosine(step, 50, options.steps);
        adam.step();
        progress.advance(batch.target_tokens, loss.item());
    }
}

double share_right(const WordBefore& model, const std::vector<Example>& examples) {
    const NoGrad no_grad;
    double right = 0, all = 0;
    for (const Batch& batch : batches_in_order(examples, 50)) {
        const std::vector<int>& before = batch.target_in.values;
        const std::vector<int> said = argmax_rows(reshape(model(batch.source), {static_cast<int>(before.size()), -1}));
        for (std::size_t i = 0; i < said.size(); ++i) {
            right += before[i] != Vocabulary::pad && said[i] == before[i];
            all += before[i] != Vocabulary::pad;
        }
    }
    return right / all;
}

// Two sums of attention go over the words, the softmax's and the weighted one; order can enter nowhere else. Here they are taken
// in double and rounded once, in the end: found_t = sum_s e^{score_ts} v_s / sum_s e^{score_ts}
Tensor output_in_double(const SelfAttention& attention, const Look& seen) {
    const int T = seen.scaled.size(1);
    const Tensor e = exp(seen.scaled);    // (1, T, T)
    Tensor found({1, T, C});
    for (int t = 0; t < T; ++t)
        for (int i = 0; i < C; ++i) {
            double weighted = 0, total = 0;
            for (int s = 0; s < T; ++s) {
                const double share = static_cast<double>(e.data()[t * T + s]);
                weighted += share * static_cast<double>(seen.v.data()[s * C + i]);
                total += share;
            }
            found.data()[t * C + i] = static_cast<real>(weighted / total);
        }
    return attention.out(found);
}

double norm(const Tensor& x) { return std::sqrt(static_cast<double>(sum(x * x).item())); }

// How much the outputs change when their sentence is read backwards, in proportion: as they are, and in double.
std::pair<double, double> change_by_order(const WordBefore& model, std::vector<int> words) {
    const NoGrad no_grad;
    const int T = static_cast<int>(words.size());
    const Look forwards = model.read({{1, T}, words});
    std::ranges::reverse(words);
    const Look backwards = model.read({{1, T}, words});
    const auto change = [T](const Tensor& a, const Tensor& b) {
        std::vector<Tensor> moved;
        for (int t = T; t-- > 0;) moved.push_back(select(b, 1, t));
        return norm(a - stack(moved, 1)) / norm(a);
    };
    return {change(forwards.output, backwards.output),
            change(output_in_double(model.attention, forwards), output_in_double(model.attention, backwards))};
}

// ---- 5. How far apart two words are ----------------------------------------------------------------------------------------

// In the graph behind y: the most ops that wait for each other, and the fewest on a way from x to y.
std::pair<int, int> chains_of(const Tensor& y, const Tensor& x) {
    std::map<const Node*, int> longest_chain, from_x;
    for (const Node* node : graph_of(y))    // inputs come before what is made of them
        for (const Tensor& input : node->inputs) {
            longest_chain[node] = std::max(longest_chain[node], longest_chain[input.node] + 1);
            if (input.node != x.node && from_x[input.node] == 0) continue;    // x is not behind this input
            const int way = from_x[input.node] + 1;
            from_x[node] = from_x[node] > 0 ? std::min(from_x[node], way) : way;
        }
    return {longest_chain[y.node], from_x[y.node]};
}

// From the first of n words to what the last becomes: in an RNN, where that is W x and then a cell a word, and by attention.
std::array<int, 4> ops_between(int n) {
    Random random(1);
    std::vector<Tensor> words;
    for (int t = 0; t < n; ++t) words.push_back(Tensor::normal({1, C}, 1, random).requires_grad());
    const GruCell cell(C, C, random);
    Tensor h({1, C});
    for (const Tensor& word : words) h = cell(word, h);
    const Tensor seen = look(SelfAttention(random), stack(words, 1), Tensor({1}, {1})).output;    // (1, n, C)
    const auto [rnn, rnn_way] = chains_of(h, words[0]);
    const auto [attention, attention_way] = chains_of(select(seen, 1, n - 1), words[0]);
    return {rnn, rnn_way, attention, attention_way};
}

// ---- 6. The experiment -----------------------------------------------------------------------------------------------------

// weights (1, 5, 5), of which the last row is that of <pad>
AttentionMap map_of(const char* title, std::vector<std::string> words, const Tensor& weights) {
    words.push_back("</s>");
    AttentionMap map{title, words, words, {weights.data(), weights.data() + 20}, {}};
    map.about = "row: the word that looks; column: the word of the same sentence that it looks at";
    map.columns.push_back("<pad>");
    return map;
}

int self_attention(const Options& options) {
    const Look love = three_words();

    fmt::print("\n2. Plain, and over sqrt(d_k)          variance of scores      gradient at scores\n");
    std::vector<std::pair<double, double>> plain, scaled;
    for (const int d_k : {4, 64, 1024}) {
        plain.push_back(spread_of(d_k, 1));
        scaled.push_back(spread_of(d_k, 1 / std::sqrt(d_k)));
        fmt::print("   d_k = {:<22}{:>15.1f}{:>10.2f}{:>16.0e}{:>8.0e}\n", d_k, plain.back().first, scaled.back().first,
                   plain.back().second, scaled.back().second);
    }

    Random random(options.seed);
    const SelfAttention untrained(random);
    const Tensor x = Tensor::normal({1, 5, C}, 0.5, random).requires_grad();
    const Tensor padding = Tensor({5, 5}) + Tensor({5}, {1, 1, 1, 1, 0});    // the last of the 5 words is none
    const std::pair<const char*, Pairs> masks[] = {{"causal: words to come", pairs_of(untrained, x, causal(5), 5)},
                                                   {"padding", pairs_of(untrained, x, padding, 4)}};
    fmt::print("\n3. Does output t depend on word s?  hidden changed reached  seen changed reached\n");
    for (const auto& [name, of] : masks)
        fmt::print("   {:<31}{:>8}{:>6}{:>8}{:>8}\n", name, fmt::join(of[0], ""), of[1][0], of[1][1], of[1][2]);

    Corpus corpus = read_corpus(options.data);
    check_for(corpus, longest_place, options.data);
    corpus.tests.resize(std::min<std::size_t>(3, corpus.tests.size()));
    std::vector<Pair> pairs = corpus.train;
    std::erase_if(pairs, [](const Pair& pair) { return pair.source.size() > longest; });
    const std::vector<Example> examples = read(pairs.empty() ? corpus.train : pairs, corpus);
    const int V = corpus.source.size();
    const Tensor p = places(longest_place);
    std::vector<WordBefore> models;
    std::vector<double> right[2];
    std::pair<double, double> changes[2];
    fmt::print("\n4. Name the word before you");
    for (const Corpus::Test& test : corpus.tests) fmt::print(" {:>7}", cut_text(test.name, 7));
    fmt::print("   backwards, it changes by\n");
    for (const bool with : {false, true}) {
        Random same(options.seed);
        models.push_back({Embedding(V, C, same, 0.3), SelfAttention(same), Linear(C, V, same), with ? p : Tensor(p.shape())});
        train(with ? "with positions" : "without positions", models[with], examples, options);
        fmt::print("   {:<24}", with ? "with positions" : "without positions");
        for (const Corpus::Test& test : corpus.tests) {
            right[with].push_back(share_right(models[with], read(test.pairs, corpus)));
            fmt::print("{:8.2f}", right[with].back());
        }
        changes[with] = change_by_order(models[with], read(corpus.tests[0].pairs, corpus)[0].source);
        fmt::print("{:11.1g}, in double {:.1g}\n", changes[with].first, changes[with].second);
    }
    for (const auto& [name, i] : {std::pair("sin(t)", 0), std::pair("sin(t/3.16)", 4), std::pair("sin(t/10)", 8)}) {
        const std::vector<real> hand = select(slice(p, 0, 0, 60), 1, i).values();
        fmt::print("   {:<13}{}\n", name, terminal::sparkline(std::vector<double>(hand.begin(), hand.end()), 60));
    }
    std::vector<std::string> words = split("we see him");
    if (corpus.source.id("see") == Vocabulary::unknown) words = corpus.tests[0].pairs[0].source;    // your own corpus
    words.resize(3);
    std::vector<int> ids = read({{words, {}}}, corpus)[0].source;
    ids.push_back(Vocabulary::pad);
    const std::vector<AttentionMap> maps = {map_of("causal, random x", words, look(untrained, x, causal(5)).weights),
                                            map_of("padding, random x", words, look(untrained, x, padding).weights),
                                            map_of("positions, trained", words, models[1].read({{1, 5}, ids}).weights)};
    fmt::print("{}", terminal::small_multiples(maps, terminal::style_of(stdout)));
    if (!options.out.empty()) write_file(options.out / "looks.svg", svg::small_multiples("Where each word looks", maps, 3));

    fmt::print(
        "\n5. Ops that wait for each other: the longest chain,          RNN     attention\n"
        "   and the shortest way from word 1 to the last one's    all  way     all  way\n");
    std::array<int, 4> ops{};
    for (const int n : {16, 512}) {
        ops = ops_between(n);
        fmt::print("   {:>3} words{:>46}{:>5}{:>8}{:>5}\n", n, ops[0], ops[1], ops[2], ops[3]);
    }

    Claims claims;
    if (options.usual) {
        claims.check(love.found.values() == scaled_dot_product_attention(love.q, love.k, love.v).context.values() &&
                         norm(p - sinusoidal_positions(longest_place, C)) < 1e-5 * norm(p),
                     "the program and the library compute the same");
        claims.check(plain[2].first > 900 && plain[2].second < 1e-3 * plain[0].second, "large scores, and no gradient");
        claims.check(std::abs(scaled[2].first - 1) < 0.1 && scaled[2].second > 0.5 * scaled[0].second, "sqrt(d_k) mends both");
        for (const auto& [name, of] : masks)
            claims.check(of[0][1] + of[0][2] == 0 && of[1][1] + of[1][2] == 2 * of[1][0],
                         "what is hidden has exactly no effect, what is seen has one");
        claims.check(changes[0].first < 1e-6 && changes[0].second == 0, "without positions, order changes nothing");
        claims.check(changes[1].first > 0.1 && changes[1].second > 0.1, "with positions it does");
        claims.check(right[0][1] < 0.65 && right[1][1] > 0.95, "only with positions is the word before known");
        claims.check(right[1][2] < 0.9, "but not at places that were not learned");
        claims.check(ops[0] > 512 && ops[1] > 512 && ops[2] < 10 && ops[3] < 10, "an RNN needs an op a word, attention does not");
    }
    return claims.report();
}

}    // namespace

int main(int argc, char** argv) {
    return run_program(argc, argv,
                       {.name = "10_self_attention",
                        .question = "Attention without recurrence?",
                        .steps = 2000,
                        .quick_steps = 4,
                        .out = {},
                        .data = LOOKBACK_DATASETS "/english-french",
                        .own = {}},
                       self_attention);
}

// Exercises (solutions/10_self_attention.md)
//   1. In a debugger: the pairs that a mask hides have a gradient at their weight, and none at their score. Which line stops it?
//   2. On a blank page, write the gradient of look: from that at the output back to W_q, W_k, W_v, W_o and x. Is it backward()'s?
//   3. No positions, but a causal mask: how often can a word then name the one before it? Where does it get the order from?
//
// Break it: change one line, say what will happen, run
//   (1 / std::sqrt(...))               1.0
//   masked_softmax(scaled, mask)       masked_softmax(scaled, mask * 0 + 1): nothing is hidden
//   matmul(q, transpose(k))            matmul(k, transpose(q)): queries and keys change places
//   slice(positions, 0, 0, T)          slice(positions, 0, 0, 1): all words stand at the first place
//
// Questions
//   Which line lets one word know of another?  matmul(q, transpose(k)) how much, matmul(weights, v) what; all others work word
//     by word.
//   Why both W_q and W_k?  With one for both, "love" would score "you" as "you" scores "love", and itself nearly always high.
//   Where does a hidden word's gradient end?  In the softmax, dx = y (dy - sum dy y), and in the sum, dv_s = y_s dfound: its y is 0.
//   What grows with the number of words, if not the ops in a row?  The work: T^2 scores, where an RNN takes T steps (table 1).
//   Why does "with positions" fail on test-3, and why does "we" look at "see"?  Most sentences of test-3 are longer than 14 words:
//     nothing was learned about such places. And before the first word always stands <s>: it need not look for that.
