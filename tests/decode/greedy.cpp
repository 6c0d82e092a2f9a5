#include "lookback/decode/greedy.h"

#include "lookback/decode/evaluate.h"
#include "lookback/models/translator.h"
#include "ops/expect.h"

using namespace lookback;
using namespace lookback::expect;
using Numbers = std::vector<int>;

namespace {

// Says the source, token by token, and </s> with it; and looks at what it says. Counts its steps.
struct Parrot {
    struct State {
        Ids source;
        std::vector<int> given;    // the tokens it was given in the last step
        int steps = 0;
        Tensor weights;
    };
    static constexpr int words = 10;
    int* steps = nullptr;

    State start(const Ids& source, const std::vector<int>&) const { return {source, {}, 0, {}}; }
    Tensor step(const std::vector<int>& tokens, State& state) const {
        if (state.steps == 0) CHECK(tokens == Numbers(tokens.size(), Vocabulary::begin));
        const int B = state.source.shape[0], S = state.source.shape[1], t = std::min(state.steps, S - 1);
        Tensor logits({B, words});
        state.weights = Tensor({B, S});
        for (int b = 0; b < B; ++b) {
            if (state.steps > 0 && tokens[b] != Vocabulary::pad) CHECK(tokens[b] == state.source.values[b * S + t - 1]);
            logits.data()[b * words + state.source.values[b * S + t]] = 1;
            state.weights.data()[b * S + t] = 1;
        }
        ++state.steps;
        if (steps) ++*steps;
        return logits;
    }
};

const std::vector<Example> examples = {{{4, 5, 6, 2}, {4, 5, 6}}, {{7, 2}, {6, 7}}, {{2}, {}}, {{6, 4, 2}, {6, 4}}};

template <class Model>
Model make() {
    Random random(1);
    if constexpr (std::is_same_v<Model, FixedVector>) return Model(9, 8, random, 5, 6);
    if constexpr (std::is_same_v<Model, AttentionTranslator>) return Model(9, 8, random, 5, 6, 4);
    if constexpr (std::is_same_v<Model, TransformerTranslator>)
        return Model(9, 8, random, {.size = 6, .heads = 3, .feed_forward = 8});
}

Batch batch_of(Numbers rows) { return make_batch(examples, rows); }

}    // namespace

TEST_CASE("argmax_rows takes the largest of each row, and the first of equals") {
    CHECK(argmax_rows(Tensor({3, 3}, {1, 5, 2, 7, 7, 7, -3, -2, -1})) == Numbers{1, 0, 2});
    std::vector<real> many(2 * 50, -1);
    many[17] = many[40] = many[50 + 49] = 0;
    CHECK(argmax_rows(Tensor({2, 50}, many)) == Numbers{17, 49});
}

TEST_CASE("argmax_rows says which row has a NaN") {
    CHECK_THROWS_WITH_AS(argmax_rows(Tensor({2, 2}, {1, 2, 3, NAN})), "argmax: row 1 has a NaN, or nothing to choose from",
                         std::runtime_error);
}

TEST_CASE("lengths that are not those of the sentences are refused, before anything is read") {
    Random random(1);
    const TransformerTranslator model(9, 9, random, {.size = 4, .heads = 2});
    for (const std::vector<int>& lengths : {std::vector<int>{}, {4}, {0}, {1, 1}})
        CHECK_THROWS_AS(greedy(model, {{1, 3}, {4, 5, 2}}, lengths, 5), std::invalid_argument);
    CHECK_THROWS_AS(greedy(model, {{3}, {4, 5, 2}}, {3}, 5), std::invalid_argument);
    CHECK_NOTHROW(greedy(model, {{1, 3}, {4, 5, 2}}, {3}, 5));
    CHECK_THROWS_AS(argmax_rows(Tensor({2, 3, 5})), std::invalid_argument);
}

TEST_CASE("greedy search begins with <s>, feeds each token to the next step and stops a row at </s>") {
    int steps = 0;
    const Parrot parrot{&steps};
    const Batch batch = batch_of({0, 1, 2, 3});
    const std::vector<Translation> translations = greedy(parrot, batch.source, batch.source_lengths, 20);
    REQUIRE(translations.size() == 4);
    CHECK(translations[0].tokens == Numbers{4, 5, 6});
    CHECK(translations[1].tokens == Numbers{7});
    CHECK(translations[2].tokens.empty());
    CHECK(translations[3].tokens == Numbers{6, 4});
    CHECK(steps == 4);    // no more than the longest row needs
}

