#include "lookback/text/corpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <string_view>
#include <system_error>
#include <unordered_set>

#include "lookback/program/error.h"
#include "lookback/program/file.h"
#include "program/utf8.h"

namespace lookback {

namespace {

constexpr std::size_t longest_token = 1000;    // bytes; what is longer is no word but a sign of the wrong file
constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
constexpr std::string_view corpus_files = "a corpus is a folder with train.tsv, valid.tsv and test*.tsv";

// A file's text and where in it we are, which is how every message begins.
class Lines {
  public:
    Lines(const std::filesystem::path& file, std::string_view expected) : path(file.string()) {
        // Asked for before opening: to open a pipe would wait for its writer.
        std::error_code error;    // read_file tells the reason better
        const std::filesystem::file_type type = std::filesystem::status(file, error).type();
        if (type == std::filesystem::file_type::not_found) {
            throw BadInput(fmt::format("{}: no such file: {}", path, expected));
        }
        if (!error && type != std::filesystem::file_type::regular) {
            throw BadInput(fmt::format("{}: a folder or a device, not a file: {}", path, expected));
        }
        text = read_file(file);
        rest = text;
        if (rest.starts_with(byte_order_mark)) rest.remove_prefix(byte_order_mark.size());
    }

    // The next line, without its end.
    bool next(std::string_view& line) {
        if (rest.empty()) return false;
        const std::size_t end = rest.find('\n');
        line = rest.substr(0, end);
        rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
        if (line.ends_with('\r')) line.remove_suffix(1);
        ++number;
        return true;
    }

    [[noreturn]] void fail(std::string_view what) const { throw BadInput(fmt::format("{}:{}: {}", path, number, what)); }
    [[noreturn]] void fail_as_a_whole(std::string_view what) const { throw BadInput(fmt::format("{}: {}", path, what)); }

