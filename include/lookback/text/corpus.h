#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "lookback/text/vocabulary.h"

namespace lookback {

// A sentence and its translation, as tokens.
struct Pair {
    std::vector<std::string> source, target;
};

// Which target token translates which source token: links (source position, target position), counted from 0. A token
// may have several links or none.
using Alignment = std::vector<std::pair<int, int>>;

// The pairs of a file, one a line: source<TAB>target, tokens between blanks, in UTF-8. Columns after a second tab are
// left out (the files of Tatoeba and Anki have the authors there), blank lines are skipped, CRLF line ends and a byte
// order mark are read as usual. BadInput, "FILE:LINE: what is wrong: what to do", for: no such file, no pair in it, a
// line without a tab, an empty side, bytes that are no UTF-8, a control character, a token longer than 1,000 bytes.
std::vector<Pair> read_pairs(const std::filesystem::path& file);

// All tokens of one side of the pairs: vocabulary_of(pairs, &Pair::source).
Vocabulary vocabulary_of(const std::vector<Pair>& pairs, std::vector<std::string> Pair::*side);

// The alignments of a file in Pharaoh format, one a line: "0-0 1-2 2-1" (source-target). A blank line is a pair without
// links. BadInput if a link is malformed or the lines are not as many as the `expected` pairs.
std::vector<Alignment> read_alignments(const std::filesystem::path& file, std::size_t expected);

// A vocabulary as a file, one token a line in the order of their numbers: the first four lines are the reserved tokens.
// BadInput, "FILE:LINE: ...", as for read_pairs, and for a line that is no token, a token that comes twice, and a file
// that does not begin with the four.
Vocabulary read_vocabulary(const std::filesystem::path& file);
void write_vocabulary(const Vocabulary& vocabulary, const std::filesystem::path& file);

// All that a program trains and tests on.
struct Corpus {
    struct Test {
        std::string name;    // "test-1" for test-1.tsv
        std::vector<Pair> pairs;
        std::vector<Alignment> alignments;    // one a pair, from test-1.align; empty if there is no such file
    };

    std::vector<Pair> train, valid;
    std::vector<Test> tests;      // by name, numbers as numbers: test-2 before test-10
    Vocabulary source, target;    // of `train` alone
};

// Reads a folder with train.tsv, valid.tsv, one or more test*.tsv and, for each test that has one, its .align. BadInput
// if one of them is missing or wrong, or a link points outside its pair.
Corpus read_corpus(const std::filesystem::path& folder);

// BadInput if the corpus of this folder is not one for a model that knows its vocabularies and reads sentences of `longest` tokens
// with </s>: if one is longer, or most words of train.tsv or of a test are unknown.
void check_for(const Corpus& corpus, std::size_t longest, const std::filesystem::path& folder);

}    // namespace lookback
