#include "corpus.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <set>
#include <string>

#include "lookback/program/file.h"

namespace lookback::english_french {

namespace {

constexpr Part all_parts[] = {
    {"train", 20'000, 1, 5}, {"valid", 1'000, 1, 5}, {"test-1", 200, 1, 1}, {"test-2", 200, 2, 2}, {"test-3", 200, 3, 3},
    {"test-4", 200, 4, 4},   {"test-5", 200, 5, 5},  {"test-6", 200, 6, 6}, {"test-7", 200, 7, 7}, {"test-8", 200, 8, 8},
};

bool chance(int percent, Random& random) { return random.below(100) < static_cast<std::uint64_t>(percent); }

// One of the entries of a table that pass the test, each equally likely.
template <typename Entry, typename Test>
const Entry* pick(std::span<const Entry> table, Random& random, Test test) {
    std::vector<const Entry*> candidates;
    for (const Entry& entry : table) {
        if (test(entry)) candidates.push_back(&entry);
    }
    if (candidates.empty()) throw std::logic_error("pick: nothing in the table fits: the grammar asks for a word that it lacks");
    return candidates[random.below(candidates.size())];
}

// Is the word one of the words?
bool lists(std::string_view words, std::string_view word) {
    return (" " + std::string(words) + " ").find(" " + std::string(word) + " ") != std::string::npos;
}

// As many percent have an adjective before the noun, and one after it.
NounPhrase draw_noun_phrase(unsigned kinds, int percent_of_adjectives, Random& random) {
    NounPhrase phrase;
    phrase.noun = pick(nouns(), random, [&](const Noun& noun) { return (noun.kind & kinds) != 0; });
    phrase.plural = chance(phrase.noun->kind == place ? 20 : 35, random);
    const bool definite = chance(25, random);
    phrase.determiner = pick(determiners(), random, [&](const Determiner& determiner) {
        if (definite) return determiner.english == "the";
        if (determiner.possessive && (phrase.noun->kind & (person | child)) != 0) return false;
        return !(phrase.plural ? determiner.english_plural : determiner.english).empty();
    });
    const auto adjective = [&](bool before) {
        return pick(adjectives(), random, [&](const Adjective& entry) {
            return entry.before_noun == before && (entry.kinds & phrase.noun->kind) != 0;
        });
    };
    if (chance(percent_of_adjectives, random)) phrase.before = adjective(true);
    if (chance(percent_of_adjectives, random)) phrase.after = adjective(false);
    return phrase;
}

// "I see me": the grammar has no "myself". Nor does a cat see a cat.
bool reflexive(const Clause& clause) {
    if (clause.subject.noun && clause.subject.noun == clause.object.noun) return true;
    if (!clause.subject_pronoun || !clause.object_pronoun) return false;
    const auto speaks = [](Person person) { return person == i || person == we; };
    const Person subject = clause.subject_pronoun->person, object = clause.object_pronoun->person;
    return (speaks(subject) && speaks(object)) || (subject == you && object == you);
}

// The sentence that is left for the reader's models to compose.
bool i_love_you(const Clause& clause) {
    return clause.subject_pronoun && clause.subject_pronoun->person == i && clause.verb->english[i] == "love" &&
           clause.object_pronoun && clause.object_pronoun->person == you;
}

// English does not tell whether I am a man or a woman, so of me, you and us only what is the same for both is said.
bool fits(const Clause& clause, const Adjective& quality) {
    if (clause.subject.noun) return (quality.kinds & clause.subject.noun->kind) != 0;
    const Person person = clause.subject_pronoun->person;
    const bool tells = quality.masculine != quality.feminine;
    return (quality.kinds & people) != 0 && !(tells && (person == i || person == you || person == we));
}

// What follows the verb.
enum class About { pronoun, object, place, quality };

About draw_about(Random& random) {
    const std::uint64_t percent = random.below(100);
    if (percent < 20) return About::pronoun;
    if (percent < 60) return About::object;
    return percent < 86 ? About::place : About::quality;
}

bool anyone(const Pronoun&) { return true; }

Manner draw_manner(bool lasting, Random& random) {
    if (chance(65, random)) return Manner::plainly;
    if (lasting || chance(60, random)) return Manner::not_;
    constexpr Manner others[] = {Manner::never, Manner::often, Manner::always};
    return others[random.below(3)];
}

}    // namespace

std::span<const Part> parts() { return all_parts; }

Clause draw_clause(Random& random) {
    const About about = draw_about(random);
    Clause clause;
    clause.verb = pick(verbs(), random, [&](const Verb& verb) {
        switch (about) {
            case About::pronoun: return (verb.objects & people) == people;
            case About::object: return verb.objects != 0;
            case About::place: return !verb.prepositions.empty();
            default: return verb.describes;
        }
    });

    if (chance(about == About::pronoun ? 75 : 50, random)) {
        clause.subject_pronoun = pick(pronouns(), random, anyone);
    } else {
        clause.subject = draw_noun_phrase(clause.verb->doers, about == About::quality ? 0 : 12, random);
    }

    switch (about) {
        case About::pronoun:
            do clause.object_pronoun = pick(pronouns(), random, anyone);
            while (reflexive(clause));
            break;
        case About::object:
            do clause.object = draw_noun_phrase(clause.verb->objects, 20, random);
            while (reflexive(clause) || (clause.verb->lasting && clause.object.determiner->indefinite));
            break;
        case About::place:
            clause.preposition = pick(prepositions(), random, [&](const Preposition& preposition) {
                return lists(clause.verb->prepositions, preposition.english);
            });
            do clause.object = draw_noun_phrase(clause.preposition->kinds, 8, random);
            while (reflexive(clause));
            break;
        case About::quality:
            clause.quality = pick(adjectives(), random, [&](const Adjective& quality) { return fits(clause, quality); });
    }
    clause.manner = draw_manner(clause.quality ? clause.quality->lasting : clause.verb->lasting, random);
    return i_love_you(clause) ? draw_clause(random) : clause;
}

Pair draw_sentence(int clauses, Random& random) {
    std::vector<Clause> drawn;
    std::vector<int> joints;
    for (int k = 0; k < clauses; ++k) {
        if (k > 0) joints.push_back(static_cast<int>(random.below(conjunctions().size())));
        drawn.push_back(draw_clause(random));
    }
    return translate(drawn, joints);
}

void write_corpus(const std::filesystem::path& folder, std::uint64_t seed) {
    Random random(seed);
    std::set<std::string> seen;
    for (const Part& part : parts()) {
        std::string pairs, alignments;
        for (int k = 0; k < part.pairs; ++k) {
            const int clauses = part.fewest_clauses + k % (part.most_clauses - part.fewest_clauses + 1);
            Pair pair;
            std::string english;
            do {
                pair = draw_sentence(clauses, random);
                english = fmt::format("{}", fmt::join(pair.english, " "));
            } while (!seen.insert(english).second);

            pairs += fmt::format("{}\t{}\n", english, fmt::join(pair.french, " "));
            for (std::size_t link = 0; link < pair.alignment.size(); ++link) {
                const auto [source, target] = pair.alignment[link];
                alignments += fmt::format("{}{}-{}", link > 0 ? " " : "", source, target);
            }
            alignments += '\n';
        }
        write_file(folder / fmt::format("{}.tsv", part.name), pairs);
        write_file(folder / fmt::format("{}.align", part.name), alignments);
    }
}

}    // namespace lookback::english_french
