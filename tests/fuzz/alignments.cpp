// The reader of alignments: read_alignments.
#include <algorithm>

#include "fuzz.h"
#include "lookback/text/corpus.h"

using namespace lookback;
using namespace std::string_literals;

std::vector<fuzz::Seed> fuzz::seeds() {
    return {{"good", "0-0 1-2 2-1\r\n\n10-3\n"},
            {"empty", ""},
            {"no_links", "\n\n\n\n"},
            {"no_dash", "0-0\n0:1\n"},
            {"half", "0-\n"},
            {"three", "1-2-3\n"},
            {"negative", "-1-2\n1--2\n"},
            {"overflow", "99999999999-0\n"},
            {"largest", "2147483647-0\n"},
            {"nul", "0-0\0\n"s},
            {"latin1", "\xE9\n"},
            {"long", std::string(3000, '1') + "\n"}};
}

namespace {

bool is_placed(std::string_view message, std::string_view bytes) {
    return fuzz::is_line(message, bytes) || message.find(" lines for ") != std::string_view::npos;
}

}    // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    const std::size_t lines = static_cast<std::size_t>(std::ranges::count(bytes, '\n')) + (size > 0 && bytes.back() != '\n');
    const bool is_bom = bytes == "\xEF\xBB\xBF";    // not a line
    const std::size_t expected = (is_bom ? 0 : lines) + (size % 8 == 7);
    std::vector<Alignment> alignments;
    const auto read = [&](const std::filesystem::path& file) { alignments = read_alignments(file, expected); };
    if (!fuzz::accepts(bytes, 80, is_placed, read)) return 0;
    fuzz::expect(size % 8 != 7 && alignments.size() == expected, "not as many alignments as pairs");
    for (const Alignment& alignment : alignments)
        for (const auto& [source, target] : alignment) fuzz::expect(source >= 0 && target >= 0, "a link before the sentence");
    return 0;
}
