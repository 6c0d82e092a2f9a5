// The reader of a vocabulary: read_vocabulary.
#include <utility>

#include "fuzz.h"
#include "lookback/program/file.h"
#include "lookback/text/corpus.h"

using namespace lookback;
using namespace std::string_literals;

std::vector<fuzz::Seed> fuzz::seeds() {
    const std::string reserved = "<pad>\n<s>\n</s>\n<unk>\n";
    std::string long_list = reserved;
    for (char a = 'a'; a <= 'z'; ++a)
        for (char b = 'a'; b <= 'e'; ++b) long_list += {a, b, '\n'};
    return {{"good", reserved + "le\nla\n"},
            {"windows", "\xEF\xBB\xBF<pad>\r\n<s>\r\n</s>\r\n<unk>\r\nle"},
            {"long", long_list},
            {"reserved", reserved},
            {"empty", ""},
            {"cut", "<pad>\n<s>\n"},
            {"other_order", "<s>\n<pad>\n</s>\n<unk>\n"},
            {"twice", reserved + "le\nla\nle\n"},
            {"reserved_twice", reserved + "<s>\n"},
            {"two_tokens", reserved + "le la\n"},
            {"empty_line", reserved + "\nle\n"},
            {"leading_blank", reserved + " le\n"},
            {"nul", reserved + "a\0b\n"s},
            {"latin1", reserved + "\xE9t\xE9\n"},
            {"long_token", reserved + std::string(2000, 'x') + "\n"}};
}

namespace {

bool is_placed(std::string_view message, std::string_view bytes) {
    return fuzz::is_line(message, bytes) || message.starts_with(" the file ends before ");
}

}    // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    Vocabulary vocabulary;
    const auto read = [&](const std::filesystem::path& file) { vocabulary = read_vocabulary(file); };
    if (!fuzz::accepts(bytes, 80, is_placed, read)) return 0;

    // Each token has its number, and the file that is written of them is read again.
    std::string again;
    for (int id = 0; id < vocabulary.size(); ++id) {
        fuzz::expect(vocabulary.id(vocabulary.token(id)) == id, "a token has another's number");
        again += vocabulary.token(id) + "\n";
    }
    const Vocabulary first = std::exchange(vocabulary, {});
    fuzz::expect(fuzz::accepts(again, 80, is_placed, read) && vocabulary.size() == first.size(), "what is written is not read");
    for (int id = 0; id < first.size(); ++id) fuzz::expect(vocabulary.token(id) == first.token(id), "another token is read");
    return 0;
}