struct Short : Parrot {
    static constexpr int longest = 1;
};

TEST_CASE("greedy search stops at the longest length it may say") {
    int steps = 0;
    const Parrot parrot{&steps};
    const Batch batch = batch_of({0, 2});
    const std::vector<Translation> translations = greedy(parrot, batch.source, batch.source_lengths, 2);
    CHECK(translations[0].tokens == Numbers{4, 5});
    CHECK(translations[0].attention.rows == 2);    // </s> was not said
    CHECK(translations[1].tokens.empty());
    CHECK(steps == 2);
    CHECK(greedy(parrot, batch.source, batch.source_lengths, 0)[0].tokens.empty());
    CHECK(greedy(Short(), batch.source, batch.source_lengths, 2)[0].tokens == Numbers{4});
}

// A Parrot whose state lets go of sentences, and counts the rows that it was asked to step.
struct LettingGo : Parrot {
    struct State : Parrot::State {
        void keep(const Numbers& going) {
            Ids kept{{static_cast<int>(going.size()), source.shape[1]}, {}};
            for (const int row : going)
                for (int s = 0; s < source.shape[1]; ++s) kept.values.push_back(source.values[row * source.shape[1] + s]);
            source = kept;
        }
    };
    int* rows = nullptr;

    State start(const Ids& source, const Numbers& lengths) const { return {Parrot::start(source, lengths)}; }
    Tensor step(const Numbers& tokens, State& state) const {
        *rows += static_cast<int>(tokens.size());
        return Parrot::step(tokens, state);
    }
};

TEST_CASE("a state that can let go of sentences is not asked about those that are over, and says the same") {
    int rows = 0;
    LettingGo parrot;
    parrot.rows = &rows;
    const Batch batch = batch_of({0, 1, 2, 3});
    const std::vector<Translation> translations = greedy(parrot, batch.source, batch.source_lengths, 20);
    const std::vector<Translation> expected = greedy(Parrot(), batch.source, batch.source_lengths, 20);
    for (int b = 0; b < 4; ++b) {
        CHECK(translations[b].tokens == expected[b].tokens);
        CHECK(translations[b].attention.weights == expected[b].attention.weights);
    }
    CHECK(rows == 4 + 3 + 2 + 1);
}

TEST_CASE("a translation's map has a row for each token and </s>, and a column for each real source token") {
    const Batch batch = batch_of({0, 3});
    const Translation translation = greedy(Parrot(), batch.source, batch.source_lengths, 20)[1];
    CHECK(translation.attention.rows == 3);
    CHECK(translation.attention.columns == 3);
    CHECK(translation.attention.weights == std::vector<float>{1, 0, 0, 0, 1, 0, 0, 0, 1});

    const Vocabulary words = Vocabulary::listed({"four", "five", "six"});
    AttentionMap map = map_of(translation, {"a", "b"}, words);
    CHECK(map.title == "a b");
    CHECK(map.rows == std::vector<std::string>{"six", "four", "</s>"});
    CHECK(map.columns == std::vector<std::string>{"a", "b", "</s>"});
    CHECK(map.weights == std::vector<double>{1, 0, 0, 0, 1, 0, 0, 0, 1});
    map = map_of(greedy(Parrot(), batch.source, batch.source_lengths, 1)[1], {"a", "b"}, words);    // cut short
    CHECK(map.rows == std::vector<std::string>{"six"});
    CHECK(map.weights == std::vector<double>{1, 0, 0});
    map = map_of({{Vocabulary::pad, 4, Vocabulary::begin}, {4, 1, {1, 1, 1, 1}}}, {}, words);    // one who has learned nothing
    CHECK(map.rows == std::vector<std::string>{"<pad>", "four", "<s>", "</s>"});
}

