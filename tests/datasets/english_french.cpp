#include <doctest/doctest.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>

#include "corpus.h"
#include "grammar.h"
#include "lookback/program/file.h"

using namespace lookback;
using namespace lookback::english_french;

namespace {

std::vector<std::string> split(const std::string& text, char separator) {
    std::vector<std::string> parts;
    std::istringstream in(text);
    for (std::string part; std::getline(in, part, separator);) parts.push_back(part);
    return parts;
}

struct Line {
    std::string english, french;
    std::vector<std::string> english_tokens, french_tokens;
    std::vector<std::pair<int, int>> alignment;
};

const std::filesystem::path committed = std::filesystem::path(LOOKBACK_DATASETS) / "english-french";

// Every file of the corpus as it is committed, by name, read once.
const std::map<std::string, std::vector<Line>>& corpus() {
    static const auto read = [] {
        std::map<std::string, std::vector<Line>> files;
        for (const Part& part : parts()) {
            const auto pairs = split(read_file(committed / fmt::format("{}.tsv", part.name)), '\n');
            const auto alignments = split(read_file(committed / fmt::format("{}.align", part.name)), '\n');
            REQUIRE(pairs.size() == alignments.size());
            for (std::size_t k = 0; k < pairs.size(); ++k) {
                const auto sides = split(pairs[k], '\t');
                REQUIRE(sides.size() == 2);
                Line line{sides[0], sides[1], split(sides[0], ' '), split(sides[1], ' '), {}};
                for (const std::string& link : split(alignments[k], ' ')) {
                    const auto ends = split(link, '-');
                    line.alignment.emplace_back(std::stoi(ends.at(0)), std::stoi(ends.at(1)));
                }
                files[std::string(part.name)].push_back(std::move(line));
            }
        }
        return files;
    }();
    return read;
}

int clauses_of(const Line& line) {
    return 1 +
           static_cast<int>(std::count_if(line.english_tokens.begin(), line.english_tokens.end(), [](const std::string& token) {
               return std::any_of(conjunctions().begin(), conjunctions().end(),
                                  [&](const auto& conjunction) { return conjunction.first == token; });
           }));
}

template <typename Entry, typename Name>
const Entry* find(std::span<const Entry> table, std::string_view word, Name name) {
    for (const Entry& entry : table) {
        if (name(entry) == word) return &entry;
    }
    return nullptr;
}

// "the little red birds". A determiner's plural is looked for where the noun is plural.
NounPhrase noun_phrase(const std::string& text) {
    const auto words = split(text, ' ');
    NounPhrase phrase;
    phrase.noun = find(nouns(), words.back(), [](const Noun& noun) { return noun.english; });
    if (!phrase.noun) {
        phrase.plural = true;
        phrase.noun = find(nouns(), words.back(), [](const Noun& noun) { return noun.english_plural; });
    }
    phrase.determiner = find(determiners(), words.front(), [&](const Determiner& determiner) {
        return phrase.plural ? determiner.english_plural : determiner.english;
    });
    REQUIRE_MESSAGE((phrase.noun && phrase.determiner), text);
    for (std::size_t k = 1; k + 1 < words.size(); ++k) {
        const Adjective* adjective = find(adjectives(), words[k], [](const Adjective& entry) { return entry.english; });
        REQUIRE_MESSAGE(adjective, words[k]);
        (adjective->before_noun ? phrase.before : phrase.after) = adjective;
    }
    return phrase;
}

// A clause from its parts; the verb is named by its form with "they", and "are" is told from "are" by what follows.
Clause clause(const std::string& subject, Manner manner, const std::string& verb, const std::string& rest) {
    Clause made;
    made.manner = manner;
    made.subject_pronoun = find(pronouns(), subject, [](const Pronoun& pronoun) { return pronoun.english; });
    if (!made.subject_pronoun) made.subject = noun_phrase(subject);
    made.object_pronoun = find(pronouns(), rest, [](const Pronoun& pronoun) { return pronoun.english_object; });
    made.quality = find(adjectives(), rest, [](const Adjective& adjective) { return adjective.english; });
    made.preposition =
        find(prepositions(), rest.substr(0, rest.find(' ')), [](const Preposition& entry) { return entry.english; });
    if (!made.object_pronoun && !made.quality)
        made.object = noun_phrase(made.preposition ? rest.substr(rest.find(' ') + 1) : rest);
    for (const Verb& entry : verbs()) {
        if (entry.english[they] == verb && entry.describes == (made.quality != nullptr)) made.verb = &entry;
    }
    REQUIRE_MESSAGE(made.verb, verb);
    return made;
}

std::string said(const std::vector<Clause>& clauses, const std::vector<int>& joints = {}) {
    const Pair pair = translate(clauses, joints);
    return fmt::format("{} = {}", fmt::join(pair.english, " "), fmt::join(pair.french, " "));
}

}    // namespace