  private:
    std::string path;
    std::string text;
    std::string_view rest;
    int number = 0;
};

bool is_blank(std::string_view line) { return line.find_first_not_of(' ') == std::string_view::npos; }

// Control characters are refused too: NUL is the mark of UTF-16 or of no text at all, a bare CR hides a line's end, and
// an escape would reach the reader's terminal.
void check_characters(const Lines& lines, std::string_view line) {
    for (std::size_t i = 0; i < line.size();) {
        const int byte = static_cast<unsigned char>(line[i]);
        const std::size_t size = character_size(line.substr(i));
        if (size == 0)
            lines.fail(fmt::format("byte {} of the line, 0x{:02X}, is not UTF-8: save the file as UTF-8", i + 1, byte));
        if ((byte < 0x20 && byte != '\t') || byte == 0x7F) {
            lines.fail(fmt::format("byte {} of the line, 0x{:02X}, is a control character: save the file as plain UTF-8 text",
                                   i + 1, byte));
        }
        if (size == 2 && byte == 0xC2 && static_cast<unsigned char>(line[i + 1]) < 0xA0) {    // U+0080 to U+009F
            lines.fail(fmt::format("byte {} of the line begins a control character: save the file as plain UTF-8 text", i + 1));
        }
        if (size == 3 && line.substr(i).starts_with(byte_order_mark))    // of a file that another was put before
            lines.fail(fmt::format("byte {} of the line begins a byte order mark, which cannot be seen: delete it", i + 1));
        i += size;
    }
}

std::vector<std::string> read_side(const Lines& lines, std::string_view text, std::string_view side) {
    std::vector<std::string> tokens = split(text);
    if (tokens.empty()) lines.fail(fmt::format("the {} sentence is empty: write source<TAB>target, or delete the line", side));
    for (const std::string& token : tokens) {
        if (token.size() > longest_token) {
            lines.fail(fmt::format("a token of {} bytes in the {} sentence, at most {} are allowed: separate tokens by blanks",
                                   token.size(), side, longest_token));
        }
    }
    return tokens;
}

// "0-2" -> (0, 2)
std::pair<int, int> read_link(const Lines& lines, const std::string& token) {
    std::pair<int, int> link{-1, -1};
    const char* const end = token.data() + token.size();
    const auto source = std::from_chars(token.data(), end, link.first);
    if (source.ec == std::errc() && source.ptr != end && *source.ptr == '-') {
        const auto target = std::from_chars(source.ptr + 1, end, link.second);
        if (target.ec == std::errc() && target.ptr == end && link.first >= 0 && link.second >= 0) return link;
    }
    lines.fail(fmt::format("{} is no link: write source-target, positions from 0, as in 0-0 1-2 2-1",
                           token.size() <= 40 ? '"' + token + '"' : fmt::format("a token of {} bytes", token.size())));
}

// Numbers count as numbers: "test-2" < "test-10".
bool natural_less(std::string_view a, std::string_view b) {
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    const auto take_number = [&](std::string_view& text) {
        const auto end = std::find_if_not(text.begin(), text.end(), is_digit);
        std::string_view number = text.substr(0, static_cast<std::size_t>(end - text.begin()));
        text.remove_prefix(number.size());
        number.remove_prefix(std::min(number.find_first_not_of('0'), number.size()));
        return number;
    };
    std::string_view x = a, y = b;
    while (!x.empty() && !y.empty()) {
        if (is_digit(x.front()) && is_digit(y.front())) {
            const std::string_view m = take_number(x), n = take_number(y);
            if (m.size() != n.size()) return m.size() < n.size();
            if (m != n) return m < n;
        } else {
            if (x.front() != y.front()) return x < y;
            x.remove_prefix(1);
            y.remove_prefix(1);
        }
    }
    if (x.empty() != y.empty()) return x.empty();
    return a < b;    // "test-01" and "test-1"
}

void check_links(const std::filesystem::path& file, const Corpus::Test& test) {
    for (std::size_t i = 0; i < test.alignments.size(); ++i) {
        const auto [sources, targets] = std::pair(test.pairs[i].source.size(), test.pairs[i].target.size());
        for (const auto& [source, target] : test.alignments[i]) {
            if (static_cast<std::size_t>(source) < sources && static_cast<std::size_t>(target) < targets) continue;
            throw BadInput(
                fmt::format("{}:{}: the link {}-{} points outside its pair, which has {} source and {} target tokens: "
                            "write source-target, positions from 0",
                            file.string(), i + 1, source, target, sources, targets));
        }
    }
}

}    // namespace

Vocabulary vocabulary_of(const std::vector<Pair>& pairs, std::vector<std::string> Pair::*side) {
    std::vector<const Vocabulary::Sentence*> sentences;
    for (const Pair& pair : pairs) sentences.push_back(&(pair.*side));
    return Vocabulary::of(sentences);
}

std::vector<Pair> read_pairs(const std::filesystem::path& file) {
    Lines lines(file, corpus_files);
    std::vector<Pair> pairs;
    for (std::string_view line; lines.next(line);) {
        check_characters(lines, line);
        if (is_blank(line)) continue;
        const std::size_t tab = line.find('\t');
        if (tab == std::string_view::npos) lines.fail("no tab between the two sentences: write source<TAB>target");
        const std::string_view rest = line.substr(tab + 1);
        Pair& pair = pairs.emplace_back();
        pair.source = read_side(lines, line.substr(0, tab), "source");
        pair.target = read_side(lines, rest.substr(0, rest.find('\t')), "target");
    }
    if (pairs.empty()) lines.fail_as_a_whole("the file is empty: write one pair a line, source<TAB>target");
    return pairs;
}

std::vector<Alignment> read_alignments(const std::filesystem::path& file, std::size_t expected) {
    Lines lines(file, corpus_files);
    std::vector<Alignment> alignments;
    for (std::string_view line; lines.next(line);) {
        check_characters(lines, line);
        Alignment& alignment = alignments.emplace_back();
        for (const std::string& token : split(line)) alignment.push_back(read_link(lines, token));
    }
    if (alignments.size() != expected) {
        lines.fail_as_a_whole(fmt::format("{} lines for {} pairs: write one line of links a pair, an empty one if it has none",
                                          alignments.size(), expected));
    }
    return alignments;
}

namespace {

// Those after the reserved four. A function of its own, so that the file's text is gone before the vocabulary is built.
std::vector<std::string> read_tokens(const std::filesystem::path& file) {
    Lines lines(file, "a vocabulary has one token a line");
    const Vocabulary reserved;
    std::vector<std::string> tokens;
    std::unordered_set<std::string_view> seen;
    int id = 0;
    for (std::string_view line; lines.next(line); ++id) {
        check_characters(lines, line);
        if (split(line) != std::vector{std::string(line)}) lines.fail("this is no token: write one a line, without blanks");
        if (!seen.insert(line).second) lines.fail("this token stands above already: write each once");
        if (id >= reserved.size())
            tokens.emplace_back(line);
        else if (line != reserved.token(id))
            lines.fail(fmt::format("a vocabulary has {} here: is this one?", reserved.token(id)));
    }
    if (id < reserved.size()) lines.fail_as_a_whole("the file ends before the four reserved tokens do: is it a vocabulary?");
    return tokens;
}

}    // namespace

Vocabulary read_vocabulary(const std::filesystem::path& file) { return Vocabulary::listed(read_tokens(file)); }

void write_vocabulary(const Vocabulary& vocabulary, const std::filesystem::path& file) {
    std::string text;
    for (int id = 0; id < vocabulary.size(); ++id) {
        const std::string& token = vocabulary.token(id);
        if (split(token) != std::vector{token} || token.find_first_of("\r\n") != std::string::npos)
            throw std::invalid_argument(
                fmt::format("{}: token {} is empty or has a blank in it: it could not be read again", file.string(), id));
        text += token + "\n";
    }
    write_file(file, text);
}

Corpus read_corpus(const std::filesystem::path& folder) {
    std::error_code error;
    if (std::filesystem::status(folder, error).type() == std::filesystem::file_type::not_found) {
        throw BadInput(fmt::format("{}: no such folder: {}", folder.string(), corpus_files));
    }
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
        const std::filesystem::path file = entry.path().filename();
        if (file.string().starts_with("test") && file.extension() == ".tsv") names.push_back(file.stem().string());
    }
    if (error) throw BadInput(fmt::format("{}: cannot read the folder: {}: {}", folder.string(), error.message(), corpus_files));
    for (const std::string& name : names)
        if (std::ranges::any_of(name, [](char c) { return (c >= 0 && c < ' ') || c == 0x7F; }))
            throw BadInput(fmt::format("{}: the name of a test file has a control character in it", folder.string()));
    std::sort(names.begin(), names.end(), natural_less);

