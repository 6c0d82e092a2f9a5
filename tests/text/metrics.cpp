#include "lookback/text/metrics.h"

#include <doctest/doctest.h>

#include <cmath>
#include <stdexcept>

using namespace lookback;
using Sentences = std::vector<std::vector<int>>;
using Maps = std::vector<AttentionWeights>;
using Gold = std::vector<Alignment>;

TEST_CASE("exact match counts the sentences that are right from the first token to the last") {
    const Sentences references = {{4, 5, 6}, {4, 5}, {}, {7}};
    CHECK(exact_match(references, references) == 1);
    CHECK(exact_match(Sentences{{4, 5, 6}, {4, 5, 6}, {}, {8}}, references) == 0.5);
    CHECK(exact_match(Sentences{}, Sentences{}) == 0);
}

TEST_CASE("token accuracy counts the positions of the longer sentence of each pair") {
    CHECK(token_accuracy(Sentences{{4, 5, 6}}, Sentences{{4, 9, 6}}) == doctest::Approx(2.0 / 3));
    CHECK(token_accuracy(Sentences{{4, 5, 6, 6}}, Sentences{{4, 5}}) == 0.5);               // two too many
    CHECK(token_accuracy(Sentences{{4, 5}}, Sentences{{4, 5, 6, 7}}) == 0.5);               // two too few
    CHECK(token_accuracy(Sentences{{5, 6}}, Sentences{{4, 5, 6}}) == 0);                    // one left out shifts the rest
    CHECK(token_accuracy(Sentences{{4}, {5, 5, 5}}, Sentences{{4}, {6, 6, 6}}) == 0.25);    // over all, not a mean of means
    CHECK(token_accuracy(Sentences{{}}, Sentences{{}}) == 0);
}

TEST_CASE("alignment accuracy asks whether the most attended source token is one of the linked ones") {
    // Targets: 0 is linked to 0, 1 to 2, 2 to 0 and 1, 3 to nothing, 4 is </s>. Column 3 is </s>.
    const Alignment gold = {{0, 0}, {2, 1}, {0, 2}, {1, 2}};
    AttentionWeights map{5, 4, {real(0.7), real(0.1), real(0.1), real(0.1),      // right
                                real(0.1), real(0.5), real(0.4), real(0.0),      // wrong
                                real(0.2), real(0.6), real(0.1), real(0.1),      // right: the second of its two links
                                real(0.1), real(0.1), real(0.8), real(0.0),      // does not count
                                real(0.0), real(0.0), real(0.0), real(1.0)}};    // does not count
    CHECK(alignment_accuracy(Maps{map}, Gold{gold}) == doctest::Approx(2.0 / 3));

    map.weights[2] = real(0.7);    // as much as the linked one, which comes first
    CHECK(alignment_accuracy(Maps{map}, Gold{gold}) == doctest::Approx(2.0 / 3));
    map.weights[3] = real(0.9);    // a look at </s>
    CHECK(alignment_accuracy(Maps{map}, Gold{gold}) == doctest::Approx(1.0 / 3));
    CHECK(alignment_accuracy(Maps{map, map}, Gold{gold, Alignment{{3, 4}}}) == doctest::Approx(2.0 / 4));
    CHECK(alignment_accuracy(Maps{map}, Gold{Alignment{}}) == 0);
}

TEST_CASE("metrics refuse what does not fit together") {
    CHECK_THROWS_WITH_AS(exact_match(Sentences{{4}}, Sentences{}), "exact_match: 1 sentences for 0 references: give one for each",
                         std::invalid_argument);
    CHECK_THROWS_AS(token_accuracy(Sentences{}, Sentences{{4}}), std::invalid_argument);
    const AttentionWeights map{1, 2, {1, 0}}, torn{1, 2, {1}};
    CHECK_THROWS_AS(alignment_accuracy(Maps{map}, Gold{}), std::invalid_argument);
    CHECK_THROWS_WITH_AS(alignment_accuracy(Maps{map}, Gold{Alignment{{0, 1}}}),
                         "alignment_accuracy: the link 0-1 lies outside map 0 of 1 target x 2 source tokens: draw the map while "
                         "the model reads the reference",
                         std::invalid_argument);
    CHECK_THROWS_WITH_AS(alignment_accuracy(Maps{torn}, Gold{Alignment{}}),
                         "alignment_accuracy: 1 weights do not fill map 0 of 1 x 2", std::invalid_argument);
}

TEST_CASE("a link outside a map is told with the number of the map") {
    const Maps maps = {{1, 1, {1}}, {1, 1, {1}}};
    CHECK_THROWS_WITH_AS(alignment_accuracy(maps, Gold{{{0, 0}}, {{0, 1}}}), doctest::Contains("outside map 1 of"),
                         std::invalid_argument);
}

TEST_CASE("a link from before the first word, or to it, is refused") {
    const Maps map = {{1, 1, {1}}};
    CHECK_THROWS_AS(alignment_accuracy(map, Gold{{{-1, 0}}}), std::invalid_argument);
    CHECK_THROWS_AS(alignment_accuracy(map, Gold{{{0, -1}}}), std::invalid_argument);
}

TEST_CASE("a look that is NaN is no look at the right word") {
    const std::vector<AttentionWeights> maps{{1, 2, {NAN, NAN}}};
    const std::vector<Alignment> gold{{{0, 0}}};
    CHECK_THROWS_WITH_AS(alignment_accuracy(maps, gold), "alignment_accuracy: map 0 has a NaN", std::invalid_argument);
}