TEST_CASE("the grammar translates as a French teacher would") {
    using enum Manner;
    const struct {
        const char *subject, *verb, *rest;
        Manner manner;
        const char* expected;
    } sentences[] = {
        // Elision, and the pronoun before the verb.
        {"i", "love", "you", plainly, "i love you = je t' aime"},
        {"i", "hear", "you", plainly, "i hear you = je t' entends"},
        {"she", "love", "you", plainly, "she loves you = elle t' aime"},
        {"i", "see", "him", plainly, "i see him = je le vois"},
        {"you", "see", "her", not_, "you do not see her = tu ne la vois pas"},
        {"he", "love", "her", plainly, "he loves her = il l' aime"},
        {"they", "wait for", "us", never, "they never wait for us = ils ne nous attendent jamais"},
        {"i", "love", "the bird", plainly, "i love the bird = j' aime l' oiseau"},
        {"we", "find", "them", plainly, "we find them = nous les trouvons"},
        // Negation; "un" becomes "de"; English needs "do", "to be" does not.
        {"he", "read", "a book", not_, "he does not read a book = il ne lit pas de livre"},
        {"we", "eat", "a orange", never, "we never eat an orange = nous ne mangeons jamais d' orange"},
        {"i", "open", "the door", not_, "i do not open the door = je n' ouvre pas la porte"},
        {"you", "are", "in a garden", not_, "you are not in a garden = tu n' es pas dans un jardin"},
        {"the birds", "are", "happy", never, "the birds are never happy = les oiseaux ne sont jamais heureux"},
        // Agreement of article, adjective and verb; the adjective's place; the forms before a vowel.
        {"the little girls", "see", "a white door", plainly,
         "the little girls see a white door = les petites filles voient une porte blanche"},
        {"this man", "look at", "this beautiful bird", plainly,
         "this man looks at this beautiful bird = cet homme regarde ce bel oiseau"},
        {"a old man", "look for", "my old school", plainly,
         "an old man looks for my old school = un vieil homme cherche ma vieille école"},
        {"she", "love", "my school", plainly, "she loves my school = elle aime mon école"},
        {"these trees", "are", "old", plainly, "these trees are old = ces arbres sont vieux"},
        {"my sister", "are", "happy", plainly, "my sister is happy = ma sœur est heureuse"},
        {"her sisters", "are", "beautiful", plainly, "her sisters are beautiful = ses sœurs sont belles"},
        {"our horses", "listen to", "two sad boys", plainly,
         "our horses listen to two sad boys = nos chevaux écoutent deux garçons tristes"},
        {"many birds", "sleep", "near the tree", plainly,
         "many birds sleep near the tree = beaucoup d' oiseaux dorment près de l' arbre"},
        // Adverbs after the verb; contraction of à and de with le and les.
        {"he", "go", "to the shop", often, "he often goes to the shop = il va souvent au magasin"},
        {"i", "go", "to the schools", always, "i always go to the schools = je vais toujours aux écoles"},
        {"we", "come", "from the garden", plainly, "we come from the garden = nous venons du jardin"},
        {"they", "come", "from the school", plainly, "they come from the school = ils viennent de l' école"},
        {"the dog", "sleep", "near the windows", plainly, "the dog sleeps near the windows = le chien dort près des fenêtres"},
        {"my friend", "are", "behind a house", plainly, "my friend is behind a house = mon ami est derrière une maison"},
    };
    for (const auto& [subject, verb, rest, manner, expected] : sentences) {
        CHECK(said({clause(subject, manner, verb, rest)}) == expected);
    }
}

