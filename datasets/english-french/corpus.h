#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

#include "grammar.h"
#include "lookback/tensor/random.h"

// Sentences drawn from the grammar, and the files of the corpus.
namespace lookback::english_french {

struct Part {
    std::string_view name;
    int pairs;
    int fewest_clauses, most_clauses;    // each number of clauses between is equally often
};
std::span<const Part> parts();

// A clause that makes sense and is not "I love you", in whatever manner.
Clause draw_clause(Random& random);

// That many clauses, joined by conjunctions.
Pair draw_sentence(int clauses, Random& random);

// Writes NAME.tsv (english<TAB>french) and NAME.align (Pharaoh format) for every part. No English sentence comes twice,
// neither in one file nor in two. The same seed gives the same bytes on every machine. Throws BadInput if the folder
// cannot be written.
void write_corpus(const std::filesystem::path& folder, std::uint64_t seed);

}    // namespace lookback::english_french
