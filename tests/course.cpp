// What the steps of the course have in common, and that its pages stay true.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "lookback/draw/figure.h"
#include "lookback/program/file.h"
#include "lookback/program/screen.h"

using namespace lookback;
namespace fs = std::filesystem;

namespace {

const fs::path root = LOOKBACK_SOURCE;
using Lines = std::vector<std::string>;

Lines lines_of(const std::string& text) {
    Lines lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

struct Step {
    int number;
    std::string name;                    // 08_additive_attention
    std::string text;                    // of tutorials/NN_name.cpp
    std::map<std::string, Lines> end;    // what its last comments list under "Exercises", "Break it" and "Questions"
};

// An item begins after three blanks, and goes on in lines that have more.
std::map<std::string, Lines> end_of(const std::string& text) {
    std::map<std::string, Lines> end;
    Lines* items = nullptr;
    for (const std::string& line : lines_of(text.substr(text.rfind("\n}\n")))) {
        for (const char* title : {"Exercises", "Break it", "Questions"})
            if (line.starts_with(std::string("// ") + title)) items = &end[title];
        if (!items || !line.starts_with("//   ")) continue;
        if (line[5] != ' ')
            items->push_back(line.substr(5));
        else if (!items->empty())
            items->back() += line.substr(line.find_first_not_of(' ', 5) - 1);
    }
    return end;
}

std::vector<Step> all_steps() {
    std::vector<Step> steps;
    for (const fs::directory_entry& entry : fs::directory_iterator(root / "tutorials")) {
        const std::string file = entry.path().filename();
        if (!std::regex_match(file, std::regex("[0-9][0-9]_.*\\.cpp"))) continue;
        const std::string text = read_file(entry.path());
        steps.push_back({std::stoi(file), entry.path().stem(), text, end_of(text)});
    }
    std::ranges::sort(steps, {}, &Step::number);
    return steps;
}

const std::vector<Step> steps = all_steps();

// The code, without what comments and strings say; of an #include its path stays.
std::string code_of(const std::string& text) {
    std::string code;
    static const std::regex unread(R"re(//.*|"(\\.|[^"\\])*"|'(\\.|[^'\\])+')re");
    for (const std::string& line : lines_of(text))
        code += (line.starts_with("#include") ? line : std::regex_replace(line, unread, "''")) + "\n";
    return code;
}

// What a step brings in; no step before it may include or name that. The tour, 00, may show all.
const std::map<int, Lines> first_named_in = {
    {2,
     {"lookback/ops/matmul.h", "lookback/ops/softmax.h", "lookback/tensor/gradient_check.h", "matmul", "softmax", "layer_norm",
      "explain_not_finite"}},
    {3, {"lookback/nn/module.h", "lookback/nn/layers.h", "Linear", "LayerNorm", "parameters_of"}},
    {4,
     {"lookback/optim/optimizer.h", "lookback/optim/data_parallel.h", "lookback/text/batch.h", "lookback/text/corpus.h", "Sgd",
      "Adam", "clip_grad_norm", "warmup_cosine", "BatchStream", "DataParallel", "Embedding", "dropout"}},
    {5,
     {"lookback/nn/recurrent.h", "lookback/ops/recurrent.h", "RnnCell", "GruCell", "LstmCell", "Rnn", "Gru", "Lstm", "gru_cell",
      "gru_sequence", "lstm_cell"}},
    {6, {"lookback/models/translator.h", "lookback/decode/evaluate.h", "FixedVector", "greedy", "evaluate", "select_rows"}},
    {8,
     {"lookback/nn/attention.h", "lookback/ops/attention.h", "AdditiveAttention", "AttentionTranslator", "Attended",
      "additive_scores", "masked_softmax", "look_back", "alignment_accuracy"}},
    {9, {"DotAttention", "GeneralAttention", "ConcatAttention"}},
    {10, {"lookback/nn/positions.h", "scaled_dot_product_attention", "causal_mask", "sinusoidal_positions", "LearnedPositions"}},
    {11,
     {"lookback/nn/transformer.h", "MultiheadAttention", "Transformer", "TransformerTranslator", "TransformerOptions",
      "TransformerEncoderLayer", "TransformerDecoderLayer", "attention_weights", "attention_context"}},
};

struct Section {
    std::string title;
    std::map<std::string, Lines> blocks;    // ```diff, ```console, ```gdb: their lines
};

std::vector<Section> sections_of(const fs::path& markdown) {
    std::vector<Section> sections;
    std::string language;
    bool fenced = false;
    for (const std::string& line : lines_of(read_file(markdown)))
        if (line.starts_with("```")) {
            fenced = !fenced;
            language = line.substr(3);
        } else if (fenced && !sections.empty()) {
            sections.back().blocks[language].push_back(line);
        } else if (!fenced && line.starts_with("## ")) {
            sections.push_back({line.substr(3), {}});
        }
    return sections;
}

// `(1 / std::sqrt(...))` is in a text that has its pieces in this order.
bool has_pieces(const std::string& text, const std::string& pattern) {
    std::size_t at = 0;
    for (std::size_t begin = 0, end = 0; end != std::string::npos; begin = end + 3) {
        end = pattern.find("...", begin);
        const std::string piece = pattern.substr(begin, end == std::string::npos ? end : end - begin);
        at = text.find(piece, at);
        if (at == std::string::npos) return false;
        at += piece.size();
    }
    return true;
}

// All pages of the repository, without what builds and tools keep in hidden folders.
std::vector<fs::path> all_pages() {
    std::vector<fs::path> pages;
    for (auto entry = fs::recursive_directory_iterator(root); entry != fs::recursive_directory_iterator(); ++entry) {
        if (entry->path().filename().string().starts_with(".")) entry.disable_recursion_pending();
        if (entry->path().extension() == ".md") pages.push_back(entry->path());
    }
    return pages;
}

// A page without its code, in which brackets are no links.
std::string prose_of(const fs::path& page) {
    std::string prose;
    bool fenced = false;
    static const std::regex code("`[^`]*`");
    for (const std::string& line : lines_of(read_file(page))) {
        if (line.starts_with("```")) fenced = !fenced;
        if (!fenced && !line.starts_with("    ")) prose += std::regex_replace(line, code, "") + "\n";
    }
    return prose;
}

std::vector<std::smatch> all_matches(const std::string& text, const std::regex& pattern) {
    return {std::sregex_iterator(text.begin(), text.end(), pattern), std::sregex_iterator()};
}

// How a heading is called in a link: "Break it: too fast" -> "break-it-too-fast".
std::string anchor_of(const std::string& heading) {
    std::string anchor;
    for (const char c : heading)
        if (std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || (c & 0x80))
            anchor += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        else if (c == ' ')
            anchor += '-';
    return anchor;
}

const std::regex first_line("// ([0-9][0-9]) (\\w+): (.*\\?)  \\(about ([0-9]+) s\\)");

}    // namespace

TEST_CASE("the first line of a step tells its number, name, question and time, and the program's own help agrees") {
    REQUIRE(steps.size() > 0);
    for (const Step& step : steps) {
        INFO(step.name);
        const std::string line = step.text.substr(0, step.text.find('\n'));
        std::smatch parts;
        REQUIRE(std::regex_match(line, parts, first_line));
        CHECK(parts[1].str() + "_" + parts[2].str() == step.name);
        CHECK(has(step.text, fmt::format(".name = \"{}\"", step.name)));
        CHECK(has(step.text, fmt::format(".question = \"{}\"", parts[3].str())));
    }
}

TEST_CASE("a step begins with what to see, the shapes, a prediction to make, where to break and what to read") {
    for (const Step& step : steps) {
        INFO(step.name);
        const std::string head = step.text.substr(0, step.text.find("\n\n"));
        CHECK(has_pieces(head,
                         "\n//\n// ...\n//\n// What you will see   ...\n// Shapes              ...\n// Predict             "
                         "...\n// Break on            ...\n// Papers              "));
    }
}

TEST_CASE("the sections of a step are numbered") {
    for (const Step& step : steps) {
        INFO(step.name);
        int number = 0;
        for (const std::string& line : lines_of(step.text))
            if (line.starts_with("// ----")) CHECK(line.starts_with(fmt::format("// ---- {}. ", ++number)));
        CHECK(number >= 2);
    }
}

TEST_CASE("a step includes and names nothing that a later one introduces") {
    static const std::regex word("[A-Za-z_][A-Za-z_0-9]*|\"lookback/[^\"]*\"");
    for (const Step& step : steps) {
        if (step.number == 0) continue;
        const std::string code = code_of(step.text);
        std::set<std::string> words;
        for (const std::smatch& match : all_matches(code, word)) {
            const std::string found = match.str();
            words.insert(found[0] == '"' ? found.substr(1, found.size() - 2) : found);
        }
        for (const auto& [first, names] : first_named_in)
            for (const std::string& name : names) {
                const bool early = first > step.number && words.contains(name);
                const std::string message = fmt::format("{} uses {}, which {} introduces", step.name, name, first);
                CHECK_MESSAGE(!early, message);
            }
    }
}

TEST_CASE("the names that steps introduce are there to be named") {
    std::string headers;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root / "include"))
        if (entry.is_regular_file())
            headers += fs::relative(entry.path(), root / "include").string() + "\n" + code_of(read_file(entry.path()));
    for (const auto& [first, names] : first_named_in)
        for (const std::string& name : names)
            CHECK_MESSAGE(std::regex_search(headers, std::regex("(^|[^A-Za-z_/])" + name + "([^A-Za-z_]|$)")), name);
}

