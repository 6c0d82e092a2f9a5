// 11 transformer: What do heads, layers and residuals add?  (about 30 s)
//
// Attention several times side by side (heads), one after the other (layers), and each time added to what was there before
// (residuals): that is nearly all of a Transformer. Here it is written out and trained, whole and without each of the three.
//
// What you will see   both forms agree, values to the bit; future and padding have exactly no effect; what is lost without each part;
//                     where the heads look, with a picture of all of them in the folder that --out names
// Shapes              B batch, T target words, S source words, V vocabulary, C width of the model, K = C / heads, F inside a
//                     feed-forward part; x (B, T, C), q k v (B, heads, T or S, K), scores and weights (B, heads, T, S)
// Predict             Four heads have as many weights as one. What can they do that one cannot? Which hurts most: one head for
//                     four, one layer for two, or no residuals?
// Break on            lookback::op::MaskedSoftmax::backward; in the library's, lookback::op::AttentionWeights::backward
// Papers              Vaswani et al. 2017, arXiv:1706.03762; He et al. 2016, arXiv:1512.03385; Dong et al. 2021, arXiv:2103.03404

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

// ---- 1. Attention in four steps --------------------------------------------------------------------------------------------

// One third of in_proj makes the queries (0), the keys (1) or the values (2). Then C is cut into heads, and the heads become a
// dimension like the batch: each is an attention of its own, on K numbers a word.
Tensor project(const MultiheadAttention& module, const Tensor& x, int third) {
    const int B = x.size(0), T = x.size(1), C = x.size(2);
    const Tensor projected = linear(x, slice(module.in_proj_weight, 0, third * C, (third + 1) * C),
                                    slice(module.in_proj_bias, 0, third * C, (third + 1) * C));    // (B, T, C)
    return transpose(reshape(projected, {B, T, module.heads, C / module.heads}), 1, 2);            // (B, heads, T, K)
}

// x looks at memory: at itself in self-attention, at the encoder's output in cross-attention. The mask is broadcast to
// (B, heads, T, S), 1 = may look. Vaswani et al. 2017, eq. 1 (steps 1 to 3) and section 3.2.2 (step 4).
Tensor attend(const MultiheadAttention& module, const Tensor& x, const Tensor& memory, const Tensor& mask) {
    const Tensor q = project(module, x, 0);                                         // (B, heads, T, K)
    const Tensor k = project(module, memory, 1), v = project(module, memory, 2);    // (B, heads, S, K)
    // 1. Score: each query with each key. A sum of K products grows as sqrt(K), so that is divided away.
    const Tensor scores = matmul(q, transpose(k)) * (1 / std::sqrt(static_cast<double>(q.size(3))));
    // 2. Softmax: over the places that the mask allows. The others get weight 0, exactly.
    const Tensor weights = masked_softmax(scores, mask);    // (B, heads, T, S)
    // 3. Weighted sum: what each head found.
    const Tensor found = matmul(weights, v);    // (B, heads, T, K)
    // 4. Output: the heads side by side again, and mixed by one matrix.
    return module.out_proj(reshape(transpose(found, 1, 2), x.shape()));    // (B, T, C)
}

// ---- 2. Layers, and the whole of figure 1 ----------------------------------------------------------------------------------

// Padding is the same for all heads and queries: (B, S) -> (B, 1, 1, S).
Tensor over_heads(const Tensor& padding) { return reshape(padding, {padding.size(0), 1, 1, padding.size(1)}); }

// The library's translator gives the weights. A layer has two parts or three: the words look at each other, the target's look at
// the source's, and each thinks by itself (C -> F -> C). What a part reads goes through a layer norm (pre-norm; figure 1 norms after).
struct WrittenOut {
    TransformerTranslator model;
    bool residual = true;

