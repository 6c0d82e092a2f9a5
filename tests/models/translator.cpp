#include "lookback/models/translator.h"

#include <numeric>

#include "lookback/nn/positions.h"
#include "lookback/ops/softmax.h"
#include "ops/expect.h"

using namespace lookback;
using namespace lookback::expect;

namespace {

// Sources of 4, 2 and 3 tokens with </s>, targets of 2, 4 and 0 without: every row but one is padded on each side.
const std::vector<Example> examples = {{{4, 5, 6, 2}, {4, 5}}, {{7, 2}, {6, 7, 4, 6}}, {{8, 4, 2}, {}}};
constexpr int source_words = 9, target_words = 8;

Batch batch_of(std::vector<int> rows) { return make_batch(examples, rows); }

Batch all_examples() { return batch_of({0, 1, 2}); }

template <class Model>
Model make() {
    Random random(1);
    if constexpr (std::is_same_v<Model, FixedVector>) return Model(source_words, target_words, random, 5, 6);
    if constexpr (std::is_same_v<Model, AttentionTranslator>) return Model(source_words, target_words, random, 5, 6, 4);
    if constexpr (std::is_same_v<Model, TransformerTranslator>)
        return Model(source_words, target_words, random, {.size = 6, .heads = 3, .feed_forward = 8});
}

// Logits of one row, without its padding.
Tensor sentence(const Tensor& logits, const Batch& batch, int row) {
    return slice(select(logits, 0, row), 0, 0, batch.target_lengths[row]);
}

Values row_gradient(const Tensor& table, int row) {
    const Values all = gradient(table);
    const int width = table.size(1);
    return Values(all.begin() + row * width, all.begin() + (row + 1) * width);
}

}    // namespace

TEST_CASE_TEMPLATE("decoding step by step equals the full forward pass, to the bit", Model, FixedVector, AttentionTranslator,
                   TransformerTranslator) {
    const Model model = make<Model>();
    const Batch batch = all_examples();
    const int B = batch.size(), T = batch.target_in.shape[1];
    const Tensor whole = model(batch);
    auto state = model.start(batch.source, batch.source_lengths);
    for (int t = 0; t < T; ++t) {
        std::vector<int> tokens;
        for (int b = 0; b < B; ++b) tokens.push_back(batch.target_in.values[b * T + t]);
        CHECK(model.step(tokens, state).values() == select(whole, 1, t).values());
        if constexpr (requires { state.weights; }) CHECK(state.weights.values() == select(model.look(batch), 1, t).values());
    }
}

TEST_CASE_TEMPLATE("sentences can be let go of, or said twice, before the first step", Model, FixedVector, AttentionTranslator,
                   TransformerTranslator) {
    const Model model = make<Model>();
    const Batch batch = all_examples();
    auto all = model.start(batch.source, batch.source_lengths), some = model.start(batch.source, batch.source_lengths);
    some.keep({2, 0, 2});
    const Tensor of_all = model.step({1, 1, 1}, all), of_some = model.step({1, 1, 1}, some);
    CHECK(of_some.values() == index_select(of_all, {2, 0, 2}).values());
}

TEST_CASE("sizes of which no model can be made are refused, with the line that asks for it") {
    Random random(1);
    const std::string here = "tests/models/translator.cpp:";
    const auto message_of = [](const auto& make) -> std::string {
        try {
            make();
        } catch (const std::invalid_argument& error) {
            return error.what();
        }
        return "(no exception)";
    };
    const std::string odd = message_of([&] { AttentionTranslator(9, 9, random, 6, 7); });
    CHECK(odd.starts_with("AttentionTranslator: a state of 7 cannot be read half each way [" + here));
    const std::string heads = message_of([&] { TransformerTranslator(9, 9, random, {.size = 8, .heads = 3}); });
    CHECK(heads.starts_with("multi-head attention: a width of 8 cannot be cut into 3 heads [" + here));
}

