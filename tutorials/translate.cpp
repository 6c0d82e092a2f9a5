// translate: translates sentences with a model that 12_contrast --save DIR has trained. It is a tool beside the course, and a
// small example of a program that uses a saved model.

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "lookback/decode/evaluate.h"
#include "lookback/draw/terminal.h"
#include "lookback/io/translator.h"
#include "lookback/program/error.h"

using namespace lookback;

namespace {

constexpr const char* usage =
    R"(translate: translates sentences with a model that 12_contrast --save DIR has trained

usage: translate DIR [options] [SENTENCE ...]

  SENTENCE        all words are one sentence; but if one of them has a blank (is in quotes), each is a sentence
                  Without any, sentences are read from standard input, one a line
  --model NAME    fixed, attention or transformer (attention)
  --map           shows where the model looked for each word, in tenths (the Transformer: its last layer, mean of the heads)
  --              all that follows are sentences
  --help          this text
)";

constexpr std::size_t longest_line = 1 << 20;    // bytes: what is longer is no sentence, and need not fill the memory
constexpr std::size_t most_tokens = 500;         // a translation may be twice as long, and the Transformer has 1,024 positions

struct Request {
    std::filesystem::path folder;
    std::string model = "attention";
    bool map = false;
    std::vector<std::string> sentences;
};

Request read_request(const std::vector<std::string>& arguments) {
    Request request;
    std::vector<std::string> words;
    bool options = true, folder_given = false;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const std::string& argument = arguments[i];
        if (options && argument == "--")
            options = false;
        else if (options && argument == "--map")
            request.map = true;
        else if (options && argument == "--model" && i + 1 < arguments.size())
            request.model = arguments[++i];
        else if (options && argument.starts_with("--model="))
            request.model = argument.substr(8);
        else if (options && argument.starts_with("--"))
            throw BadInput(fmt::format("unknown option {}, or one without its value: --help lists them all", argument));
        else if (!std::exchange(folder_given, true))
            request.folder = argument;
        else
            words.push_back(argument);
    }
    if (!folder_given) throw BadInput("no folder given: translate DIR reads what 12_contrast --save DIR has trained");
    const bool quoted = std::ranges::any_of(words, [](const std::string& word) { return word.find(' ') != std::string::npos; });
    if (quoted)
        request.sentences = words;
    else if (!words.empty())
        request.sentences = {join(words)};
    return request;
}

// The next line of standard input; a line that is too long is cut to one byte more than it may have.
bool read_line(std::string& line) {
    line.clear();
    int byte;
    while ((byte = std::getchar()) != EOF && byte != '\n')
        if (line.size() <= longest_line) line += static_cast<char>(byte);
    return byte != EOF || !line.empty();
}

// Its words as the model knows them: where it does not know "You." it may know "you" and ".".
std::vector<std::string> words_of(const std::string& line, const Vocabulary& vocabulary) {
    const auto knows = [&](const std::string& word) { return vocabulary.encode({word})[0] != Vocabulary::unknown; };
    std::vector<std::string> words;
    for (const std::string& token : split(printable(line))) {
        std::string word = token;
        if (!knows(word)) std::ranges::transform(word, word.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
        const std::size_t end = word.find_last_not_of(".,;:!?") + 1;
        const std::string stem = word.substr(0, end), mark = word.substr(end);
        if (knows(word)) {
            words.push_back(word);
        } else if (knows(stem)) {
            words.push_back(stem);
            if (knows(mark)) words.push_back(mark);
        } else {
            words.push_back(token);
        }
    }
    return words;
}

class Interpreter {
  public:
    Interpreter(const Request& r)
        : request(r), source(read_vocabulary(r.folder / "source.txt")), target(read_vocabulary(r.folder / "target.txt")) {}

    // Translates all sentences, a line each; where one cannot be translated the line is empty. The exit status.
    template <class Model>
    int run() {
        const Model model = load_translator<Model>(request.folder, request.model);
        if constexpr (std::is_same_v<Model, FixedVector>)
            if (request.map) throw BadInput("--map: the fixed vector does not look back: ask for --model attention");
        const Frozen frozen;    // from sentence to sentence the weights stay as they are
        for (const std::string& sentence : request.sentences) say(model, sentence);
        if (!request.sentences.empty()) return status;
        if (::isatty(STDIN_FILENO)) fmt::print(stderr, "One sentence a line; Ctrl-D ends.\n");
        for (std::string line; read_line(line);) say(model, line);
        if (std::ferror(stdin)) throw BadInput(fmt::format("cannot read the standard input: {}", std::strerror(errno)));
        return status;
    }

  private:
    // fmt::print would throw where stderr is full or closed, and the translation would not be said.
    static void warn(const std::string& message) { std::fputs(message.c_str(), stderr); }

    template <class Model>
    void say(const Model& model, const std::string& line) {
        ++number;
        const std::vector<std::string> words = words_of(line, source);
        const bool too_long = line.size() > longest_line || words.size() > most_tokens;
        if (too_long) {
            warn(fmt::format("translate: sentence {}: too long: at most {} words are translated\n", number, most_tokens));
            status = 2;
        }
        if (too_long || words.empty()) {
            fmt::print("\n");
            return;
        }
        std::vector<std::string> strange;
        for (const std::string& word : words)
            if (source.encode({word})[0] == Vocabulary::unknown) strange.push_back(cut_text(word, 40));
        if (!strange.empty()) warn(fmt::format("translate: sentence {}: words it has never read: {}\n", number, join(strange)));
        const Translation said = evaluate(model, encode({{words, {}}}, source, target), workers).translations[0];
        fmt::print("{}\n", join(target.decode(said.tokens)));
        if (!request.map) return;
        AttentionMap map = map_of(said, words, target);
        map.title = {};
        fmt::print("{}\n", terminal::attention_map(map, terminal::style_of(stdout)));
    }

    const Request& request;
    const Vocabulary source, target;
    Workers workers{1};
    int number = 0, status = 0;
};

int translate(const std::vector<std::string>& arguments) {
    const auto options_end = std::ranges::find(arguments, "--");
    if (std::find_if(arguments.begin(), options_end, [](const std::string& a) { return a == "--help" || a == "-h"; }) !=
        options_end) {
        fmt::print("{}", usage);
        return 0;
    }
    const Request request = read_request(arguments);
    std::error_code error;
    if (!std::filesystem::exists(request.folder / "source.txt", error) && !error)
        throw BadInput(fmt::format("{0}: no models are there: 12_contrast --save {0} trains them", request.folder.string()));
    Interpreter interpreter(request);
    if (request.model == "fixed") return interpreter.run<FixedVector>();
    if (request.model == "attention") return interpreter.run<AttentionTranslator>();
    if (request.model == "transformer") return interpreter.run<TransformerTranslator>();
    throw BadInput(fmt::format("--model {}: there are fixed, attention and transformer", request.model));
}

}    // namespace

int main(int argc, char** argv) {
    std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);    // a reader behind a pipe sees each line when it is made
    try {
        return translate({argv + (argc > 0), argv + argc});
    } catch (const std::exception& error) {
        const char* what = std::ferror(stdout) ? "cannot write the standard output" : error.what();
        std::fputs(fmt::format("translate: {}\n", printable(what)).c_str(), stderr);
        return dynamic_cast<const BadInput*>(&error) ? 2 : 1;
    }
}