    // The residual: a part does not replace x but adds to it.
    Tensor add(const Tensor& x, const Tensor& change) const { return residual ? x + change : change; }
    // Each word, and where it stands: (B, T) -> (B, T, C).
    Tensor embed(const Embedding& embedding, const Ids& ids) const {
        return embedding(ids) * std::sqrt(static_cast<double>(model.options.size)) + slice(model.positions, 0, 0, ids.shape[1]);
    }
    Tensor encode(Tensor x, const Tensor& mask) const {    // (B, S, C)
        for (const TransformerEncoderLayer& layer : model.transformer.encoder) {
            const Tensor normed = layer.norm1(x);
            x = add(x, attend(layer.self_attn, normed, normed, mask));
            x = add(x, layer.linear2(relu(layer.linear1(layer.norm2(x)))));
        }
        return model.transformer.encoder_norm(x);
    }
    Tensor decode(Tensor x, const Tensor& memory, const Tensor& mask) const {    // (B, T, C)
        for (const TransformerDecoderLayer& layer : model.transformer.decoder) {
            const Tensor normed = layer.norm1(x);
            x = add(x, attend(layer.self_attn, normed, normed, causal_mask(x.size(1))));    // 1 where s <= t: (T, T)
            x = add(x, attend(layer.multihead_attn, layer.norm2(x), memory, mask));
            x = add(x, layer.linear2(relu(layer.linear1(layer.norm3(x)))));
        }
        return model.transformer.decoder_norm(x);
    }
    Tensor operator()(const Batch& batch) const {
        const Tensor mask = over_heads(key_padding(batch.source));
        const Tensor memory = encode(embed(model.source_embedding, batch.source), mask);
        return model.out(decode(embed(model.target_embedding, batch.target_in), memory, mask));    // (B, T, V)
    }
    // The share that greedy decoding gets right, without decoding: up to its first mistake it has said the true words.
    double exact_match(const std::vector<Example>& examples) const {
        const NoGrad no_grad;
        double right = 0;
        for (const Batch& batch : batches_in_order(examples, 50)) {
            const int T = batch.target_out.shape[1];
            const std::vector<int> said = argmax_rows(reshape((*this)(batch), {batch.size() * T, -1}));
            for (int b = 0; b < batch.size(); ++b)
                right += std::equal(&said[b * T], &said[b * T] + batch.target_lengths[b], &batch.target_out.values[b * T]);
        }
        return right / static_cast<double>(examples.size());
    }
    void parameters(const Visit& visit) { model.parameters(visit); }
};

// ---- 3. Is it the library's? -----------------------------------------------------------------------------------------------

// What the first two tables tell.
struct Largest {
    double value, gradient;
};

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

Largest compare(const char* name, const Tensor& ours, const Tensor& theirs, const std::vector<Tensor>& leaves) {
    const Largest largest{largest_difference(ours.values(), theirs.values()),
                          largest_difference(gradients_of(ours, leaves), gradients_of(theirs, leaves))};
    fmt::print("   {:<41}{:>12.2g}{:>12.2g}\n", name, largest.value, largest.gradient);
    return largest;
}

// ---- 4. What a mask hides --------------------------------------------------------------------------------------------------

// The decoder's output at the third of 6 target words, for 5 source words and 2 of padding: how much it changes when something
// quite different stands at one place, and the gradient that arrives at that place.
Largest effect(const WrittenOut& written_out, const char* name, bool of_source, int place) {
    Random random(5);
    const int C = written_out.model.options.size;
    const Tensor source = Tensor::normal({1, 7, C}, 1, random).requires_grad();
    const Tensor target = Tensor::normal({1, 6, C}, 1, random).requires_grad();
    const Tensor mask = over_heads(Tensor({1, 7}, {1, 1, 1, 1, 1, 0, 0}));
    const auto third = [&] { return select(written_out.decode(target, written_out.encode(source, mask), mask), 1, 2); };
    const Tensor before = third();    // (1, C)
    gradients_of(before, {source, target});
    const Tensor& touched = of_source ? source : target;
    real gradient = 0;
    for (int i = place * C; i < (place + 1) * C; ++i) {
        gradient = std::max(gradient, std::abs(touched.grad()[i]));
        touched.data()[i] = static_cast<real>(100 * random.normal());
    }
    const Largest largest{largest_difference(third().values(), before.values()), static_cast<double>(gradient)};
    fmt::print("   {:<41}{:>12.2g}{:>12.2g}\n", name, largest.value, largest.gradient);
    return largest;
}

// ---- 5. Training and examination -------------------------------------------------------------------------------------------

