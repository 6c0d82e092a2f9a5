#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// A synchronous grammar: one Clause, said in English and in French at once, with the alignment of their tokens.
// The vocabulary is tables (vocabulary.cpp): a new noun or verb is one line there. The rules are functions
// (grammar.cpp).
namespace lookback::english_french {

// What a noun names. Each noun is of one kind; verbs, adjectives and prepositions list the kinds that make sense with
// them, as a sum of bits, so that nobody eats a house.
enum Kind : unsigned {
    person = 1,       // the man, but not "my man"
    child = 2,        // the boy, but not "old boy": un vieux garçon is a bachelor
    companion = 4,    // my friend, but not "little friend": un petit ami is more
    kin = 8,          // my sister, but not "beautiful sister": une belle-sœur is a sister-in-law
    animal = 16,
    food = 32,
    reading = 64,    // book, letter
    thing = 128,
    opening = 256,     // door, window
    place = 512,       // where one goes and works
    landmark = 1024    // near which one finds things
};
constexpr unsigned people = person | child | companion | kin, living = people | animal, portable = food | reading | thing;
constexpr unsigned anything = living | portable | opening | place | landmark;

// Forms by person, in this order: i, you (one friend: tu), he or she or one thing, we, they or several things.
enum Person { i, you, he, we, they };
using Forms = std::array<std::string_view, 5>;

struct Noun {
    std::string_view english, english_plural, french, french_plural;
    bool feminine;
    Kind kind;
};

struct Determiner {
    std::string_view english, english_plural;                                             // empty: has no such number
    std::string_view masculine, before_vowel, feminine, feminine_before_vowel, plural;    // French
    bool possessive = false, indefinite = false;
};

struct Adjective {
    std::string_view english;
    std::string_view masculine, before_vowel, feminine, plural, feminine_plural;
    bool before_noun;
    unsigned kinds;
    bool lasting = true;    // one is often sad, but hardly often old
};

struct Pronoun {
    std::string_view english, english_object, french, french_object;
    Person person;
    bool feminine = false;
};

struct Preposition {
    std::string_view english, french;
    unsigned kinds;
};

struct Verb {
    Forms english, french;                 // present tense; in English of one word or two: look for
    unsigned doers = living;               // kinds of noun that can be the subject
    unsigned objects = 0;                  // kinds of noun that can be the object; 0: takes none
    std::string_view prepositions = "";    // of the places that can follow, separated by blanks; empty: none
    bool describes = false;                // an adjective follows: is sad
    bool lasting = false;                  // one loves the bird: hardly "a bird", nor "often"
    bool auxiliary = false;                // negated without "do": is not
};

std::span<const Noun> nouns();
std::span<const Determiner> determiners();
std::span<const Adjective> adjectives();
std::span<const Pronoun> pronouns();
std::span<const Preposition> prepositions();
std::span<const Verb> verbs();
std::span<const std::pair<std::string_view, std::string_view>> conjunctions();

enum class Manner { plainly, not_, never, often, always };

struct NounPhrase {
    const Noun* noun = nullptr;
    const Determiner* determiner = nullptr;
    const Adjective *before = nullptr, *after = nullptr;    // where they stand in French; in English both stand before
    bool plural = false;
};

// Subject, manner, verb, and what follows: an object, a place or a quality. Of each couple at most one is set.
struct Clause {
    const Pronoun* subject_pronoun = nullptr;
    NounPhrase subject;
    Manner manner = Manner::plainly;
    const Verb* verb = nullptr;
    const Pronoun* object_pronoun = nullptr;
    NounPhrase object;    // after the preposition, if there is one
    const Preposition* preposition = nullptr;
    const Adjective* quality = nullptr;
};

struct Pair {
    std::vector<std::string> english, french;
    std::vector<std::pair<int, int>> alignment;    // (English position, French position), from 0, sorted
};

// Translates clauses joined by conjunctions (indices into conjunctions(), one fewer than clauses).
Pair translate(std::span<const Clause> clauses, std::span<const int> joints);

}    // namespace lookback::english_french
