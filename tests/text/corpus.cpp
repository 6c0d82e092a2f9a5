#include "lookback/text/corpus.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string_view>

#include "lookback/program/error.h"

using namespace lookback;
using namespace std::string_literals;
using Tokens = std::vector<std::string>;

namespace {

// A folder of files that is gone when the test ends.
struct Folder {
    std::filesystem::path path =
        std::filesystem::temp_directory_path() / ("lookback-text-" + std::to_string(static_cast<long>(getpid())));

    Folder() { std::filesystem::create_directories(path); }
    ~Folder() { std::filesystem::remove_all(path); }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;

    std::filesystem::path write(const std::string& name, std::string_view bytes) const {
        std::ofstream(path / name, std::ios::binary) << bytes;
        return path / name;
    }

    // The message of the BadInput that `read` throws, with the folder's name taken out.
    template <typename Read>
    std::string message_of(Read read) const {
        try {
            read();
        } catch (const BadInput& error) {
            std::string message = error.what();
            const std::string own = path.string();
            for (std::size_t at; (at = message.find(own)) != std::string::npos;) message.replace(at, own.size(), "DIR");
            return message;
        }
        return "no BadInput";
    }

    std::string pairs_message(std::string_view bytes) const {
        const std::filesystem::path file = write("x.tsv", bytes);
        return message_of([&] { read_pairs(file); });
    }
    std::string alignments_message(std::string_view bytes, std::size_t expected) const {
        const std::filesystem::path file = write("x.align", bytes);
        return message_of([&] { read_alignments(file, expected); });
    }
    std::string corpus_message() const {
        return message_of([&] { read_corpus(path); });
    }
};

}    // namespace

TEST_CASE("pairs are read with their tokens, in order") {
    const Folder folder;
    const std::vector<Pair> pairs = read_pairs(folder.write("x.tsv", "I love you\tje t' aime\nthe bird\tl' oiseau\n"));
    REQUIRE(pairs.size() == 2);
    CHECK(pairs[0].source == Tokens{"I", "love", "you"});
    CHECK(pairs[0].target == Tokens{"je", "t'", "aime"});
    CHECK(pairs[1].target == Tokens{"l'", "oiseau"});
}

TEST_CASE("CRLF, a byte order mark, blank lines, further columns and a missing last line end are read as usual") {
    const Folder folder;
    const std::string bytes = "\xEF\xBB\xBFGo .\tVa !\tCC-BY 2.0 (someone)\r\n\r\n   \r\nHi\t  salut  l' \xC3\xA9t\xC3\xA9 ";
    const std::vector<Pair> pairs = read_pairs(folder.write("x.tsv", bytes));
    REQUIRE(pairs.size() == 2);
    CHECK(pairs[0].source == Tokens{"Go", "."});
    CHECK(pairs[0].target == Tokens{"Va", "!"});
    CHECK(pairs[1].source == Tokens{"Hi"});
    CHECK(pairs[1].target == Tokens{"salut", "l'", "été"});
}

TEST_CASE("a pair that is wrong is named by file and line, with what to do") {
    const Folder folder;
    CHECK(folder.pairs_message("a\tb\n\nno tab here\n") ==
          "DIR/x.tsv:3: no tab between the two sentences: write source<TAB>target");
    CHECK(folder.pairs_message(" \tb\n") ==
          "DIR/x.tsv:1: the source sentence is empty: write source<TAB>target, or delete the line");
    CHECK(folder.pairs_message("a\tb\na\t \tc\n") ==
          "DIR/x.tsv:2: the target sentence is empty: write source<TAB>target, or delete the line");
    CHECK(folder.pairs_message("a\t" + std::string(1001, 'x') + "\n") ==
          "DIR/x.tsv:1: a token of 1001 bytes in the target sentence, at most 1000 are allowed: separate tokens by "
          "blanks");
    CHECK(folder.pairs_message("a\t" + std::string(1000, 'x') + "\n") == "no BadInput");
    CHECK(folder.pairs_message("a\tb\nab\0c\td\n"s) ==
          "DIR/x.tsv:2: byte 3 of the line, 0x00, is a control character: save the file as plain UTF-8 text");
    CHECK(folder.pairs_message("a\tb\rc\td\n") ==
          "DIR/x.tsv:1: byte 4 of the line, 0x0D, is a control character: save the file as plain UTF-8 text");
    for (const char* control : {"\xC2\x80", "\xC2\x9B", "\xC2\x9F"})
        CHECK(folder.pairs_message("a"s + control + "2J\tb\n") ==
              "DIR/x.tsv:1: byte 2 of the line begins a control character: save the file as plain UTF-8 text");
    CHECK(folder.pairs_message("a\tb\nc\tcaf\xE9 noir\n") ==
          "DIR/x.tsv:2: byte 6 of the line, 0xE9, is not UTF-8: save the file as UTF-8");
}