std::vector<double> study(const char* name, WrittenOut& model, const Corpus& corpus, const std::vector<Example>& examples,
                          const Options& options, Workers& workers) {
    BatchStream stream(examples, 64, Random(options.seed));
    Adam adam(model, {.lr = 3e-3});
    DataParallel<WrittenOut> parallel(model, 2, workers);
    Progress progress(name, options.steps);
    for (int step = 0; step < options.steps && !interrupted(); ++step) {
        const Batch batch = stream.next();
        const std::vector<Batch> parts = shards(batch, 2);
        zero_grad(model);
        const double loss = parallel.backward(static_cast<int>(parts.size()), [&](WrittenOut& replica, int part) {
            return cross_entropy(replica(parts[part]), parts[part].target_out,
                                 {.ignore_index = Vocabulary::pad, .divisor = static_cast<double>(batch.target_tokens)});
        });
        clip_grad_norm(model, 1.0);
        adam.options.lr = 3e-3 * warmup_cosine(step, 100, options.steps);
        adam.step();
        progress.advance(batch.target_tokens, loss);
    }
    progress.done();
    fmt::print("\n   {:<29}{:>12}", name, count_text(static_cast<long>(parameter_count(model))));
    std::vector<double> exact_match;
    for (const Corpus::Test& test : corpus.tests) {
        exact_match.push_back(model.exact_match(encode(test.pairs, corpus.source, corpus.target)));
        fmt::print("{:>8.2f}", exact_match.back());
    }
    return exact_match;
}

// All heads of the decoder as the model reads a pair: the maps, and printed, where each target word looks most.
std::vector<AttentionMap> show_heads(const TransformerTranslator& model, const Pair& pair, const Corpus& corpus) {
    const NoGrad no_grad;
    std::vector<Tensor> layers;    // (1, heads, T, S) each
    model(batches_in_order(encode({pair}, corpus.source, corpus.target), 1)[0], evaluation, &layers);
    const int T = std::min(6, layers[0].size(2));    // columns: no more fit
    fmt::print("{:18}", "");
    for (int t = 0; t < T; ++t) fmt::print("{:>9}", t < std::ssize(pair.target) ? cut_text(pair.target[t], 8) : "</s>");
    fmt::print("\n");
    std::vector<AttentionMap> maps;
    for (std::size_t layer = 0; layer < layers.size(); ++layer)
        for (int head = 0; head < model.options.heads; ++head) {
            const Tensor weights = select(select(layers[layer], 1, head), 0, 0);    // (T, S)
            AttentionMap map{fmt::format("layer {}, head {}", layer + 1, head + 1),
                             pair.target,
                             pair.source,
                             {weights.data(), weights.data() + weights.size()},
                             {}};
            map.rows.push_back("</s>");
            map.columns.push_back("</s>");
            fmt::print("   {:<15}", map.title);
            for (const int place : argmax_rows(slice(weights, 0, 0, T))) fmt::print("{:>9}", cut_text(map.columns[place], 8));
            fmt::print("\n");
            maps.push_back(map);
        }
    return maps;
}

// ---- 6. The experiment -----------------------------------------------------------------------------------------------------

