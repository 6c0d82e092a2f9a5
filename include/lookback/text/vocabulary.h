#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace lookback {

// The tokens of one language and their numbers, 0 .. size()-1. A model sees only the numbers. The first four are
// reserved:
//
//     0 <pad>    fills a batch's shorter rows; nothing attends to it and no loss counts it
//     1 <s>      what a decoder is given before the first token
//     2 </s>     the end of a sentence
//     3 <unk>    any token that is not in the vocabulary
class Vocabulary {
  public:
    static constexpr int pad = 0, begin = 1, end = 2, unknown = 3;

    Vocabulary();    // the reserved four only

    // The tokens that occur at least `min_count` times, most frequent first, equally frequent ones by their bytes: the
    // same sentences in any order give the same numbers.
    using Sentence = std::vector<std::string>;
    static Vocabulary of(const std::vector<Sentence>& sentences, int min_count = 1);
    static Vocabulary of(const std::vector<const Sentence*>& sentences, int min_count = 1);    // the same, without copies

    // These tokens with the numbers 4, 5, ...; std::invalid_argument if one comes twice.
    static Vocabulary listed(std::vector<std::string> tokens);

    int size() const;
    int id(std::string_view token) const;      // `unknown` if the token is not there
    const std::string& token(int id) const;    // std::invalid_argument outside 0 .. size()-1

    // One number a token, nothing added. Text cannot forge a reserved number: a token spelled "</s>" becomes `unknown`.
    std::vector<int> encode(const std::vector<std::string>& tokens) const;

    // The tokens up to the first </s>, without <s> and <pad>. <unk> stays: it stands where a word should be.
    std::vector<std::string> decode(std::span<const int> ids) const;

  private:
    // Lets id() look a string_view up without making a string of it.
    struct Hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view token) const { return std::hash<std::string_view>()(token); }
    };

    std::vector<std::string> tokens;    // by id
    // Looked up, never iterated over: its order differs between standard libraries.
    std::unordered_map<std::string, int, Hash, std::equal_to<>> ids;
};

// The tokens of a sentence: what stands between blanks (space, tab, line ends).
std::vector<std::string> split(std::string_view sentence);

// The tokens with one space between them.
std::string join(std::span<const std::string> tokens);

}    // namespace lookback