TEST_CASE_TEMPLATE("a sentence's translation does not depend on its batch-mates", Model, FixedVector, AttentionTranslator,
                   TransformerTranslator) {
    const Model model = make<Model>();
    model.out.bias.data()[Vocabulary::end] -= 1;    // so that it does not fall silent at once
    const Batch together = batch_of({0, 1, 2, 3});
    const std::vector<Translation> translations = greedy(model, together.source, together.source_lengths, 12);
    std::size_t said = 0;
    for (int row = 0; row < 4; ++row) {
        INFO(row);
        const Batch alone = batch_of({row});
        const Translation translation = greedy(model, alone.source, alone.source_lengths, 12)[0];
        CHECK(translation.tokens == translations[row].tokens);
        CHECK(translation.attention.rows == translations[row].attention.rows);
        CHECK(translation.attention.columns == translations[row].attention.columns);
        CHECK(translation.attention.weights == translations[row].attention.weights);
        said += translation.tokens.size();
    }
    CHECK(said > 0);
}

TEST_CASE("greedy search records no graph") {
    const FixedVector model = make<FixedVector>();
    const Batch batch = batch_of({0});
    greedy(model, batch.source, batch.source_lengths, 3);
    CHECK(model(batch).node->requires_grad);    // and recording goes on afterwards
    CHECK(model.out.weight.grad() == nullptr);
}

TEST_CASE("evaluate brings the translations back in the order of the examples and scores them") {
    for (int threads = 1; threads <= 2; ++threads) {
        Workers workers(threads);
        const Evaluation result = evaluate(Parrot(), examples, workers);
        REQUIRE(result.translations.size() == 4);
        CHECK(result.translations[0].tokens == Numbers{4, 5, 6});
        CHECK(result.translations[1].tokens == Numbers{7});
        CHECK(result.translations[3].tokens == Numbers{6, 4});
        CHECK(result.exact_match == 0.75);          // all but the second, where 6 7 is right
        CHECK(result.token_accuracy == 5.0 / 7);    // 7 positions, of which 5 agree
    }
}

TEST_CASE("evaluate goes through more examples than fit into one batch, whatever the number of threads") {
    std::vector<Example> many;
    for (int i = 0; i < 173; ++i) many.push_back(examples[i % 4]);
    for (int threads = 1; threads <= 3; ++threads) {
        Workers workers(threads);
        const Evaluation result = evaluate(Parrot(), many, workers);
        for (std::size_t i = 0; i < many.size(); ++i) {
            const Numbers said(many[i].source.begin(), many[i].source.end() - 1);
            CHECK(result.translations[i].tokens == said);
        }
    }
}

TEST_CASE_TEMPLATE("look_back gives one map an example, of its real tokens, whose rows sum to 1", Model, AttentionTranslator,
                   TransformerTranslator) {
    const Model model = make<Model>();
    Workers workers(2);
    const std::vector<AttentionWeights> maps = look_back(model, examples, workers);
    REQUIRE(maps.size() == 4);
    for (std::size_t i = 0; i < examples.size(); ++i) {
        CHECK(maps[i].rows == static_cast<int>(examples[i].target.size()) + 1);
        CHECK(maps[i].columns == static_cast<int>(examples[i].source.size()));
        REQUIRE(maps[i].weights.size() == static_cast<std::size_t>(maps[i].rows * maps[i].columns));
        for (int row = 0; row < maps[i].rows; ++row) {
            double total = 0;
            for (int column = 0; column < maps[i].columns; ++column) total += maps[i].at(row, column);
            CHECK(total == doctest::Approx(1));
        }
    }
}

TEST_CASE("while greedy search lives, a model records nothing, though its weights want gradients") {
    struct Watched {
        struct State {};
        Tensor w = Tensor({1, 5}, {0, 0, 0, 0, 1}).requires_grad();
        bool* recorded;
        State start(const Ids&, const std::vector<int>&) const { return {}; }
        Tensor step(const std::vector<int>& tokens, State&) const {
            const Tensor y = w * 1;
            *recorded |= y.node->requires_grad;
            return expand(y, {static_cast<int>(tokens.size()), 5});
        }
    };
    bool recorded = false;
    Watched model;
    model.recorded = &recorded;
    greedy(model, {{1, 2}, {4, 2}}, {2}, 3);
    CHECK_FALSE(recorded);
}