int transformer(const Options& options) {
    Corpus corpus = read_corpus(options.data);
    check_for(corpus, TransformerTranslator::longest, options.data);
    corpus.tests.resize(std::min<std::size_t>(options.quick ? 1 : 3, corpus.tests.size()));
    std::vector<Pair> pairs = corpus.train;
    std::erase_if(pairs, [](const Pair& pair) { return pair.source.size() > 20; });    // 1 and 2 clauses, and most of 3
    const std::vector<Example> examples = encode(pairs.empty() ? corpus.train : pairs, corpus.source, corpus.target);
    Workers workers(options.threads);
    Random random(options.seed);
    const int source = corpus.source.size(), target = corpus.target.size();
    WrittenOut whole{TransformerTranslator(source, target, random)};
    WrittenOut one_head{TransformerTranslator(source, target, random, {.heads = 1})};
    WrittenOut one_layer{TransformerTranslator(source, target, random, {.encoder_layers = 1, .decoder_layers = 1})};
    WrittenOut bare{TransformerTranslator(source, target, random), false};
    const Tensor x = Tensor::normal({2, 5, 64}, 1, random).requires_grad();    // a sentence of 5 words and one of 3
    const Tensor padding = over_heads(Tensor({2, 5}, {1, 1, 1, 1, 1, 1, 1, 1, 0, 0}));
    MultiheadAttention& self = whole.model.transformer.encoder[0].self_attn;
    const std::vector<Tensor> leaves{x, self.in_proj_weight, self.in_proj_bias, self.out_proj.weight, self.out_proj.bias};
    const Batch batch = BatchStream(examples, 16, random).next();
    fmt::print("1. {:<41}{:>12}{:>12}\n", "Relative difference to the library's", "values", "gradients");
    const Largest differences[] = {
        compare("4 heads, both masks", attend(self, x, x, padding * causal_mask(5)), self(x, x, padding, true).context, leaves),
        compare("the whole model", whole(batch), whole.model(batch), parameters_of(whole))};

    fmt::print("\n2. {:<41}{:>12}{:>12}\n", "What the third word's output depends on", "changes by", "gradient");
    const Largest effects[] = {effect(whole, "the word before", false, 1), effect(whole, "a word of the source", true, 1),
                               effect(whole, "the word after", false, 3), effect(whole, "padding of the source", true, 5)};

    fmt::print("\n3. {:<29}{:>12}", fmt::format("Exact match, {} steps", options.steps), "weights");
    for (const Corpus::Test& test : corpus.tests) fmt::print(" {:>7}", cut_text(test.name, 7));
    const std::vector<double> w = study("4 heads, 2 + 2 layers", whole, corpus, examples, options, workers);
    const std::vector<double> h = study("1 head", one_head, corpus, examples, options, workers);
    const std::vector<double> l = study("1 + 1 layers", one_layer, corpus, examples, options, workers);
    const std::vector<double> b = study("no residuals", bare, corpus, examples, options, workers);
    Pair shown{split("i love you"), split("je t' aime")};    // in no training pair
    if (corpus.source.id("love") == Vocabulary::unknown) shown = corpus.tests[0].pairs[0];
    const auto chance = [n = std::size(corpus.tests[0].pairs)](double p) {    // two standard errors of a difference of shares
        return 2 * std::sqrt(2 * p * (1 - p) / static_cast<double>(n));
    };
    fmt::print("\n   (of {} sentences, {:.2f} near 1 or {:.2f} near a half may be chance)\n", corpus.tests[0].pairs.size(),
               chance(0.95), chance(0.5));
    fmt::print("\n4. What each head of the first model looks at most, for each word that it says\n");
    const std::vector<AttentionMap> maps = show_heads(whole.model, shown, corpus);
    fmt::print("{}", terminal::attention_map(maps[4], terminal::style_of(stdout)));
    if (!options.out.empty()) write_file(options.out / "heads.svg", svg::small_multiples("The heads of the decoder", maps, 4));

    Claims claims;
    if (options.usual) {
        for (const Largest& d : differences) claims.check(d.value == 0 && d.gradient < 1e-5, "written out and library agree");
        claims.check(effects[0].value > 0 && effects[1].value > 0, "what is not masked has an effect");
        for (const Largest& e : {effects[2], effects[3]})
            claims.check(e.value == 0 && e.gradient == 0, "what is masked has no effect");
        claims.check(w[0] >= 0.92 && w[1] >= 0.80, "it translates one clause and two");
        claims.check(h[1] >= w[1] - 0.12 && l[1] >= w[1] - 0.12, "one head or one layer does nearly as well");
        claims.check(b[0] <= 0.02, "without residuals no sentence is right");
    }
    return claims.report();
}

}    // namespace

int main(int argc, char** argv) {
    return run_program(argc, argv,
                       {.name = "11_transformer",
                        .question = "What do heads, layers and residuals add?",
                        .steps = 600,
                        .quick_steps = 3,
                        .out = {},
                        .data = LOOKBACK_DATASETS "/english-french",
                        .own = {}},
                       transformer);
}

// Exercises (solutions/11_transformer.md)
//   1. Heads share the width: K = C / heads. Give a model 16 heads. How many weights has it, and how well does it translate?
//   2. How often does a head look at the right word? look_back and alignment_accuracy tell, for a model that shows one head.
//   3. Why is nothing learned without residuals? Measure how alike the words of a sentence are at the top of the encoder.
//
// Break it: change one line, say what will happen, run
//   masked_softmax(scores, mask)     masked_softmax(scores, mask * 0 + 1): the future is seen. Is the exact match to be trusted?
//   + slice(model.positions, ...)    + slice(model.positions, ...) * 0: no word knows where it stands
//   (1 / std::sqrt(...))             1: the first table, and then the last. Which model minds most, and why?
//
// Questions
//   Where is a word's place in the sentence known to attention?  In x: embed adds it. Without, the order of the source changes
//     nothing; that of the target a little, since the causal mask lets each word see only those before it (10, exercise 3).
//   Which line lets a gradient reach the decoder's first layer without passing any attention?  return residual ? x + change : change.
//     (To the encoder each gradient passes one, the look across.)
//   Why has one head as many weights as four?  They are (C, C) matrices either way; heads only decide which of the C numbers
//     are compared with each other.
//   Why does no word of the future have an effect, and not just a small one?  Its weight is exactly 0. (Who adds -1e9 to its score
//     has that in a float, too, unless all is hidden: then each place gets the same share, and here none.)
//   What is computed at once here that an RNN computes step by step?  All places of a sentence, within a layer, while it learns.