TEST_CASE("a Transformer without a decoder layer, and a sentence beyond its positions, are refused") {
    Random random(1);
    CHECK_THROWS_AS(TransformerTranslator(9, 8, random, {.size = 6, .heads = 3, .decoder_layers = 0}), std::invalid_argument);
    const TransformerTranslator model = make<TransformerTranslator>();
    const int S = TransformerTranslator::longest + 1;
    CHECK_THROWS_WITH_AS(model.start({{1, S}, std::vector<int>(S, 4)}, {S}),
                         "TransformerTranslator: 1025 tokens: at most 1024 have a position", std::invalid_argument);
    CHECK_NOTHROW(model.start({{1, S - 1}, std::vector<int>(S - 1, 4)}, {S - 1}));
}

TEST_CASE_TEMPLATE("a sentence's logits do not depend on the others in its batch, nor on its padding, to the bit", Model,
                   FixedVector, AttentionTranslator, TransformerTranslator) {
    const Model model = make<Model>();
    const Batch together = all_examples();
    const Tensor logits = model(together);
    for (int row = 0; row < together.size(); ++row) {
        const Batch alone = batch_of({row});
        CHECK(sentence(logits, together, row).values() == sentence(model(alone), alone, 0).values());
    }
}

TEST_CASE_TEMPLATE("the loss is the mean over the real tokens, however they are batched", Model, FixedVector, AttentionTranslator,
                   TransformerTranslator) {
    const Model model = make<Model>();
    const auto loss_of = [&](const Batch& batch) {
        return double{cross_entropy(model(batch), batch.target_out, {.ignore_index = Vocabulary::pad}).item()};
    };
    double total = 0;
    for (int row = 0; row < 3; ++row) total += loss_of(batch_of({row})) * batch_of({row}).target_tokens;
    CHECK(loss_of(all_examples()) == doctest::Approx(total / (3 + 5 + 1)).epsilon(1e-6));
}

TEST_CASE_TEMPLATE("padding has exactly no effect on loss and gradients: its embeddings receive none", Model, FixedVector,
                   AttentionTranslator, TransformerTranslator) {
    Model model = make<Model>();
    const Batch batch = all_examples();
    const auto loss_of = [&] { return cross_entropy(model(batch), batch.target_out, {.ignore_index = Vocabulary::pad}); };
    zero_grad(model);
    const Tensor loss = loss_of();
    backward(loss);
    const int width = model.source_embedding.weight.size(1);
    CHECK(row_gradient(model.source_embedding.weight, Vocabulary::pad) == Values(width, 0));
    CHECK(row_gradient(model.target_embedding.weight, Vocabulary::pad) == Values(width, 0));
    CHECK(row_gradient(model.source_embedding.weight, 4) != Values(width, 0));
    std::vector<Values> gradients;
    for (const Tensor& parameter : parameters_of(model)) gradients.push_back(gradient(parameter));

    for (const Embedding* embedding : {&model.source_embedding, &model.target_embedding})
        for (int i = 0; i < width; ++i) embedding->weight.data()[Vocabulary::pad * width + i] = 100;
    zero_grad(model);
    const Tensor changed = loss_of();
    backward(changed);
    CHECK(changed.item() == loss.item());
    for (std::size_t i = 0; i < gradients.size(); ++i) CHECK(gradient(parameters_of(model)[i]) == gradients[i]);
}

TEST_CASE_TEMPLATE("logits do not depend on later target tokens, which get exactly no gradient", Model, FixedVector,
                   AttentionTranslator, TransformerTranslator) {
    Model model = make<Model>();
    const Batch batch = batch_of({1});    // <s> 6 7 4 6
    Batch changed = batch;
    changed.target_in.values = {1, 6, 5, 5, 5};
    const Tensor first_two = slice(model(batch), 1, 0, 2);
    CHECK(first_two.values() == slice(model(changed), 1, 0, 2).values());
    zero_grad(model);
    backward(sum(first_two * random_tensor(first_two.shape(), 2)));
    const int width = model.target_embedding.weight.size(1);
    CHECK(row_gradient(model.target_embedding.weight, 7) == Values(width, 0));
    CHECK(row_gradient(model.target_embedding.weight, 4) == Values(width, 0));
    CHECK(row_gradient(model.target_embedding.weight, 6) != Values(width, 0));
}

