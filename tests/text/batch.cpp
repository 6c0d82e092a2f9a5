#include "lookback/text/batch.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <stdexcept>

using namespace lookback;
using Numbers = std::vector<int>;

namespace {

// Three examples of different lengths: sources of 3, 1 and 2 tokens with </s> = 2, targets of 1, 2 and 0.
const std::vector<Example> three = {{{5, 6, 2}, {7}}, {{2}, {8, 9}}, {{5, 2}, {}}};

// `count` examples with sources of 1 to 12 tokens that carry their own index.
std::vector<Example> numbered(int count) {
    std::vector<Example> examples;
    Random random(3);
    for (int i = 0; i < count; ++i) {
        Example example{Numbers(random.below(12), 10 + i), Numbers(random.below(12), 10 + i)};
        example.source.push_back(Vocabulary::end);
        examples.push_back(example);
    }
    return examples;
}

// One row of ids without the columns from `length` on, which must be padding.
Numbers row_of(const Ids& ids, int row, int length) {
    const auto begin = ids.values.begin() + row * ids.shape[1];
    CHECK(std::all_of(begin + length, begin + ids.shape[1], [](int id) { return id == Vocabulary::pad; }));
    return Numbers(begin, begin + length);
}

// Row r of `a` is row s of `b`, padding aside.
void check_same_row(const Batch& a, int r, const Batch& b, int s) {
    REQUIRE(a.source_lengths[r] == b.source_lengths[s]);
    REQUIRE(a.target_lengths[r] == b.target_lengths[s]);
    CHECK(a.examples[r] == b.examples[s]);
    CHECK(row_of(a.source, r, a.source_lengths[r]) == row_of(b.source, s, b.source_lengths[s]));
    CHECK(row_of(a.target_in, r, a.target_lengths[r]) == row_of(b.target_in, s, b.target_lengths[s]));
    CHECK(row_of(a.target_out, r, a.target_lengths[r]) == row_of(b.target_out, s, b.target_lengths[s]));
}

int total(const Numbers& numbers) {
    int sum = 0;
    for (const int number : numbers) sum += number;
    return sum;
}

}    // namespace

TEST_CASE("an example's source ends in </s> and its target has no specials") {
    const Vocabulary source = Vocabulary::of({{"a", "b"}}), target = Vocabulary::of({{"x"}});
    const std::vector<Example> examples = encode({{{"b", "a"}, {"x", "q"}}}, source, target);
    REQUIRE(examples.size() == 1);
    CHECK(examples[0].source == Numbers{5, 4, Vocabulary::end});
    CHECK(examples[0].target == Numbers{4, Vocabulary::unknown});
}

TEST_CASE("a batch pads each row at its end, begins target_in with <s> and ends target_out with </s>") {
    const Batch batch = make_batch(three, Numbers{1, 0, 2});
    CHECK(batch.size() == 3);
    CHECK(batch.examples == Numbers{1, 0, 2});
    CHECK(batch.source.shape == Shape{3, 3});
    CHECK(batch.source.values == Numbers{2, 0, 0, 5, 6, 2, 5, 2, 0});
    CHECK(batch.target_in.shape == Shape{3, 3});
    CHECK(batch.target_in.values == Numbers{1, 8, 9, 1, 7, 0, 1, 0, 0});
    CHECK(batch.target_out.shape == Shape{3, 3});
    CHECK(batch.target_out.values == Numbers{8, 9, 2, 7, 2, 0, 2, 0, 0});
    CHECK(batch.source_lengths == Numbers{1, 3, 2});
    CHECK(batch.target_lengths == Numbers{3, 2, 1});
    CHECK(batch.target_tokens == 6);
}

TEST_CASE("a batch of no rows, or of rows that are not there, is refused") {
    CHECK_THROWS_WITH_AS(make_batch(three, Numbers{}), "make_batch: no rows: a batch has one or more", std::invalid_argument);
    CHECK_THROWS_WITH_AS(make_batch(three, Numbers{3}), "make_batch: row 3 is not one of 3 examples", std::invalid_argument);
    CHECK_THROWS_AS(make_batch(three, Numbers{-1}), std::invalid_argument);
}

