#include "lookback/text/vocabulary.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <stdexcept>

using namespace lookback;
using Tokens = std::vector<std::string>;
using Numbers = std::vector<int>;

TEST_CASE("a new vocabulary holds the four reserved tokens and nothing else") {
    const Vocabulary vocabulary;
    CHECK(vocabulary.size() == 4);
    CHECK(vocabulary.token(Vocabulary::pad) == "<pad>");
    CHECK(vocabulary.token(Vocabulary::begin) == "<s>");
    CHECK(vocabulary.token(Vocabulary::end) == "</s>");
    CHECK(vocabulary.token(Vocabulary::unknown) == "<unk>");
    CHECK(vocabulary.id("</s>") == 2);
    CHECK(vocabulary.id("cat") == Vocabulary::unknown);
}

TEST_CASE("ids follow falling count, then the bytes of the token, whatever the order of the sentences") {
    std::vector<Tokens> sentences = {{"b", "é", "a"}, {"c", "b"}, {"c", "z", "c"}};
    const auto order = [&] {
        const Vocabulary vocabulary = Vocabulary::of(sentences);
        Tokens tokens;
        for (int id = 4; id < vocabulary.size(); ++id) tokens.push_back(vocabulary.token(id));
        return tokens;
    };
    CHECK(order() == Tokens{"c", "b", "a", "z", "é"});
    std::reverse(sentences.begin(), sentences.end());
    CHECK(order() == Tokens{"c", "b", "a", "z", "é"});
}

TEST_CASE("tokens rarer than min_count are unknown") {
    const Vocabulary vocabulary = Vocabulary::of({{"a", "a", "b"}, {"c", "b"}}, 2);
    CHECK(vocabulary.size() == 6);
    CHECK(vocabulary.encode({"a", "b", "c"}) == Numbers{4, 5, Vocabulary::unknown});
}

TEST_CASE("encode and decode are each other's inverse for known tokens") {
    const Vocabulary vocabulary = Vocabulary::of({{"je", "t'", "aime"}, {"l'", "oiseau"}});
    const Tokens sentence = {"l'", "oiseau", "aime", "je"};
    CHECK(vocabulary.decode(vocabulary.encode(sentence)) == sentence);
    CHECK(vocabulary.encode({}).empty());
}

TEST_CASE("decode stops at </s>, leaves <s> and <pad> out and shows <unk>") {
    const Vocabulary vocabulary = Vocabulary::of({{"a", "a", "b"}});
    CHECK(vocabulary.decode(Numbers{1, 4, 0, 3, 5, 2, 4}) == Tokens{"a", "<unk>", "b"});
}

TEST_CASE("text cannot forge a reserved id") {
    const Vocabulary vocabulary = Vocabulary::of({{"</s>", "<pad>", "a", "<s>"}});
    CHECK(vocabulary.size() == 5);
    CHECK(vocabulary.encode({"<pad>", "<s>", "</s>", "<unk>", "a"}) == Numbers{3, 3, 3, 3, 4});
}

TEST_CASE("an id that no token has is refused") {
    const Vocabulary vocabulary;
    CHECK_THROWS_WITH_AS(vocabulary.token(4), "vocabulary: no token has the id 4: ids are 0 .. 3", std::invalid_argument);
    CHECK_THROWS_AS(vocabulary.token(-1), std::invalid_argument);
    CHECK_THROWS_AS(vocabulary.decode(Numbers{7}), std::invalid_argument);
}

TEST_CASE("split cuts at blanks of any kind and number, join puts one space between") {
    CHECK(split("je t' aime") == Tokens{"je", "t'", "aime"});
    CHECK(split("  a\t \r\nb ") == Tokens{"a", "b"});
    CHECK(split("").empty());
    CHECK(split(" \t").empty());
    CHECK(join(split(" a   b ")) == "a b");
    CHECK(join(Tokens{}).empty());
}

TEST_CASE("listed tokens have the numbers from 4 on, each once") {
    const Vocabulary vocabulary = Vocabulary::listed({"b", "a"});
    CHECK(vocabulary.size() == 6);
    CHECK(vocabulary.id("b") == 4);
    CHECK(vocabulary.id("a") == 5);
    CHECK_THROWS_WITH_AS(Vocabulary::listed({"a", "a"}), "vocabulary: \"a\" comes twice", std::invalid_argument);
    CHECK_THROWS_AS(Vocabulary::listed({"</s>"}), std::invalid_argument);
}