TEST_CASE_TEMPLATE("where a model looks sums to 1 over the real tokens and is exactly 0 at padding", Model, AttentionTranslator,
                   TransformerTranslator) {
    const Model model = make<Model>();
    const Batch batch = all_examples();
    const Tensor weights = model.look(batch);
    REQUIRE(weights.shape() == Shape{3, 5, 4});
    for (int b = 0; b < 3; ++b)
        for (int t = 0; t < 5; ++t) {
            const Values row = select(select(weights, 0, b), 0, t).values();
            CHECK(std::accumulate(row.begin(), row.end(), 0.0) == doctest::Approx(1));
            for (int s = batch.source_lengths[b]; s < 4; ++s) CHECK(row[s] == 0);
        }
}

// Bahdanau et al. 2015, eq. 6: the score of step t compares s_{t-1}, which has not seen the token y_{t-1} that the step is given.
// Luong et al. 2015 compare s_t, which has.
TEST_CASE("additive attention looks with s_{t-1}: the token a step is given moves the look of the next step, not its own") {
    const AttentionTranslator model = make<AttentionTranslator>();
    const Batch batch = batch_of({1});
    Batch changed = batch;
    changed.target_in.values[2] = 5;    // y_1, given at t = 2
    const Tensor weights = model.look(batch), after = model.look(changed);
    CHECK(slice(weights, 1, 0, 3).values() == slice(after, 1, 0, 3).values());
    CHECK(select(weights, 1, 3).values() != select(after, 1, 3).values());
}

// The decoder written out, with its state both before and after each step.
TEST_CASE("additive attention compares Bahdanau's s_{t-1} and not Luong's s_t") {
    const AttentionTranslator model = make<AttentionTranslator>();
    const Tensor& v = model.attention.energy.weight;
    for (std::size_t i = 0; i < v.size(); ++i) v.data()[i] *= 100;    // so that small differences of the state tell
    const Batch batch = batch_of({1});
    const int H = model.decoder.hidden(), T = batch.target_in.shape[1];
    const Gru::Output encoded = model.encoder(model.source_embedding(batch.source), batch.source_lengths);
    const auto look_from = [&](const Tensor& h) {
        return model.attention(reshape(h, {1, 1, H}), model.attention.prepare(encoded.y), encoded.y, key_padding(batch.source));
    };
    const Tensor looks = model.look(batch);    // (1, T, S)
    Tensor h = encoded.state;
    for (int t = 0; t < T; ++t) {
        const Attended before = look_from(h);
        const Tensor token = model.target_embedding({{1}, {batch.target_in.values[t]}});
        h = model.decoder(concat({token, reshape(before.context, {1, H})}, 1), h);
        CHECK(distance(select(looks, 1, t).values(), before.weights.values()) <= 1e-6);
        CHECK(distance(select(looks, 1, t).values(), look_from(h).weights.values()) > 1e-4);
    }
}

TEST_CASE("the first look compares the encoder's last state, forward | backward") {
    const AttentionTranslator model = make<AttentionTranslator>();
    const Batch batch = batch_of({0});
    const Gru::Output encoded = model.encoder(model.source_embedding(batch.source), batch.source_lengths);
    const Attended attended = model.attention(reshape(encoded.state, {1, 1, 6}), model.attention.prepare(encoded.y), encoded.y,
                                              key_padding(batch.source));
    CHECK(reshape(attended.weights, {1, 4}).values() == select(model.look(batch), 1, 0).values());
}

TEST_CASE("the nodes of the translator with attention are made in an order that does not depend on the compiler") {
    const Tensor logits = make<AttentionTranslator>()(batch_of({0, 1}));
    int sums = 0, scores = 0;
    for (const Node* node : graph_of(logits)) {
        const std::string op = node->op;
        if (op == "add" && node->inputs[1].node->op == std::string("linear")) {
            CHECK(node->inputs[0].node->id < node->inputs[1].node->id);
            ++sums;
        }
        if (op == "additive_scores") {
            CHECK(node->inputs[0].node->id < node->inputs[2].node->id);
            ++scores;
        }
    }
    CHECK(sums > 1);
    CHECK(scores == sums);
}