TEST_CASE("a tab is no blank, and one CR ends a line") {
    const Folder folder;
    CHECK(folder.pairs_message("a\tb\n\t\n").starts_with("DIR/x.tsv:2: the source sentence is empty"));
    CHECK(folder.pairs_message("a\tb\r\r\n").starts_with("DIR/x.tsv:1: byte 4 of the line, 0x0D, is a control character"));
}

TEST_CASE("a byte order mark begins a file and is refused elsewhere, where it would be an unseen part of a word") {
    const Folder folder;
    CHECK(folder.pairs_message("\xEF\xBB\xBFGo\tVa\n") == "no BadInput");
    const std::string message = "byte 1 of the line begins a byte order mark, which cannot be seen: delete it";
    CHECK(folder.pairs_message("\xEF\xBB\xBF\xEF\xBB\xBFGo\tVa\n") == "DIR/x.tsv:1: " + message);
    CHECK(folder.pairs_message("Go\tVa\n\xEF\xBB\xBFHi\tSalut\n") == "DIR/x.tsv:2: " + message);
}

TEST_CASE("a file that cannot be read, or is empty, is named") {
    const Folder folder;
    CHECK(folder.pairs_message("") == "DIR/x.tsv: the file is empty: write one pair a line, source<TAB>target");
    CHECK(folder.pairs_message("\n \r\n") == "DIR/x.tsv: the file is empty: write one pair a line, source<TAB>target");
    CHECK(folder.message_of([&] { read_pairs(folder.path / "none.tsv"); }) ==
          "DIR/none.tsv: no such file: a corpus is a folder with train.tsv, valid.tsv and test*.tsv");
    const std::string not_a_file =
        ": a folder or a device, not a file: a corpus is a folder with train.tsv, valid.tsv and test*.tsv";
    CHECK(folder.message_of([&] { read_pairs(folder.path); }) == "DIR" + not_a_file);
    REQUIRE(mkfifo((folder.path / "pipe").c_str(), 0600) == 0);
    CHECK(folder.message_of([&] { read_pairs(folder.path / "pipe"); }) == "DIR/pipe" + not_a_file);
}

TEST_CASE("UTF-8 is checked strictly: overlong forms, surrogates, cut characters and what lies beyond U+10FFFF are refused") {
    const Folder folder;
    for (const char* good : {"\xC2\xA0", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80", "\xEF\xBF\xBF",
                             "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"}) {
        CAPTURE(good);
        CHECK(folder.pairs_message("a\t"s + good + "\n") == "no BadInput");
    }
    for (const char* bad : {"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xC2", "\xC2x", "\xE0\x9F\xBF", "\xE2\x82", "\xE2\x82x",
                            "\xED\xA0\x80", "\xED\xBF\xBF", "\xF0\x8F\xBF\xBF", "\xF0\x90\x80", "\xF0\x90\x80x",
                            "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFE", "\xFF"}) {
        CAPTURE(bad);
        const std::string message = folder.pairs_message("a\t"s + bad + "\n");
        CHECK(message.find("DIR/x.tsv:1: byte 3 of the line, 0x") == 0);
        CHECK(message.find("is not UTF-8") != std::string::npos);
    }
}

TEST_CASE("alignments are read in Pharaoh format, a blank line as a pair without links") {
    const Folder folder;
    const std::vector<Alignment> alignments = read_alignments(folder.write("x.align", "0-0 1-2 2-1\r\n\n10-3\n"), 3);
    REQUIRE(alignments.size() == 3);
    CHECK(alignments[0] == Alignment{{0, 0}, {1, 2}, {2, 1}});
    CHECK(alignments[1].empty());
    CHECK(alignments[2] == Alignment{{10, 3}});
}

TEST_CASE("a malformed link and a wrong number of lines are named") {
    const Folder folder;
    for (const char* link : {"0:1", "0-", "-1", "1", "-", "a-1", "1-b", "1-2-3", "1--2", "-1-2", "99999999999-0", "0-1x"}) {
        CAPTURE(link);
        CHECK(folder.alignments_message("0-0\n0-0 "s + link + "\n", 2) ==
              "DIR/x.align:2: \""s + link + "\" is no link: write source-target, positions from 0, as in 0-0 1-2 2-1");
    }
    CHECK(folder.alignments_message(std::string(41, '1') + "\n", 1) ==
          "DIR/x.align:1: a token of 41 bytes is no link: write source-target, positions from 0, as in 0-0 1-2 2-1");
    CHECK(folder.alignments_message("0-0\n", 2) ==
          "DIR/x.align: 1 lines for 2 pairs: write one line of links a pair, an empty one if it has none");
    CHECK(folder.alignments_message("0-0\n0-0\n\n", 2) ==
          "DIR/x.align: 3 lines for 2 pairs: write one line of links a pair, an empty one if it has none");
}