TEST_CASE("where a step trains, the five beats stand in one loop and in order: zero_grad, loss, backward, clip, step") {
    for (const Step& step : steps) {
        const std::string code = code_of(step.text);
        if (!has(code, "lookback/optim/optimizer.h")) continue;
        INFO(step.name);
        const std::regex beats(
            "zero_grad\\(model\\)|zero_grad\\(\\w+(\\.\\w+)?\\)|(double|Tensor) loss "
            "=|backward\\(|clip_grad_norm\\(|\\.step\\(\\)");
        std::string order;    // z zero_grad, l loss, b backward, c clip, s step
        for (const std::smatch& match : all_matches(code, beats)) {
            const std::string found = match.str();
            order += found.starts_with("zero") ? 'z'
                     : found.ends_with("=")    ? 'l'
                     : found[0] == 'b'         ? 'b'
                     : found[0] == 'c'         ? 'c'
                                               : 's';
        }
        CHECK_MESSAGE(has(order, "zlbcs"), order);
    }
}

TEST_CASE("a step ends with three exercises, lines to break, and five questions with their answers") {
    for (Step step : steps) {
        INFO(step.name);
        CHECK(has(step.text, fmt::format("\n// Exercises (solutions/{}.md)\n", step.name)));
        const Lines &exercises = step.end["Exercises"], &questions = step.end["Questions"];
        REQUIRE(exercises.size() == 3);
        for (int i = 0; i < 3; ++i) CHECK(exercises[i].starts_with(fmt::format("{}. ", i + 1)));
        CHECK(step.end["Break it"].size() >= 2);
        CHECK(questions.size() == 5);
        for (const std::string& question : questions) {
            const std::size_t answer = question.find("?  ");
            CHECK_MESSAGE((answer != std::string::npos && answer + 5 < question.size()), question);
        }
    }
}

