#include "lookback/text/vocabulary.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <stdexcept>

namespace lookback {

Vocabulary::Vocabulary() : tokens{"<pad>", "<s>", "</s>", "<unk>"} {
    for (int id = 0; id < size(); ++id) ids.emplace(tokens[id], id);
}

Vocabulary Vocabulary::of(const std::vector<Sentence>& sentences, int min_count) {
    std::vector<const Sentence*> pointers;
    for (const Sentence& sentence : sentences) pointers.push_back(&sentence);
    return of(pointers, min_count);
}

Vocabulary Vocabulary::of(const std::vector<const Sentence*>& sentences, int min_count) {
    struct Count {
        std::string_view token;
        int count;
    };
    std::vector<Count> counts;
    std::unordered_map<std::string_view, std::size_t> place;    // of a token in `counts`
    for (const Sentence* sentence : sentences) {
        for (const std::string& token : *sentence) {
            const auto [found, is_new] = place.try_emplace(token, counts.size());
            if (is_new) counts.push_back({token, 0});
            ++counts[found->second].count;
        }
    }
    std::sort(counts.begin(), counts.end(),
              [](const Count& a, const Count& b) { return a.count != b.count ? a.count > b.count : a.token < b.token; });

    Vocabulary vocabulary;
    for (const Count& entry : counts) {
        if (entry.count < min_count) break;
        const bool is_new = vocabulary.ids.emplace(entry.token, vocabulary.size()).second;
        if (is_new) vocabulary.tokens.emplace_back(entry.token);
    }
    return vocabulary;
}

Vocabulary Vocabulary::listed(std::vector<std::string> list) {
    Vocabulary vocabulary;
    list.insert(list.begin(), vocabulary.tokens.begin(), vocabulary.tokens.end());
    for (int id = vocabulary.size(); id < static_cast<int>(list.size()); ++id)
        if (!vocabulary.ids.emplace(list[id], id).second)
            throw std::invalid_argument(fmt::format("vocabulary: \"{}\" comes twice", list[id]));
    vocabulary.tokens = std::move(list);
    return vocabulary;
}

int Vocabulary::size() const { return static_cast<int>(tokens.size()); }

int Vocabulary::id(std::string_view token) const {
    const auto found = ids.find(token);
    return found == ids.end() ? unknown : found->second;
}

const std::string& Vocabulary::token(int id) const {
    if (id < 0 || id >= size()) {
        throw std::invalid_argument(fmt::format("vocabulary: no token has the id {}: ids are 0 .. {}", id, size() - 1));
    }
    return tokens[id];
}

std::vector<int> Vocabulary::encode(const std::vector<std::string>& sentence) const {
    std::vector<int> result;
    result.reserve(sentence.size() + 1);    // </s> often follows
    for (const std::string& token : sentence)
        result.push_back(std::max(id(token), unknown));    // the reserved ids are the lowest
    return result;
}

std::vector<std::string> Vocabulary::decode(std::span<const int> sentence) const {
    std::vector<std::string> result;
    for (const int id : sentence) {
        if (id == end) break;
        if (id != pad && id != begin) result.push_back(token(id));
    }
    return result;
}

std::vector<std::string> split(std::string_view sentence) {
    const auto is_blank = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
    std::vector<std::string> tokens;
    const auto blanks = static_cast<std::size_t>(std::count(sentence.begin(), sentence.end(), ' '));
    tokens.reserve(1 + std::min(blanks, sentence.size() / 2));    // a line may be all blanks
    for (auto at = sentence.begin();;) {
        const auto begin = std::find_if_not(at, sentence.end(), is_blank);
        if (begin == sentence.end()) return tokens;
        at = std::find_if(begin, sentence.end(), is_blank);
        tokens.emplace_back(begin, at);
    }
}

std::string join(std::span<const std::string> tokens) { return fmt::format("{}", fmt::join(tokens, " ")); }

}    // namespace lookback