TEST_CASE("a corpus has its parts, its tests in natural order and the vocabularies of its training part") {
    const Folder folder;
    folder.write("train.tsv", "a b\tx\nb\ty y\n");
    folder.write("valid.tsv", "c\tz\n");
    for (const char* name : {"test-10", "test-2", "test", "test-1", "test-01", "test-2b"}) {
        folder.write(name + ".tsv"s, "a b\t"s + name + " w\n");
    }
    folder.write("test-2.align", "1-0 0-1\n");
    folder.write("testimony.txt", "not read");
    const Corpus corpus = read_corpus(folder.path);
    CHECK(corpus.train.size() == 2);
    CHECK(corpus.valid[0].target == Tokens{"z"});
    Tokens names;
    for (const Corpus::Test& test : corpus.tests) {
        names.push_back(test.name);
        CHECK(test.pairs[0].target == Tokens{test.name, "w"});
        CHECK(test.alignments.size() == (test.name == "test-2" ? 1 : 0));
    }
    CHECK(names == Tokens{"test", "test-01", "test-1", "test-2", "test-2b", "test-10"});
    CHECK(corpus.source.encode({"b", "a", "c"}) == std::vector<int>{4, 5, Vocabulary::unknown});
    CHECK(corpus.target.encode({"y", "x", "z"}) == std::vector<int>{4, 5, Vocabulary::unknown});
}

TEST_CASE("what is missing or wrong in a corpus is named") {
    const Folder folder;
    const std::string way_out = ": a corpus is a folder with train.tsv, valid.tsv and test*.tsv";
    CHECK(folder.message_of([&] { read_corpus(folder.path / "none"); }) == "DIR/none: no such folder" + way_out);
    CHECK(folder.corpus_message() == "DIR/train.tsv: no such file" + way_out);
    const std::filesystem::path file = folder.write("train.tsv", "a\tb\n");
    CHECK(folder.message_of([&] { read_corpus(file); }) == "DIR/train.tsv: cannot read the folder: Not a directory" + way_out);
    CHECK(folder.corpus_message() == "DIR/valid.tsv: no such file" + way_out);
    folder.write("valid.tsv", "a\tb\n");
    CHECK(folder.corpus_message() == "DIR: no test*.tsv in it" + way_out);
    folder.write("test-\x1b[31m.tsv", "a\tb\n");
    CHECK(folder.corpus_message() == "DIR: the name of a test file has a control character in it");
    std::filesystem::remove(folder.path / "test-\x1b[31m.tsv");
    folder.write("test-1.tsv", "");
    CHECK(folder.corpus_message() == "DIR/test-1.tsv: the file is empty: write one pair a line, source<TAB>target");
    folder.write("test-1.tsv", "a b\tc\na\tb c\n");
    folder.write("test-1.align", "0-0\n0-2\n");
    CHECK(folder.corpus_message() ==
          "DIR/test-1.align:2: the link 0-2 points outside its pair, which has 1 source and 2 target tokens: "
          "write source-target, positions from 0");
}

TEST_CASE("a vocabulary that is written is read again, every token under its number") {
    const Folder folder;
    const Vocabulary vocabulary = Vocabulary::of({{"le", "été", "le", "</s>"}});
    write_vocabulary(vocabulary, folder.path / "words.txt");
    const Vocabulary again = read_vocabulary(folder.path / "words.txt");
    REQUIRE(again.size() == 6);
    CHECK(again.id("le") == 4);
    CHECK(again.id("été") == 5);
    for (int id = 0; id < 6; ++id) CHECK(again.token(id) == vocabulary.token(id));
    const std::filesystem::path windows = folder.write("w.txt", "\xEF\xBB\xBF<pad>\r\n<s>\r\n</s>\r\n<unk>\r\nle");
    CHECK(read_vocabulary(windows).id("le") == 4);
    for (const std::string token : {"a b", "a\nb", "", "\r"})
        CHECK_THROWS_WITH_AS(write_vocabulary(Vocabulary::of({{token}}), folder.path / "no.txt"),
                             doctest::Contains("token 4 is empty or has a blank in it"), std::invalid_argument);
    CHECK(!std::filesystem::exists(folder.path / "no.txt"));
}