TEST_CASE("each exercise has a solution that can be run, and each line to break is broken in one") {
    for (Step step : steps) {
        INFO(step.name);
        const fs::path page = root / "tutorials" / "solutions" / (step.name + ".md");
        REQUIRE(fs::exists(page));
        CHECK(read_file(page).starts_with(fmt::format("# {} {}: solutions\n", step.name.substr(0, 2), step.name.substr(3))));
        std::vector<Section> exercises, broken;
        std::vector<std::string> titles;
        for (const Section& section : sections_of(page)) {
            titles.push_back(section.title);
            if (section.title.starts_with("Break it: "))
                broken.push_back(section);
            else if (section.title.starts_with(fmt::format("{}. ", exercises.size() + 1)))
                exercises.push_back(section);
        }
        CHECK(titles[0] == "Predict");
        REQUIRE(exercises.size() == 3);
        for (Section& section : exercises) {
            INFO(section.title);
            CHECK((section.blocks.contains("console") || section.blocks.contains("gdb")));
        }
        const Lines& changes = step.end["Break it"];
        const std::string code = step.text.substr(0, step.text.rfind("\n}\n"));
        REQUIRE(broken.size() == changes.size());
        for (std::size_t i = 0; i < changes.size(); ++i) {
            INFO(broken[i].title);
            const std::string line = changes[i].substr(0, changes[i].find("  "));
            CHECK_MESSAGE(has_pieces(code, line), "not in the program: ", line);
            CHECK(broken[i].blocks.contains("console"));
            std::string removed;
            for (const std::string& each : broken[i].blocks["diff"])
                if (each.starts_with("-")) removed += each.substr(1) + "\n";
            CHECK_MESSAGE(has_pieces(removed, line), "not in the diff: ", line);
        }
    }
}

TEST_CASE("a step prints at most 40 lines of 80 columns") {
    for (const Step& step : steps) {
        const fs::path transcript = root / "tests" / "transcripts" / (step.name + ".txt");
        INFO(step.name);
        REQUIRE(fs::exists(transcript));
        const Lines lines = lines_of(read_file(transcript));
        CHECK(lines.size() <= 40);
        for (const std::string& line : lines) CHECK_MESSAGE(text_width(line) <= 80, line);
    }
}

