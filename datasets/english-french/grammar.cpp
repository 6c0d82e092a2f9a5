#include "grammar.h"

#include <algorithm>

namespace lookback::english_french {

namespace {

struct FrenchWord {
    std::string text;
    std::vector<int> sources;    // positions of the English words that it renders
};

// "parce que" is two words.
std::vector<std::string> words_of(std::string_view text) {
    std::vector<std::string> words;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find(' '), text.size());
        words.emplace_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return words;
}

// A sentence in the making. English words are said first, in their order, then French words are written in theirs.
struct Draft {
    std::vector<std::string> english;
    std::vector<FrenchWord> french;

    int say(std::string_view word) {
        english.emplace_back(word);
        return static_cast<int>(english.size()) - 1;
    }
    // Each word of the text renders all the sources together.
    void write(std::string_view text, const std::vector<int>& sources) {
        for (const std::string& word : words_of(text)) french.push_back({word, sources});
    }
};

// French, to the ear: the h of homme and heureux is mute.
bool begins_with_vowel(std::string_view word) {
    for (const std::string_view vowel : {"a", "e", "i", "o", "u", "h", "é", "ê", "œ"}) {
        if (word.starts_with(vowel)) return true;
    }
    return false;
}

struct Agreement {
    Person person;
    bool feminine, plural;
};

Agreement agreement_of_subject(const Clause& clause) {
    if (clause.subject_pronoun) {
        const Pronoun& pronoun = *clause.subject_pronoun;
        return {pronoun.person, pronoun.feminine, pronoun.person == we || pronoun.person == they};
    }
    return {clause.subject.plural ? they : he, clause.subject.noun->feminine, clause.subject.plural};
}

std::string_view agree(const Adjective& adjective, bool feminine, bool plural, bool vowel_follows = false) {
    if (plural) return feminine ? adjective.feminine_plural : adjective.plural;
    if (feminine) return adjective.feminine;
    return vowel_follows ? adjective.before_vowel : adjective.masculine;
}

std::string_view agree(const Determiner& determiner, bool feminine, bool plural, bool vowel_follows) {
    if (plural) return determiner.plural;
    if (feminine) return vowel_follows ? determiner.feminine_before_vowel : determiner.feminine;
    return vowel_follows ? determiner.before_vowel : determiner.masculine;
}

struct NounPhrasePositions {
    int determiner = -1, before = -1, after = -1, noun = -1;
};

NounPhrasePositions say(const NounPhrase& phrase, Draft& draft) {
    const Determiner& determiner = *phrase.determiner;
    NounPhrasePositions at;
    at.determiner = draft.say(phrase.plural ? determiner.english_plural : determiner.english);
    if (phrase.before) at.before = draft.say(phrase.before->english);
    if (phrase.after) at.after = draft.say(phrase.after->english);
    at.noun = draft.say(phrase.plural ? phrase.noun->english_plural : phrase.noun->english);

    std::string& article = draft.english[at.determiner];
    if (article == "a" && std::string_view("aeiou").find(draft.english[at.determiner + 1][0]) != std::string_view::npos)
        article = "an";
    return at;
}

// "de" replaces "un" where a verb is negated: je vois un oiseau, je ne vois pas d' oiseau.
void write(const NounPhrase& phrase, const NounPhrasePositions& at, bool negated_object, Draft& draft) {
    const bool feminine = phrase.noun->feminine, plural = phrase.plural;
    const std::string_view noun = plural ? phrase.noun->french_plural : phrase.noun->french;
    const std::string_view before = phrase.before ? agree(*phrase.before, feminine, plural, begins_with_vowel(noun)) : "";
    const bool vowel_follows = begins_with_vowel(phrase.before ? before : noun);
    const bool becomes_de = negated_object && phrase.determiner->indefinite;

    draft.write(becomes_de ? "de" : agree(*phrase.determiner, feminine, plural, vowel_follows), {at.determiner});
    draft.write(before, {at.before});
    draft.write(noun, {at.noun});
    if (phrase.after) draft.write(agree(*phrase.after, feminine, plural), {at.after});
}

// Where the English words of a clause stand; -1 or empty: it has none.
struct ClausePositions {
    int subject_pronoun = -1, preposition = -1, object_pronoun = -1, quality = -1;
    NounPhrasePositions subject, object;
    std::vector<int> verb, manner;    // manner: "do not", "never", "often"
};

// Subject, (do not), verb, (preposition), object. "To be" needs no "do" and stands before "not" and "never".
ClausePositions say(const Clause& clause, Draft& draft) {
    const Verb& verb = *clause.verb;
    const Person person = agreement_of_subject(clause).person;
    const bool needs_do = clause.manner == Manner::not_ && !verb.auxiliary;
    constexpr std::string_view manners[] = {"", "not", "never", "often", "always"};
    ClausePositions at;

    if (clause.subject_pronoun) at.subject_pronoun = draft.say(clause.subject_pronoun->english);
    if (clause.subject.noun) at.subject = say(clause.subject, draft);
    const auto say_verb = [&](std::string_view form) {
        for (const std::string& word : words_of(form)) at.verb.push_back(draft.say(word));
    };
    if (verb.auxiliary) say_verb(verb.english[person]);
    if (needs_do) at.manner.push_back(draft.say(person == he ? "does" : "do"));
    if (clause.manner != Manner::plainly) at.manner.push_back(draft.say(manners[static_cast<int>(clause.manner)]));
    if (!verb.auxiliary) say_verb(verb.english[needs_do ? i : person]);
    if (clause.preposition) at.preposition = draft.say(clause.preposition->english);
    if (clause.object_pronoun) at.object_pronoun = draft.say(clause.object_pronoun->english_object);
    if (clause.object.noun) at.object = say(clause.object, draft);
    if (clause.quality) at.quality = draft.say(clause.quality->english);
    return at;
}

// Subject, (ne), object pronoun, verb, (pas), preposition, object.
void write(const Clause& clause, const ClausePositions& at, Draft& draft) {
    const Agreement subject = agreement_of_subject(clause);
    const bool negated = clause.manner == Manner::not_ || clause.manner == Manner::never;
    constexpr std::string_view manners[] = {"", "pas", "jamais", "souvent", "toujours"};

    if (clause.subject_pronoun) draft.write(clause.subject_pronoun->french, {at.subject_pronoun});
    if (clause.subject.noun) write(clause.subject, at.subject, false, draft);
    if (negated) draft.write("ne", at.manner);
    if (clause.object_pronoun) draft.write(clause.object_pronoun->french_object, {at.object_pronoun});
    draft.write(clause.verb->french[subject.person], at.verb);
    draft.write(manners[static_cast<int>(clause.manner)], at.manner);
    if (clause.preposition) draft.write(clause.preposition->french, {at.preposition});
    if (clause.object.noun) write(clause.object, at.object, negated && !clause.preposition, draft);
    if (clause.quality) draft.write(agree(*clause.quality, subject.feminine, subject.plural), {at.quality});
}

// je aime -> j' aime. Before a vowel these lose theirs; "si" does only before il and ils.
void elide(std::vector<FrenchWord>& words) {
    constexpr std::pair<std::string_view, std::string_view> elisions[] = {
        {"je", "j'"}, {"me", "m'"}, {"te", "t'"}, {"le", "l'"}, {"la", "l'"}, {"ne", "n'"}, {"de", "d'"}, {"que", "qu'"},
    };
    for (std::size_t k = 0; k + 1 < words.size(); ++k) {
        const std::string& next = words[k + 1].text;
        for (const auto& [full, elided] : elisions) {
            if (words[k].text == full && begins_with_vowel(next)) words[k].text = elided;
        }
        if (words[k].text == "si" && (next == "il" || next == "ils")) words[k].text = "s'";
    }
}

// à le -> au: one French word for two English ones. After elision, for "à l' école" stays.
void contract(std::vector<FrenchWord>& words) {
    constexpr std::string_view contractions[][3] = {
        {"à", "le", "au"},
        {"à", "les", "aux"},
        {"de", "le", "du"},
        {"de", "les", "des"},
    };
    for (std::size_t k = 0; k + 1 < words.size(); ++k) {
        for (const auto& [preposition, article, contracted] : contractions) {
            if (words[k].text != preposition || words[k + 1].text != article) continue;
            words[k].text = contracted;
            words[k].sources.insert(words[k].sources.end(), words[k + 1].sources.begin(), words[k + 1].sources.end());
            words.erase(words.begin() + static_cast<std::ptrdiff_t>(k) + 1);
            break;
        }
    }
}

}    // namespace

Pair translate(std::span<const Clause> clauses, std::span<const int> joints) {
    Draft draft;
    for (std::size_t k = 0; k < clauses.size(); ++k) {
        if (k > 0) {
            const auto& [english, french] = conjunctions()[joints[k - 1]];
            draft.write(french, {draft.say(english)});
        }
        const ClausePositions at = say(clauses[k], draft);
        write(clauses[k], at, draft);
    }
    elide(draft.french);
    contract(draft.french);

    Pair pair{.english = draft.english, .french = {}, .alignment = {}};
    for (std::size_t target = 0; target < draft.french.size(); ++target) {
        pair.french.push_back(draft.french[target].text);
        for (const int source : draft.french[target].sources) pair.alignment.emplace_back(source, static_cast<int>(target));
    }
    std::sort(pair.alignment.begin(), pair.alignment.end());
    return pair;
}

}    // namespace lookback::english_french