TEST_CASE("the fixed vector's decoder sees the encoder's last state and nothing else") {
    const FixedVector model = make<FixedVector>();
    const Batch batch = batch_of({0});
    auto state = model.start(batch.source, batch.source_lengths);
    CHECK(state.h.values() == model.encoder(model.source_embedding(batch.source)).state.values());
    const Tensor token = model.target_embedding({{1}, {1}});
    const Tensor expected = model.out(model.decoder(concat({token, state.h}, 1), state.h));
    CHECK(distance(model.step({1}, state).values(), expected.values()) <= 1e-6);
}

TEST_CASE("the Transformer's embeddings are scaled by the square root of the width, and positions added") {
    const TransformerTranslator model = make<TransformerTranslator>();
    const Batch batch = batch_of({0});
    const auto embedded = [](const Embedding& embedding, const Ids& ids) {
        return embedding(ids) * std::sqrt(6.0) + sinusoidal_positions(ids.shape[1], 6);
    };
    const Tensor expected =
        model.out(model.transformer(embedded(model.source_embedding, batch.source),
                                    embedded(model.target_embedding, batch.target_in), key_padding(batch.source)));
    CHECK(model(batch).values() == expected.values());
}

TEST_CASE("the three models of 12_contrast are about as large as each other") {
    Random random(1);
    FixedVector fixed(200, 200, random);
    AttentionTranslator attention(200, 200, random);
    TransformerTranslator transformer(200, 200, random);
    // By hand, with V = 200, E = C = 64, H = 128, A = 64, F = 256. A GRU from I to H has 3 H (I + H + 2) parameters.
    const auto gru = [](std::size_t I, std::size_t H) { return 3 * H * (I + H + 2); };
    const std::size_t embeddings = 2 * 200 * 64;
    CHECK(parameter_count(fixed) == embeddings + gru(64, 128) + gru(192, 128) + 200 * 129);
    CHECK(parameter_count(attention) ==
          embeddings + 2 * gru(64, 64) + 2 * 64 * 128 + 64 + gru(192, 128) + 200 * (128 + 128 + 64 + 1));
    const std::size_t attention_layer = 4 * 64 * 65, feed_forward = 256 * 65 + 64 * 257, norm = 2 * 64;
    CHECK(parameter_count(transformer) == embeddings + 2 * (attention_layer + feed_forward + 2 * norm) +
                                              2 * (2 * attention_layer + feed_forward + 3 * norm) + 2 * norm + 200 * 65);
}

TEST_CASE("a Transformer has a position for each token up to the longest sentence, step by step too") {
    const TransformerTranslator model = make<TransformerTranslator>();
    auto state = model.start({{1, 1}, {2}}, {1});
    state.length = TransformerTranslator::longest - 1;
    CHECK_NOTHROW(model.step({4}, state));
    CHECK_THROWS_WITH_AS(model.step({4}, state), "TransformerTranslator: 1025 tokens: at most 1024 have a position",
                         std::invalid_argument);
}

TEST_CASE("in training a Transformer drops numbers of what it reads and of what it has said, embedded") {
    Random random(1);
    TransformerTranslator model(
        source_words, target_words, random,
        {.size = 6, .heads = 3, .feed_forward = 8, .encoder_layers = 0, .decoder_layers = 1, .dropout = 0.5});
    const Batch batch = batch_of({0});
    const auto still = [](const Tensor& table, int row) {    // numbers of a row that got no gradient
        const Values of_row = row_gradient(table, row);
        return std::count(of_row.begin(), of_row.end(), real(0));
    };
    int of_source = 0, of_target = 0;
    for (int seed = 0; seed < 10; ++seed) {
        Random dropping(static_cast<std::uint64_t>(seed));
        zero_grad(model);
        backward(cross_entropy(model(batch, {&dropping}), batch.target_out));
        of_source += static_cast<int>(still(model.source_embedding.weight, 5));
        of_target += static_cast<int>(still(model.target_embedding.weight, 4));
    }
    CHECK(of_source > 10);
    CHECK(of_target > 10);
}

TEST_CASE("a step of the fixed vector takes a token for each sentence") {
    const FixedVector model = make<FixedVector>();
    const Batch batch = batch_of({0, 1});
    auto state = model.start(batch.source, batch.source_lengths);
    CHECK_THROWS_WITH_AS(model.step({1}, state), "step: 1 tokens for 2 sentences", std::invalid_argument);
}