TEST_CASE("a link in a page leads to a file of the repository, and to a heading that is there") {
    static const std::regex inline_link("\\]\\(([^)\\s]+)\\)"), definition("(?:^|\\n)\\[[^\\]]+\\]: (\\S+)"),
        image("src=\"([^\"]+)\"");
    int found = 0;
    for (const fs::path& page : all_pages()) {
        const std::string prose = prose_of(page);
        for (const std::regex& pattern : {inline_link, definition, image})
            for (const std::smatch& match : all_matches(prose, pattern)) {
                const std::string link = match[1], path = link.substr(0, link.find('#'));
                if (std::regex_search(link, std::regex("^(https?|mailto):"))) continue;
                ++found;
                INFO(page.string() << ": " << link);
                const fs::path target = path.empty() ? page : page.parent_path() / path;
                CHECK(fs::exists(target));
                if (!has(link, "#") || !fs::exists(target)) continue;
                std::set<std::string> anchors;
                for (const std::string& line : lines_of(read_file(target)))
                    if (line.starts_with("#")) anchors.insert(anchor_of(line.substr(line.find_first_not_of("# "))));
                CHECK(anchors.contains(link.substr(link.find('#') + 1)));
            }
    }
    CHECK(found > 10);
}

TEST_CASE("the index has a line for each step, with its question, its time and a picture") {
    const std::string index = read_file(root / "tutorials" / "README.md");
    const std::string pictures = read_file(root / "tutorials" / "pictures" / "make.sh");
    for (const Step& step : steps) {
        std::smatch parts;
        const std::string line = step.text.substr(0, step.text.find('\n'));
        REQUIRE(std::regex_match(line, parts, first_line));
        const std::string number = step.name.substr(0, 2);
        CHECK_MESSAGE(has(index, fmt::format("\n[{}]: {}.cpp\n", number, step.name)), "add the line [", number, "]: ", step.name,
                      ".cpp");
        const std::string row =
            fmt::format("\n| [{}] {} | {} | {} s |", number, step.name.substr(3), parts[3].str(), parts[4].str());
        CHECK_MESSAGE(has(index, row), "add to the path: ", row);
        CHECK_MESSAGE(has(index, fmt::format("](pictures/{}.svg)", step.name)), "no picture of ", step.name);
        CHECK_MESSAGE(has(pictures, fmt::format("\n{} ", step.name)), "make.sh does not make the picture of ", step.name);
    }
}

TEST_CASE("a word of the glossary is used in the steps that it names") {
    static const std::regex row("\\| ([^|]+) \\| (.*) \\|"), number("\\[([0-9][0-9])\\]"), other("[^a-z_]+");
    const std::string index = read_file(root / "tutorials" / "README.md");
    const std::size_t begin = index.find("\n## Words\n"), end = index.find("\n## ", begin + 1);
    REQUIRE(end < index.size());
    const auto plain = [](std::string text) {    // "layer\n// norm" and "layer-norm" -> " layer norm"
        for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        return std::regex_replace(" " + text, other, " ");
    };
    int found = 0;
    for (const std::string& line : lines_of(index.substr(begin, end - begin))) {
        std::smatch parts;
        if (!std::regex_match(line, parts, row)) continue;
        const std::string words = parts[1].str() + ",", meaning = parts[2];
        for (const std::smatch& match : all_matches(words, std::regex("([^,]+),")))
            for (const std::smatch& named : all_matches(meaning, number))
                for (const Step& step : steps) {
                    if (step.number != std::stoi(named[1])) continue;
                    ++found;
                    const std::string word = plain(match[1]);
                    CHECK_MESSAGE(has(plain(step.text), word), step.name, " does not say", word);
                }
    }
    CHECK(found > 40);
}

TEST_CASE("what a table says is in a file is there, in one line of it") {
    // | equation | ... [src/ops/softmax.cpp](../src/ops/softmax.cpp) `struct Softmax` `y_i = ...`: each code after a link
    static const std::regex link_or_code("\\]\\(([^)#]+\\.(?:cpp|h))\\)|`([^`]+)`");
    int found = 0;
    const fs::path folder = root / "tutorials";
    for (const std::string& line : lines_of(read_file(folder / "README.md"))) {
        if (!line.starts_with("|")) continue;
        fs::path file;
        for (const std::smatch& match : all_matches(line, link_or_code)) {
            if (match[1].matched) {
                file = folder / match[1].str();
                continue;
            }
            if (file.empty()) continue;    // the paper's own form of the equation
            INFO(file.string() << ": " << match[2].str());
            REQUIRE(fs::exists(file));
            ++found;
            const Lines lines = lines_of(read_file(file));
            CHECK(std::ranges::count_if(lines, [&](const std::string& each) { return has(each, match[2].str()); }) == 1);
        }
    }
    CHECK(found > 20);
}