TEST_CASE("key_padding is 1 at tokens and 0 at padding") {
    const Tensor mask = key_padding(make_batch(three, Numbers{1, 0, 2}).source);
    CHECK(mask.shape() == Shape{3, 3});
    CHECK(mask.values() == std::vector<real>{1, 0, 0, 1, 1, 1, 1, 1, 0});
}

TEST_CASE("shards deal a batch's rows out in order, nearly evenly, each padded to its own longest row") {
    const std::vector<Example> examples = numbered(11);
    const Batch batch = make_batch(examples, Numbers{10, 3, 4, 0, 1, 2, 9, 8, 7, 6, 5});
    for (const int count : {1, 2, 3, 4, 11}) {
        CAPTURE(count);
        const std::vector<Batch> parts = shards(batch, count);
        REQUIRE(static_cast<int>(parts.size()) == count);
        int row = 0, tokens = 0;
        for (const Batch& part : parts) {
            CHECK(part.size() >= 11 / count);
            CHECK(part.size() <= 11 / count + 1);
            CHECK(part.size() <= parts.front().size());
            CHECK(part.source.shape[1] == *std::max_element(part.source_lengths.begin(), part.source_lengths.end()));
            CHECK(part.target_in.shape[1] == *std::max_element(part.target_lengths.begin(), part.target_lengths.end()));
            CHECK(part.target_out.shape == part.target_in.shape);
            CHECK(part.target_tokens == total(part.target_lengths));
            tokens += part.target_tokens;
            for (int r = 0; r < part.size(); ++r) check_same_row(part, r, batch, row++);
        }
        CHECK(row == 11);
        CHECK(tokens == batch.target_tokens);
    }
}

TEST_CASE("a batch of fewer rows than shards gives one row to each of fewer shards") {
    const std::vector<Batch> parts = shards(make_batch(three, Numbers{2, 0}), 4);
    REQUIRE(parts.size() == 2);
    CHECK(parts[0].source.shape == Shape{1, 2});
    CHECK(parts[1].source.shape == Shape{1, 3});
    CHECK_THROWS_WITH_AS(shards(make_batch(three, Numbers{0}), 0), "shards: count is 0: it must be 1 or more",
                         std::invalid_argument);
}

TEST_CASE("each example comes exactly once an epoch, in a new order each time") {
    const std::vector<Example> examples = numbered(103);
    BatchStream stream(examples, 8, Random(1), 3);
    std::vector<Numbers> orders;
    for (int epoch = 0; epoch < 3; ++epoch) {
        Numbers order, seen(103, 0);
        int smaller = 0;
        while (stream.epoch() == epoch) {
            const Batch batch = stream.next();
            CHECK(batch.size() <= 8);
            smaller += batch.size() < 8 ? 1 : 0;
            for (int row = 0; row < batch.size(); ++row) {
                const int example = batch.examples[row];
                order.push_back(example);
                ++seen[example];
                CHECK(row_of(batch.source, row, batch.source_lengths[row]) == examples[example].source);
            }
        }
        CHECK(seen == Numbers(103, 1));
        CHECK(smaller == 1);
        orders.push_back(order);
    }
    CHECK(orders[0] != orders[1]);
    CHECK(orders[1] != orders[2]);
}

TEST_CASE("the order of the batches depends on the seed only") {
    const std::vector<Example> examples = numbered(50);
    const auto first_batches = [&](std::uint64_t seed) {
        BatchStream stream(examples, 4, Random(seed));
        std::vector<Numbers> rows;
        for (int i = 0; i < 30; ++i) rows.push_back(stream.next().examples);
        return rows;
    };
    CHECK(first_batches(1) == first_batches(1));
    CHECK(first_batches(1) != first_batches(2));
    CHECK(first_batches(1)[1] == Numbers{37, 34, 28, 33});    // on every machine
}

