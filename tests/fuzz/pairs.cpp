// The reader of a corpus: read_pairs.
#include <algorithm>

#include "fuzz.h"
#include "lookback/text/corpus.h"

using namespace lookback;
using namespace std::string_literals;

std::vector<fuzz::Seed> fuzz::seeds() {
    return {{"good", "I love you\tje t' aime\nthe bird\tl' oiseau\n"},
            {"tatoeba", "\xEF\xBB\xBFGo .\tVa !\tCC-BY 2.0 (someone)\r\n\r\n   \r\nHi\t  salut  l' \xC3\xA9t\xC3\xA9 "},
            {"empty", ""},
            {"two_marks", "\xEF\xBB\xBF\xEF\xBB\xBFGo\tVa\n"},
            {"no_tab", "a\tb\n\nno tab here\n"},
            {"empty_side", " \tb\n"},
            {"second_side", "a\tb\na\t \tc\n"},
            {"long_token", "a\t" + std::string(1001, 'x') + "\n"},
            {"nul", "a\tb\nab\0c\td\n"s},
            {"utf16", "\xFF\xFE"s + "a\0\t\0b\0\n\0"s},
            {"bare_cr", "a\tb\rc\td\n"},
            {"escape", "a\t\x1b[2J\n"},
            {"latin1", "a\tb\nc\tcaf\xE9 noir\n"},
            {"cut_character", "a\t\xE2\x82"},
            {"surrogate", "a\t\xED\xA0\x80\n"},
            {"beyond", "a\t\xF4\x90\x80\x80 \xF4\x8F\xBF\xBF\n"},
            {"blanks", "a" + std::string(500, ' ') + "\tb\n"}};
}

namespace {

bool is_placed(std::string_view message, std::string_view bytes) {
    return fuzz::is_line(message, bytes) || message.starts_with(" the file is empty");
}

}    // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    std::vector<Pair> pairs;
    const auto read = [&](const std::filesystem::path& file) { pairs = read_pairs(file); };
    if (!fuzz::accepts(bytes, 40, is_placed, read)) return 0;

    // What is read is made of tokens, and comes again from a file of them.
    const std::vector<Pair> first = std::move(pairs);
    std::string again;
    for (const Pair& pair : first) {
        for (const std::vector<std::string>* side : {&pair.source, &pair.target})
            for (const std::string& token : *side) fuzz::expect(split(token) == std::vector{token}, "this is no token");
        again += join(pair.source) + "\t" + join(pair.target) + "\n";
    }
    const bool same =
        fuzz::accepts(again, 40, is_placed, read) && std::ranges::equal(pairs, first, [](const Pair& a, const Pair& b) {
            return a.source == b.source && a.target == b.target;
        });
    fuzz::expect(!first.empty() && same, "the pairs that were read are not read again");
    return 0;
}
