#include "grammar.h"

// The words. French verbs are in the present tense of the indicative; "you" is always one friend (tu), "they" always
// ils.
namespace lookback::english_french {

namespace {

constexpr bool masculine = false, feminine = true, before_noun = true, after_noun = false;
constexpr bool possessive = true, indefinite = true, lasting = true;

// One word a line.
// clang-format off
constexpr Noun all_nouns[] = {
    {"man", "men", "homme", "hommes", masculine, person},
    {"woman", "women", "femme", "femmes", feminine, person},
    {"boy", "boys", "garçon", "garçons", masculine, child},
    {"girl", "girls", "fille", "filles", feminine, child},
    {"friend", "friends", "ami", "amis", masculine, companion},
    {"brother", "brothers", "frère", "frères", masculine, kin},
    {"sister", "sisters", "sœur", "sœurs", feminine, kin},
    {"cat", "cats", "chat", "chats", masculine, animal},
    {"dog", "dogs", "chien", "chiens", masculine, animal},
    {"bird", "birds", "oiseau", "oiseaux", masculine, animal},
    {"horse", "horses", "cheval", "chevaux", masculine, animal},
    {"apple", "apples", "pomme", "pommes", feminine, food},
    {"orange", "oranges", "orange", "oranges", feminine, food},
    {"egg", "eggs", "œuf", "œufs", masculine, food},
    {"book", "books", "livre", "livres", masculine, reading},
    {"letter", "letters", "lettre", "lettres", feminine, reading},
    {"hat", "hats", "chapeau", "chapeaux", masculine, thing},
    {"flower", "flowers", "fleur", "fleurs", feminine, thing},
    {"door", "doors", "porte", "portes", feminine, opening},
    {"window", "windows", "fenêtre", "fenêtres", feminine, opening},
    {"garden", "gardens", "jardin", "jardins", masculine, place},
    {"house", "houses", "maison", "maisons", feminine, place},
    {"school", "schools", "école", "écoles", feminine, place},
    {"shop", "shops", "magasin", "magasins", masculine, place},
    {"tree", "trees", "arbre", "arbres", masculine, landmark},
};

// English singular and plural; French masculine, the same before a vowel, feminine, the same before a vowel, plural.
// "a" becomes "an" before an English vowel, and "de" as the object of a negated verb; l' is made of le and la by
// elision.
constexpr Determiner all_determiners[] = {
    {"the", "the", "le", "le", "la", "la", "les"},
    {"a", "", "un", "un", "une", "une", "", !possessive, indefinite},
    {"this", "these", "ce", "cet", "cette", "cette", "ces"},
    {"my", "my", "mon", "mon", "ma", "mon", "mes", possessive},
    {"your", "your", "ton", "ton", "ta", "ton", "tes", possessive},
    {"his", "his", "son", "son", "sa", "son", "ses", possessive},
    {"her", "her", "son", "son", "sa", "son", "ses", possessive},
    {"our", "our", "notre", "notre", "notre", "notre", "nos", possessive},
    {"", "two", "", "", "", "", "deux"},
    {"", "many", "", "", "", "", "beaucoup de"},
};

// Masculine, the same before a vowel, feminine, plural, feminine plural.
constexpr Adjective all_adjectives[] = {
    {"little", "petit", "petit", "petite", "petits", "petites", before_noun, anything & ~companion},
    {"big", "grand", "grand", "grande", "grands", "grandes", before_noun, animal | opening | place | landmark},
    {"old", "vieux", "vieil", "vieille", "vieux", "vieilles", before_noun, anything & ~(food | child)},
    {"beautiful", "beau", "bel", "belle", "beaux", "belles", before_noun, anything & ~kin},
    {"young", "jeune", "jeune", "jeune", "jeunes", "jeunes", before_noun, living},
    {"red", "rouge", "rouge", "rouge", "rouges", "rouges", after_noun, portable | opening},
    {"white", "blanc", "blanc", "blanche", "blancs", "blanches", after_noun,
     animal | thing | opening | place | landmark},
    {"sad", "triste", "triste", "triste", "tristes", "tristes", after_noun, living, !lasting},
    {"happy", "heureux", "heureux", "heureuse", "heureux", "heureuses", after_noun, living, !lasting},
    {"sick", "malade", "malade", "malade", "malades", "malades", after_noun, living, !lasting},
};

constexpr Pronoun all_pronouns[] = {
    {"i", "me", "je", "me", i},       {"you", "you", "tu", "te", you},
    {"he", "him", "il", "le", he},    {"she", "her", "elle", "la", he, feminine},
    {"we", "us", "nous", "nous", we}, {"they", "them", "ils", "les", they},
};

constexpr Preposition all_prepositions[] = {
    {"in", "dans", place},
    {"near", "près de", living | opening | place | landmark},
    {"behind", "derrière", opening | place | landmark},
    {"to", "à", place},
    {"from", "de", place},
};

constexpr Forms present(std::string_view base, std::string_view third) { return {base, base, third, base, base}; }
constexpr Forms am = {"am", "are", "is", "are", "are"}, suis = {"suis", "es", "est", "sommes", "sont"};
constexpr std::string_view around = "in near behind";

// Somebody does it to something.
constexpr Verb act(std::string_view base, std::string_view third, Forms french, unsigned doers, unsigned objects,
                   bool is_lasting = false) {
    return {
        .english = present(base, third), .french = french, .doers = doers, .objects = objects, .lasting = is_lasting};
}

// Somebody does it in, behind, to some place.
constexpr Verb act_at(std::string_view base, std::string_view third, Forms french, unsigned doers,
                      std::string_view prepositions) {
    return {.english = present(base, third), .french = french, .doers = doers, .prepositions = prepositions};
}

// I, you, he, we, they; who; whom.
constexpr Verb all_verbs[] = {
    act("love", "loves", {"aime", "aimes", "aime", "aimons", "aiment"}, living, anything & ~opening, lasting),
    act("see", "sees", {"vois", "vois", "voit", "voyons", "voient"}, living, anything),
    act("hear", "hears", {"entends", "entends", "entend", "entendons", "entendent"}, living, living),
    act("find", "finds", {"trouve", "trouves", "trouve", "trouvons", "trouvent"}, living, anything),
    act("know", "knows", {"connais", "connais", "connaît", "connaissons", "connaissent"}, people, living | place,
        lasting),
    act("look for", "looks for", {"cherche", "cherches", "cherche", "cherchons", "cherchent"}, living, anything),
    act("look at", "looks at", {"regarde", "regardes", "regarde", "regardons", "regardent"}, living, anything),
    act("wait for", "waits for", {"attends", "attends", "attend", "attendons", "attendent"}, living, living),
    act("listen to", "listens to", {"écoute", "écoutes", "écoute", "écoutons", "écoutent"}, living, living),
    act("eat", "eats", {"mange", "manges", "mange", "mangeons", "mangent"}, living, food),
    act("buy", "buys", {"achète", "achètes", "achète", "achetons", "achètent"}, people, portable | animal),
    act("open", "opens", {"ouvre", "ouvres", "ouvre", "ouvrons", "ouvrent"}, people, opening | reading),
    act("read", "reads", {"lis", "lis", "lit", "lisons", "lisent"}, people, reading),
    act_at("sing", "sings", {"chante", "chantes", "chante", "chantons", "chantent"}, people, around),
    act_at("sleep", "sleeps", {"dors", "dors", "dort", "dormons", "dorment"}, living, around),
    act_at("go", "goes", {"vais", "vas", "va", "allons", "vont"}, living, "to"),
    act_at("come", "comes", {"viens", "viens", "vient", "venons", "viennent"}, living, "from"),
    {.english = am, .french = suis, .doers = living | portable, .prepositions = around, .auxiliary = true},
    {.english = am, .french = suis, .doers = anything, .describes = true, .auxiliary = true},
};

constexpr std::pair<std::string_view, std::string_view> all_conjunctions[] = {
    {"and", "et"}, {"but", "mais"}, {"or", "ou"}, {"because", "parce que"}, {"when", "quand"}, {"if", "si"},
};
// clang-format on

}    // namespace

std::span<const Noun> nouns() { return all_nouns; }
std::span<const Determiner> determiners() { return all_determiners; }
std::span<const Adjective> adjectives() { return all_adjectives; }
std::span<const Pronoun> pronouns() { return all_pronouns; }
std::span<const Preposition> prepositions() { return all_prepositions; }
std::span<const Verb> verbs() { return all_verbs; }
std::span<const std::pair<std::string_view, std::string_view>> conjunctions() { return all_conjunctions; }

}    // namespace lookback::english_french