TEST_CASE("conjunctions elide before the pronouns that let them") {
    const Clause i_see = clause("i", Manner::plainly, "see", "you"),
                 he_sings = clause("he", Manner::plainly, "sing", "in the garden"),
                 she_sings = clause("she", Manner::plainly, "sing", "in the garden");
    const auto joint = [](std::string_view word) {
        return static_cast<int>(find(conjunctions(), word, [](const auto& entry) { return entry.first; }) -
                                conjunctions().data());
    };
    CHECK(said({i_see, he_sings}, {joint("if")}) ==
          "i see you if he sings in the garden = je te vois s' il chante dans le jardin");
    CHECK(said({i_see, she_sings}, {joint("if")}) ==
          "i see you if she sings in the garden = je te vois si elle chante dans le jardin");
    CHECK(said({i_see, she_sings}, {joint("because")}) ==
          "i see you because she sings in the garden = je te vois parce qu' elle chante dans le jardin");
    CHECK(said({he_sings, i_see}, {joint("because")}) ==
          "he sings in the garden because i see you = il chante dans le jardin parce que je te vois");
}

TEST_CASE("an alignment joins what means the same, several to several where words do not match one to one") {
    using Links = std::vector<std::pair<int, int>>;
    const auto links = [](const Clause& made) { return translate(std::vector{made}, {}).alignment; };
    // i love you = je t' aime
    CHECK(links(clause("i", Manner::plainly, "love", "you")) == Links{{0, 0}, {1, 2}, {2, 1}});
    // i do not look for a red door = je ne cherche pas de porte rouge
    CHECK(links(clause("i", Manner::not_, "look for", "a red door")) ==
          Links{{0, 0}, {1, 1}, {1, 3}, {2, 1}, {2, 3}, {3, 2}, {4, 2}, {5, 4}, {6, 6}, {7, 5}});
    // he goes to the shop = il va au magasin
    CHECK(links(clause("he", Manner::plainly, "go", "to the shop")) == Links{{0, 0}, {1, 1}, {2, 2}, {3, 2}, {4, 3}});
}

TEST_CASE("the committed corpus has the promised sizes and numbers of clauses") {
    for (const Part& part : parts()) {
        const auto& lines = corpus().at(std::string(part.name));
        CHECK(lines.size() == static_cast<std::size_t>(part.pairs));
        std::map<int, int> count;
        for (const Line& line : lines) ++count[clauses_of(line)];
        const int lengths = part.most_clauses - part.fewest_clauses + 1;
        CHECK(count.size() == static_cast<std::size_t>(lengths));
        for (int clauses = part.fewest_clauses; clauses <= part.most_clauses; ++clauses)
            CHECK(count[clauses] == part.pairs / lengths);
    }
}

TEST_CASE("no English sentence comes twice, so none of valid and test is in train and each has one translation") {
    std::set<std::string> seen;
    for (const auto& [part, lines] : corpus()) {
        const std::string& name = part;    // clang 14 does not let a message hold a name of a structured binding
        for (const Line& line : lines) CHECK_MESSAGE(seen.insert(line.english).second, name, ": ", line.english);
    }
}

TEST_CASE("every word of valid and test stands at least 20 times in train") {
    std::map<std::string, int> english, french;
    for (const Line& line : corpus().at("train")) {
        for (const std::string& token : line.english_tokens) ++english[token];
        for (const std::string& token : line.french_tokens) ++french[token];
    }
    for (const auto& [name, lines] : corpus()) {
        for (const Line& line : lines) {
            for (const std::string& token : line.english_tokens) REQUIRE_MESSAGE(english[token] >= 20, token);
            for (const std::string& token : line.french_tokens) REQUIRE_MESSAGE(french[token] >= 20, token);
        }
    }
}