    Corpus corpus;
    corpus.train = read_pairs(folder / "train.tsv");
    corpus.valid = read_pairs(folder / "valid.tsv");
    if (names.empty()) throw BadInput(fmt::format("{}: no test*.tsv in it: {}", folder.string(), corpus_files));
    for (const std::string& name : names) {
        Corpus::Test& test = corpus.tests.emplace_back();
        test.name = name;
        test.pairs = read_pairs(folder / (name + ".tsv"));
        const std::filesystem::path links = folder / (name + ".align");
        if (std::filesystem::status(links, error).type() == std::filesystem::file_type::not_found) continue;
        test.alignments = read_alignments(links, test.pairs.size());
        check_links(links, test);
    }
    corpus.source = vocabulary_of(corpus.train, &Pair::source);
    corpus.target = vocabulary_of(corpus.train, &Pair::target);
    return corpus;
}

void check_for(const Corpus& corpus, std::size_t longest, const std::filesystem::path& folder) {
    const auto check = [&](const std::string& name, const std::vector<Pair>& pairs) {
        const std::string file = (folder / (name + ".tsv")).string();
        std::ptrdiff_t words = 0, unknown = 0;
        for (std::size_t i = 0; i < pairs.size(); ++i) {
            const std::size_t tokens = std::max(pairs[i].source.size(), pairs[i].target.size()) + 1;
            if (tokens > longest)
                throw BadInput(fmt::format("{}: pair {} has {} tokens with </s>, the model reads {}: leave it out", file, i + 1,
                                           tokens, longest));
            words += std::ssize(pairs[i].source);
            unknown += std::ranges::count(corpus.source.encode(pairs[i].source), Vocabulary::unknown);
        }
        if (2 * unknown > words)
            throw BadInput(fmt::format("{}: the model knows less than half of the words: is this the right --data?", file));
    };
    check("train", corpus.train);
    for (const Corpus::Test& test : corpus.tests) check(test.name, test.pairs);
}

}    // namespace lookback