TEST_CASE("a line of a vocabulary that is wrong is named by file and line") {
    const Folder folder;
    const auto message = [&](const std::string& lines) {
        const std::filesystem::path file = folder.write("words.txt", "<pad>\n<s>\n</s>\n" + lines);
        return folder.message_of([&] { read_vocabulary(file); });
    };
    CHECK(message("<unk>\nle\nla\n") == "no BadInput");
    CHECK(message("<unk>\nle\nla\nle\n") == "DIR/words.txt:7: this token stands above already: write each once");
    CHECK(message("<unk>\n<s>\n") == "DIR/words.txt:5: this token stands above already: write each once");
    CHECK(message("le\n") == "DIR/words.txt:4: a vocabulary has <unk> here: is this one?");
    CHECK(message("<unk>\nle la\n") == "DIR/words.txt:5: this is no token: write one a line, without blanks");
    CHECK(message("<unk>\n\nle\n") == "DIR/words.txt:5: this is no token: write one a line, without blanks");
    CHECK(message("<unk>\n le\n") == "DIR/words.txt:5: this is no token: write one a line, without blanks");
    CHECK(message("<unk>\n\xff\n") == "DIR/words.txt:5: byte 1 of the line, 0xFF, is not UTF-8: save the file as UTF-8");
    CHECK(message("<unk>\na\0b\n"s).starts_with("DIR/words.txt:5: byte 2 of the line, 0x00, is a control character"));
    CHECK(message("") == "DIR/words.txt: the file ends before the four reserved tokens do: is it a vocabulary?");
    CHECK(folder.message_of([&] { read_vocabulary(folder.path / "none"); }) ==
          "DIR/none: no such file: a vocabulary has one token a line");
}

TEST_CASE("a file whose name only ends in test is no test, and the first place beyond a sentence is outside") {
    const Folder folder;
    for (const char* name : {"train.tsv", "valid.tsv", "test-1.tsv", "latest.tsv"}) folder.write(name, "a b\tx\n");
    CHECK(read_corpus(folder.path).tests.size() == 1);
    folder.write("test-1.align", "2-0\n");
    CHECK(folder.corpus_message().starts_with("DIR/test-1.align:1: the link 2-0 points outside its pair"));
}

TEST_CASE(
    "a corpus is refused for a sentence that is too long on either side, and where more than half of the words are unknown") {
    const auto with = [](const auto& change) {
        Corpus corpus;
        corpus.source = Vocabulary::listed({"a", "b"});
        corpus.target = Vocabulary::listed({"x"});
        corpus.train = {{{"a", "b"}, {"x"}}};
        corpus.tests = {{"test-1", {{{"a", "b"}, {"x", "x"}}}, {}}};
        change(corpus);
        try {
            check_for(corpus, 3, "DIR");
        } catch (const BadInput& error) {
            return std::string(error.what());
        }
        return "no BadInput"s;
    };
    CHECK(with([](Corpus&) {}) == "no BadInput");
    CHECK(with([](Corpus& c) {
              c.tests[0].pairs[0].target = {"x", "x", "x"};
          }).starts_with("DIR/test-1.tsv: pair 1 has 4 tokens with </s>, the model reads 3"));
    CHECK(with([](Corpus& c) { c.train[0].target = {"x", "x", "x"}; }).starts_with("DIR/train.tsv: pair 1 has 4 tokens"));
    CHECK(with([](Corpus& c) { c.tests[0].pairs = {{{"a", "q"}, {"x"}}}; }) == "no BadInput");    // just half
    CHECK(with([](Corpus& c) {
              c.tests[0].pairs = {{{"q"}, {"x"}}};
          }).starts_with("DIR/test-1.tsv: the model knows less than half of the words"));
}

TEST_CASE("DEL is a control character, and of an odd number of words one less than half may be unknown") {
    const Folder folder;
    CHECK(folder.pairs_message("a\x7F\tb\n") ==
          "DIR/x.tsv:1: byte 2 of the line, 0x7F, is a control character: save the file as plain UTF-8 text");
    Corpus corpus;
    corpus.source = corpus.target = Vocabulary::listed({"a"});
    corpus.tests = {{"test-1", {{{"a", "q", "q"}, {"a"}}}, {}}};
    CHECK_THROWS_AS(check_for(corpus, 9, "DIR"), BadInput);
    corpus.tests = {{"test-1", {{{"a", "a", "q"}, {"a"}}}, {}}};
    CHECK_NOTHROW(check_for(corpus, 9, "DIR"));
}