TEST_CASE("i love you is nowhere, however it is said, though i love, love you and je te are") {
    bool i_love = false, love_you = false, je_te = false;
    for (const auto& [name, lines] : corpus()) {
        for (const Line& line : lines) {
            const std::string english = " " + line.english + " ", french = " " + line.french + " ";
            for (const char* manner : {"", "do not ", "never ", "often ", "always "}) {
                // "i love your cat" has a blank elsewhere.
                REQUIRE_MESSAGE(english.find(fmt::format(" i {}love you ", manner)) == std::string::npos, english);
            }
            REQUIRE(french.find(" je t' aime ") == std::string::npos);
            REQUIRE(french.find(" je ne t' aime ") == std::string::npos);
            i_love |= english.find(" i love the ") != std::string::npos;
            love_you |= english.find(" she loves you ") != std::string::npos;
            je_te |= english.find(" i hear you ") != std::string::npos && french.find(" je t' entends ") != std::string::npos;
        }
    }
    CHECK(i_love);
    CHECK(love_you);
    CHECK(je_te);
}

TEST_CASE("every token is aligned, and only to tokens that are there") {
    for (const auto& [name, lines] : corpus()) {
        for (const Line& line : lines) {
            std::set<int> sources, targets;
            for (const auto& [source, target] : line.alignment) {
                sources.insert(source);
                targets.insert(target);
            }
            REQUIRE(sources.size() == line.english_tokens.size());
            REQUIRE(targets.size() == line.french_tokens.size());
            REQUIRE(*sources.begin() == 0);
            REQUIRE(*targets.begin() == 0);
            REQUIRE(*sources.rbegin() + 1 == static_cast<int>(line.english_tokens.size()));
            REQUIRE(*targets.rbegin() + 1 == static_cast<int>(line.french_tokens.size()));
        }
    }
}

TEST_CASE("no French word stands before a vowel in the form that it may not have there") {
    const std::set<std::string> before_consonants = {"je", "me", "te", "le", "la", "ne", "de", "que", "ce", "ma", "ta", "sa"};
    const std::set<std::string> before_vowels = {"j'", "m'", "t'", "l'", "n'", "d'", "qu'", "cet", "bel", "vieil"};
    const auto vowel = [](const std::string& word) {
        return std::string("aeiouh").find(word[0]) != std::string::npos || word.rfind("é", 0) == 0 || word.rfind("œ", 0) == 0;
    };
    for (const auto& [name, lines] : corpus()) {
        for (const Line& line : lines) {
            for (std::size_t k = 0; k + 1 < line.french_tokens.size(); ++k) {
                const std::string &word = line.french_tokens[k], &next = line.french_tokens[k + 1];
                if (before_consonants.count(word)) REQUIRE_MESSAGE(!vowel(next), line.french);
                if (before_vowels.count(word)) REQUIRE_MESSAGE(vowel(next), line.french);
                if (word == "de" || word == "à") REQUIRE_MESSAGE((next != "le" && next != "les"), line.french);
                if (word == "si") REQUIRE_MESSAGE((next != "il" && next != "ils"), line.french);
            }
        }
    }
}

TEST_CASE("the generator writes the committed bytes") {
    const std::filesystem::path folder =
        std::filesystem::temp_directory_path() / fmt::format("lookback-corpus-test-{}", getpid());
    make_writable_folder(folder);
    write_corpus(folder, 1);
    for (const Part& part : parts()) {
        for (const char* ending : {"tsv", "align"}) {
            const std::string name = fmt::format("{}.{}", part.name, ending);
            CHECK_MESSAGE((read_file(folder / name) == read_file(committed / name)), name);
        }
    }
    std::filesystem::remove_all(folder);
}