TEST_CASE("a stream goes on from a copy, or from the epoch and position of another") {
    const std::vector<Example> examples = numbered(50);
    BatchStream stream(examples, 4, Random(1));
    for (int i = 0; i < 17; ++i) stream.next();
    CHECK(stream.epoch() == 1);
    CHECK(stream.position() == 4);
    BatchStream copy = stream, resumed(examples, 4, Random(1));
    resumed.seek(stream.epoch(), stream.position());
    for (int i = 0; i < 30; ++i) {
        const Numbers expected = stream.next().examples;
        CHECK(copy.next().examples == expected);
        CHECK(resumed.next().examples == expected);
    }
    CHECK_THROWS_WITH_AS(stream.seek(2, 13), "BatchStream: no batch 13 in epoch 2: an epoch has batches 0 .. 12",
                         std::invalid_argument);
}

TEST_CASE("the fingerprint of a stream is that of its examples, sizes and seed, however far it has come") {
    const std::vector<Example> examples = three, other_target = {{{5, 6, 2}, {8}}, {{2}, {8, 9}}, {{5, 2}, {}}},
                               other_source = {{{6, 6, 2}, {7}}, {{2}, {8, 9}}, {{5, 2}, {}}},
                               cut_elsewhere = {{{5, 6}, {2, 7}}, {{2}, {8, 9}}, {{5, 2}, {}}};
    BatchStream stream(examples, 2, Random(1), 3);
    const std::uint64_t fingerprint = stream.fingerprint();
    stream.next();
    CHECK(stream.fingerprint() == fingerprint);
    CHECK(fingerprint == 15745077281063658232u);    // on every machine
    CHECK(BatchStream(examples, 3, Random(1), 3).fingerprint() != fingerprint);
    CHECK(BatchStream(examples, 2, Random(2), 3).fingerprint() != fingerprint);
    CHECK(BatchStream(examples, 2, Random(1), 2).fingerprint() != fingerprint);
    CHECK(BatchStream(other_target, 2, Random(1), 3).fingerprint() != fingerprint);
    CHECK(BatchStream(other_source, 2, Random(1), 3).fingerprint() != fingerprint);
    CHECK(BatchStream(cut_elsewhere, 2, Random(1), 3).fingerprint() != fingerprint);
}

TEST_CASE("batches of like length need much less padding than random ones") {
    const std::vector<Example> examples = numbered(400);
    const auto columns = [&](int pool) {
        BatchStream stream(examples, 10, Random(1), pool);
        int sum = 0;
        for (int i = 0; i < 40; ++i) sum += stream.next().source.shape[1];
        return sum;
    };
    int ideal = 0;
    for (const Batch& batch : batches_in_order(examples, 10)) ideal += batch.source.shape[1];
    CHECK(columns(40) == ideal);    // one pool of everything
    CHECK(columns(16) < ideal * 1.1);
    CHECK(columns(1) > ideal * 1.4);    // no sorting at all
}

TEST_CASE("a stream of nothing, or with sizes below 1, is refused") {
    CHECK_THROWS_WITH_AS(BatchStream(three, 0, Random(1)), "BatchStream: batch_size is 0: it must be 1 or more",
                         std::invalid_argument);
    CHECK_THROWS_WITH_AS(BatchStream(three, 1, Random(1), -2), "BatchStream: pool is -2: it must be 1 or more",
                         std::invalid_argument);
    const std::vector<Example> none;
    CHECK_THROWS_WITH_AS(BatchStream(none, 1, Random(1)), "BatchStream: no examples: is the training file empty?",
                         std::invalid_argument);
}

TEST_CASE("batches for evaluation hold each example exactly once, short sources first") {
    const std::vector<Example> examples = numbered(23);
    Numbers seen(23, 0);
    int longest = 0;
    const std::vector<Batch> batches = batches_in_order(examples, 5);
    CHECK(batches.size() == 5);
    CHECK(batches.back().size() == 3);
    for (const Batch& batch : batches) {
        for (int row = 0; row < batch.size(); ++row) {
            ++seen[batch.examples[row]];
            CHECK(batch.source_lengths[row] >= longest);
            longest = batch.source_lengths[row];
        }
    }
    CHECK(seen == Numbers(23, 1));
}

TEST_CASE("no epoch and no batch is before the first") {
    BatchStream stream(three, 1, Random(1));
    CHECK_THROWS_AS(stream.seek(-1, 0), std::invalid_argument);
    CHECK_THROWS_AS(stream.seek(0, -1), std::invalid_argument);
}
