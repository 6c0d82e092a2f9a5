// 12 contrast: What does attention repair?  (about 60 s)
//
// Three models learn to translate the same sentences: an RNN that squeezes each sentence into one vector (06), an RNN that may
// look back at every word (08), and a Transformer (11), which does nothing but look. They are about as large as each other, learn for as
// long, and see the same batches in the same order (the fixed vector, whose step costs half, twice as many). The one that looks back
// also reads both ways, and its output layer sees the look and the word before; the latter alone helps with one clause (0.80 for
// 0.40) and not with three (08, "a look without a choice").
//
// What you will see   a table and a chart of exact match against length, translations right and wrong, and where the models
//                     looked; pictures and figures for the same in the folder contrast/
// Shapes              B batch, S source tokens, T target tokens, V vocabulary; logits (B, T, V)
// Predict             The fixed vector has 128 numbers for a sentence. A clause of this corpus carries some 20 bits of choice.
//                     After how many clauses does it fail? Do the others fail too, and if so, after how many?
// Break on            lookback::op::MaskedSoftmax::backward, lookback::op::GruCell::backward, lookback::run_backward_of
// Papers              Cho et al. 2014, arXiv:1406.1078; Bahdanau et al. 2015, arXiv:1409.0473, figures 2 and 3;
//                     Vaswani et al. 2017, arXiv:1706.03762, table 1

#include <fmt/format.h>

#include <algorithm>
#include <exception>

#include "lookback/decode/evaluate.h"
#include "lookback/draw/svg.h"
#include "lookback/draw/terminal.h"
#include "lookback/io/checkpoint.h"
#include "lookback/io/translator.h"
#include "lookback/ops/shape.h"
#include "lookback/optim/data_parallel.h"
#include "lookback/program/claims.h"
#include "lookback/program/error.h"
#include "lookback/program/file.h"
#include "lookback/program/interrupt.h"
#include "lookback/program/options.h"
#include "lookback/program/progress.h"
#include "lookback/program/stopwatch.h"

using namespace lookback;

namespace {

// The same for all three models: the training budget is time. A step of the fixed vector takes half as long as one of the others, so
// it gets twice as many (a number of steps, not a clock, so that each run gives the same figures). All have the same optimiser and
// the same schedule: a short rise, then half a cosine down to 0. The fixed vector has the rate at which it learns best (of 5e-3, 1e-2,
// 2e-2 and 4e-2), or this would contrast rates.
constexpr int batch_size = 48;
constexpr int shard_count = 4;    // parts of a batch that may be computed side by side; belongs to the run, not to the machine
constexpr int warmup = 100;
constexpr const char* english_french = LOOKBACK_DATASETS "/english-french";
constexpr double learning_rate = 5e-3, fixed_vector_rate = 2e-2;

struct Data {
    Corpus corpus;
    bool by_clauses = false;    // the tests are those of the course; your own are told by name
    std::vector<Example> train;
    std::vector<std::vector<Example>> tests;
    Pair showcase;    // one short sentence that is in no training pair
    Alignment showcase_gold;
};

// All that is told of one model in the end.
struct Report {
    std::string name, key;    // in text, and in results.json
    std::size_t parameters = 0;
    double seconds = 0, tokens = 0;                         // of training
    std::vector<double> losses;                             // one a step
    std::vector<double> exact_match, alignment_accuracy;    // one figure a test
    std::vector<std::vector<Translation>> translations;     // by test, by sentence
    Translation showcase;
};

// ---- 1. One training loop for all three ----------------------------------------------------------------------------------

template <class Model>
void train(Model& model, int steps, double rate, const Data& data, const Options& options, Workers& workers, Report& report) {
    BatchStream stream(data.train, batch_size, Random(options.seed));    // the same seed: the same batches for each model
    Adam adam(model, {.lr = rate, .beta2 = 0.99, .weight_decay = 0.4}, &workers);
    DataParallel<Model> parallel(model, shard_count, workers);
    // With --checkpoint DIR the run is kept every 100 steps, and the same command takes it up where it was interrupted.
    Training training{named_parameters(model), adam, stream, report.losses};
    training.counts = {{"seconds", &report.seconds}, {"tokens", &report.tokens}};
    training.settings["schedule"] = fmt::format("{} steps, {} shards, {} in {}", steps, shard_count, rate, warmup);
    const std::filesystem::path checkpoint = file_in(options.text("checkpoint"), report.key + ".checkpoint");
    const bool goes_on = load_checkpoint(training, checkpoint);
    const int steps_before = static_cast<int>(report.losses.size());
    const bool is_watched = !checkpoint.empty() && terminal::style_of(stderr).screen;
    if (goes_on && is_watched)
        fmt::print(stderr, "{}: goes on after {} of {} steps: {}\n", report.name, steps_before, steps, checkpoint.string());
    Progress progress(report.name, steps - steps_before);
    const Stopwatch watch(report.seconds);

    for (int step = steps_before; step < steps && !interrupted(); ++step) {
        const Batch batch = stream.next();
        const std::vector<Batch> parts = shards(batch, shard_count);

        zero_grad(model);
        const double loss = parallel.backward(static_cast<int>(parts.size()), [&](Model& replica, int part) {
            const Tensor logits = replica(parts[part]);    // (B / shards, T, V)
            return cross_entropy(logits, parts[part].target_out,
                                 {.ignore_index = Vocabulary::pad, .divisor = static_cast<double>(batch.target_tokens)});
        });
        clip_grad_norm(model, 1.0);
        adam.options.lr = rate * warmup_cosine(step, warmup, steps);
        adam.step();

        report.tokens += batch.target_tokens;
        report.seconds = watch.seconds();
        report.losses.push_back(loss);
        progress.advance(batch.target_tokens, loss);
        if ((step + 1) % 100 == 0) save_checkpoint(training, checkpoint);
    }
    save_checkpoint(training, checkpoint);
    if (interrupted() && is_watched) fmt::print(stderr, "kept, and the same command goes on: {}\n", checkpoint.string());
}

// ---- 2. One examination for all three --------------------------------------------------------------------------------------

template <class Model>
void examine(const Model& model, const Data& data, Workers& workers, Report& report) {
    for (std::size_t test = 0; test < data.tests.size(); ++test) {
        Evaluation evaluation = evaluate(model, data.tests[test], workers);
        report.exact_match.push_back(evaluation.exact_match);
        report.translations.push_back(std::move(evaluation.translations));
        if constexpr (requires(const Batch& batch) { model.look(batch); }) {
            const std::vector<Alignment>& gold = data.corpus.tests[test].alignments;
            if (!gold.empty())
                report.alignment_accuracy.push_back(alignment_accuracy(look_back(model, data.tests[test], workers), gold));
        }
    }
    const std::vector<Example> showcase = encode({data.showcase}, data.corpus.source, data.corpus.target);
    report.showcase = evaluate(model, showcase, workers).translations[0];
}

// ---- 3. The data -----------------------------------------------------------------------------------------------------------

Data read_data(const Options& options) {
    Data data;
    std::error_code error;
    data.by_clauses = std::filesystem::equivalent(options.data, english_french, error);
    data.corpus = read_corpus(options.data);
    const Corpus& corpus = data.corpus;
    if (const std::filesystem::path from = options.text("load"); !from.empty()) {    // a model knows the words it learned with
        if (!std::filesystem::exists(from / "source.txt", error))
            throw BadInput(fmt::format("--load {0}: no models are there: 12_contrast --save {0} trains them", from.string()));
        data.corpus.source = read_vocabulary(from / "source.txt");
        data.corpus.target = read_vocabulary(from / "target.txt");
    }
    check_for(corpus, TransformerTranslator::longest, options.data);    // now, and not after two models
    data.train = encode(corpus.train, corpus.source, corpus.target);
    for (const Corpus::Test& test : corpus.tests) {
        data.tests.push_back(encode(test.pairs, corpus.source, corpus.target));
        if (options.quick && data.tests.back().size() > 20) data.tests.back().resize(20);
    }
    if (options.quick)
        for (Corpus::Test& test : data.corpus.tests)
            if (test.alignments.size() > 20) test.alignments.resize(20);
    data.showcase = {split("i love you"), split("je t' aime")};
    data.showcase_gold = {{0, 0}, {2, 1}, {1, 2}};
    const auto is_unknown = [&](const std::string& token) { return corpus.source.id(token) == Vocabulary::unknown; };
    if (std::ranges::any_of(data.showcase.source, is_unknown)) {    // your own corpus: its first test sentence
        data.showcase = corpus.tests[0].pairs[0];
        data.showcase_gold.clear();
    }
    return data;
}

// ---- 4. What is printed ----------------------------------------------------------------------------------------------------

std::string sentence(const Translation& translation, const Corpus& corpus) {
    return join(corpus.target.decode(translation.tokens));
}

// "test-3" -> "3": what a column of the table is headed by.
std::string short_name(const std::string& test) { return test.starts_with("test-") ? test.substr(5) : test; }

LineChart score_chart(const std::vector<Report>& reports, const Data& data) {
    LineChart chart{.title = data.by_clauses ? "Exact match by length" : "Exact match by test",
                    .x_label = data.by_clauses ? "clauses in the sentence" : "test",
                    .y_label = "exact match",
                    .series = {},
                    .y_min = 0,
                    .y_max = 1};
    for (const Report& report : reports) {
        Series series{report.name, {}, report.exact_match};
        for (std::size_t test = 0; test < data.tests.size(); ++test) series.xs.push_back(static_cast<double>(test + 1));
        chart.series.push_back(series);
    }
    return chart;
}

// Where the model looked as it said the showcase, and where it should have, if it was right.
AttentionMap showcase_map(const Report& report, const Data& data) {
    AttentionMap map = map_of(report.showcase, data.showcase.source, data.corpus.target);
    map.title = fmt::format("{}: {}", report.name, map.title);
    if (sentence(report.showcase, data.corpus) == join(data.showcase.target))
        for (const auto& [source, target] : data.showcase_gold) map.gold.emplace_back(target, source);
    return map;
}

void print_scores(const std::vector<Report>& reports, const Data& data) {
    fmt::print("{:40}exact match by {}\n{:<13}{:>9}{:>8}{:>10}", "", data.by_clauses ? "number of clauses" : "test", "model",
               "weights", "time", "tokens");
    int width = 5;
    for (const Corpus::Test& test : data.corpus.tests) width = std::max(width, text_width(short_name(test.name)) + 1);
    for (const Corpus::Test& test : data.corpus.tests) fmt::print("{:>{}}", short_name(test.name), width);
    fmt::print("\n");
    for (const Report& report : reports) {
        fmt::print("{:<13}{:>9}{:>8}{:>10}", report.name, count_text(static_cast<long>(report.parameters)),
                   seconds_text(report.seconds), rate_text(report.tokens / report.seconds));
        for (const double share : report.exact_match) fmt::print("{:{}.2f}", share, width);
        fmt::print("\n");
    }
    fmt::print("{}", terminal::line_chart(score_chart(reports, data), terminal::style_of(stdout), 6));
}

// Two sentences: the showcase, and the first of the second test that the first model gets wrong and the others right.
void print_translations(const std::vector<Report>& reports, const Data& data) {
    const char* source_language = data.by_clauses ? "english" : "source";
    fmt::print("\n{:<14}{}\n", source_language, join(data.showcase.source));
    for (const Report& report : reports) fmt::print("{:<14}{}\n", report.name, sentence(report.showcase, data.corpus));
    const std::size_t test = std::min<std::size_t>(1, data.tests.size() - 1);
    for (std::size_t i = 0; i < data.tests[test].size(); ++i) {
        bool telling = true;
        for (std::size_t r = 0; r < reports.size(); ++r)
            telling &= (reports[r].translations[test][i].tokens == data.tests[test][i].target) == (r > 0);
        const Pair& pair = data.corpus.tests[test].pairs[i];
        const std::string source = join(pair.source), right = join(pair.target),
                          said = sentence(reports[0].translations[test][i], data.corpus);
        if (!telling || std::max({text_width(source), text_width(right), text_width(said)}) > 66) continue;
        fmt::print("{:<14}{}\n{:<14}{}\n{:<14}{}\n", source_language, source, reports[0].name, said, "the others", right);
        return;
    }
}

// ---- 5. What is written ----------------------------------------------------------------------------------------------------

std::string json_list(const std::vector<double>& values) {
    std::string list;
    for (const double value : values) list += fmt::format("{}{:.4f}", list.empty() ? "" : ", ", value);
    return "[" + list + "]";
}

// The losses with the noise of single batches taken out.
Series means(const Report& report, std::size_t group) {
    Series series{report.name, {}, {}};
    for (std::size_t begin = 0; begin < report.losses.size(); begin += group) {
        const std::size_t end = std::min(begin + group, report.losses.size());
        double sum = 0;
        for (std::size_t i = begin; i < end; ++i) sum += report.losses[i];
        series.xs.push_back(static_cast<double>(end));
        series.ys.push_back(sum / static_cast<double>(end - begin));
    }
    return series;
}

void write_figures(const std::vector<Report>& reports, const Data& data, const std::filesystem::path& out, double seconds) {
    std::string csv = "model,step,loss\n", json = "{\n";
    LineChart losses{.title = "Training loss (means of 20 steps)",
                     .x_label = "step",
                     .y_label = "cross-entropy per token",
                     .series = {},
                     .log_y = true};
    for (const Report& report : reports) {
        losses.series.push_back(means(report, 20));
        for (std::size_t i = 0; i < report.losses.size(); ++i)
            csv += fmt::format("{},{},{:.6f}\n", report.key, i + 1, report.losses[i]);
        json += fmt::format(
            "  \"{}\": {{\"parameters\": {}, \"steps\": {}, \"seconds\": {:.2f}, \"tokens_per_second\": {:.0f},\n"
            "    \"exact_match\": {}",
            report.key, report.parameters, report.losses.size(), report.seconds, report.tokens / std::max(report.seconds, 1e-9),
            json_list(report.exact_match));
        if (!report.alignment_accuracy.empty())
            json += fmt::format(",\n    \"alignment_accuracy\": {}", json_list(report.alignment_accuracy));
        json += "},\n";
        if (report.showcase.attention.rows > 0)
            write_file(out / (report.key + "_map.svg"), svg::attention_map(showcase_map(report, data)));
    }
    json += fmt::format("  \"seconds\": {:.2f}\n}}\n", seconds);
    write_file(out / "score_by_length.svg", svg::line_chart(score_chart(reports, data)));
    write_file(out / "results.json", json);
    if (reports[0].losses.empty()) return;    // nothing was trained
    write_file(out / "loss.svg", svg::line_chart(losses));
    write_file(out / "log.csv", csv);
}

// Every head of every layer as one small map: where the Transformer looks as it reads the first pair of a test.
void write_heads(const TransformerTranslator& model, const Data& data, const std::filesystem::path& out) {
    const NoGrad no_grad;
    const Pair& pair = data.corpus.tests[0].pairs[0];
    const std::vector<Example> example = encode({pair}, data.corpus.source, data.corpus.target);
    std::vector<Tensor> layers;    // (1, heads, T, S) each
    model(batches_in_order(example, 1)[0], evaluation, &layers);
    std::vector<AttentionMap> maps;
    for (std::size_t layer = 0; layer < layers.size(); ++layer)
        for (int head = 0; head < layers[layer].size(1); ++head) {
            const Tensor weights = select(layers[layer], 1, head);
            AttentionMap map{fmt::format("layer {}, head {}", layer + 1, head + 1), pair.target, pair.source, {}, {}};
            map.rows.push_back("</s>");
            map.columns.push_back("</s>");
            map.weights.assign(weights.data(), weights.data() + weights.size());
            maps.push_back(map);
        }
    write_file(out / "transformer_heads.svg",
               svg::small_multiples("Where the heads of the Transformer look", maps, model.options.heads));
}

// ---- 6. The experiment -----------------------------------------------------------------------------------------------------

int contrast(const Options& options) {
    const Stopwatch watch;
    const Data data = read_data(options);
    const int source = data.corpus.source.size(), target = data.corpus.target.size();
    const std::string &to = options.text("save"), &from = options.text("load");
    if (!to.empty()) make_writable_folder(to);
    Workers workers(options.threads);

    if (!from.empty()) fmt::print("The models that were saved in {}\n\n", from);
    if (from.empty())
        fmt::print(
            "{} pairs to learn from, {} a step. Each model learns for about as long:\n{} steps, and {} of the fixed vector's, "
            "which take half the time.\n\n",
            count_text(static_cast<long>(data.train.size())), batch_size, options.steps, 2 * options.steps);
    std::vector<Report> reports;
    const auto study = [&](const char* name, const char* key, auto& model, int steps, double rate) {
        if (interrupted()) return;
        Report& report = reports.emplace_back();
        report.name = name;
        report.key = key;
        if (from.empty())
            train(model, steps, rate, data, options, workers, report);
        else
            model = load_translator<std::decay_t<decltype(model)>>(from, key);
        report.parameters = parameter_count(model);
        if (!to.empty() && !interrupted()) {    // half a training replaces no whole one
            save_vocabularies(data.corpus.source, data.corpus.target, to);
            save_translator(model, to, key);
        }
        examine(model, data, workers, report);
    };
    Random random(options.seed);
    FixedVector fixed(source, target, random);
    AttentionTranslator attention(source, target, random);
    TransformerTranslator transformer(source, target, random);
    study("fixed vector", "fixed", fixed, 2 * options.steps, fixed_vector_rate);
    study("attention", "attention", attention, options.steps, learning_rate);
    study("Transformer", "transformer", transformer, options.steps, learning_rate);

    if (reports.empty()) return Claims().report();    // Ctrl-C: what was learned so far is told, and no more
    const bool drawn = reports.size() == 3 && !options.out.empty();
    std::exception_ptr not_written;
    if (drawn) try {    // before anything is printed: the reader of a pipe may have gone
            write_figures(reports, data, options.out, watch.seconds());
            write_heads(transformer, data, options.out);
        } catch (const BadInput&) {
            not_written = std::current_exception();
        }
    print_scores(reports, data);
    if (reports.size() < 3) return Claims().report();
    print_translations(reports, data);
    const Report &f = reports[0], &a = reports[1], &t = reports[2];
    AttentionMap shown = showcase_map(a, data);
    shown.title = {};
    shown.rows.resize(std::min<std::size_t>(shown.rows.size(), 8));    // one who has learned nothing does not stop talking
    shown.weights.resize(shown.rows.size() * shown.columns.size());
    fmt::print("\nWhere attention looked for each word, in tenths of its attention\n{}",
               terminal::attention_map(shown, terminal::style_of(stdout)));
    if (data.by_clauses && a.alignment_accuracy.size() > 2)
        fmt::print("looks at the right word (3 clauses): attention {:.0f} %, Transformer {:.0f} %\n",
                   100 * a.alignment_accuracy[2], 100 * t.alignment_accuracy[2]);
    if (not_written) std::rethrow_exception(not_written);
    if (drawn) fmt::print("pictures and figures: {}\n", options.out.string());

    Claims claims;
    if (options.usual) {
        claims.check(f.exact_match[0] >= 0.90 && a.exact_match[0] >= 0.90 && t.exact_match[0] >= 0.90, "all know one clause");
        claims.check(f.exact_match[3] <= 0.10, "one vector does not hold four clauses");
        claims.check(a.exact_match[3] >= 0.97 && t.exact_match[3] >= 0.97, "attention and Transformer translate four clauses");
        claims.check(f.exact_match[4] <= 0.02, "one vector does not hold five clauses");
        claims.check(a.exact_match[4] >= 0.92 && t.exact_match[4] >= 0.92, "attention and Transformer translate five clauses");
        claims.check(a.alignment_accuracy[2] >= 0.85, "attention looks at the right word");
        claims.check(sentence(a.showcase, data.corpus) == "je t' aime", "attention says: je t' aime");
        claims.check(sentence(t.showcase, data.corpus) == "je t' aime", "the Transformer says: je t' aime");
        const auto looks_at = [&](int word, int place) {
            const AttentionWeights& map = a.showcase.attention;
            for (int s = 0; s < map.columns; ++s)
                if (map.at(word, s) > map.at(word, place)) return false;
            return true;
        };
        claims.check(a.showcase.attention.rows == 4 && looks_at(2, 1) && looks_at(1, 2), "aime looks at love, t' at you");
    }
    return claims.report();
}

}    // namespace

int main(int argc, char** argv) {
    return run_program(argc, argv,
                       {.name = "12_contrast",
                        .question = "What does attention repair?",
                        .steps = 1500,
                        .quick_steps = 12,
                        .out = "contrast",
                        .data = english_french,
                        .own = {{"save", "DIR", "", "folder for the trained models, which translate reads", 0, 0, false},
                                {"load", "DIR", "", "examine the models saved there, and train none"},
                                {"checkpoint", "DIR", "", "keep the training there, and go on with it", 0, 0, false}}},
                       contrast);
}

// Exercises (solutions/12_contrast.md)
//   1. Run with --seed 2 and --seed 3. Which figures stay, and which one of a single run would you not put into a paper?
//   2. Give the fixed vector 256 numbers. How many clauses does it hold then, and is the contrast still fair?
//   3. Rescue it in another way: cut each sentence at its conjunctions and translate clause by clause (Pouget-Abadie et al. 2014,
//      arXiv:1409.1257). Which sentences does it get right now, and why would this be harder in a real language?
//
// Break it: change one line, say what will happen, run with --steps 300
//   zero_grad(model);                     leave it out: each step follows the slopes of all steps so far
//   static_cast<int>(parts.size()), [     static_cast<int>(parts.size()) - 1, [: a quarter of each batch is never read
//   .ignore_index = Vocabulary::pad       .ignore_index = -1: padding is a word to say like any other
//   learning_rate = 5e-3                  learning_rate = 5e-2: ten times as fast. For whom?
//
// Questions
//   Where does a loss of the attention model reach the first source word without passing all states?  Through the context: one
//     weighted sum at each step, matmul(weights, memory) (Matmul::backward adds weight times gradient to every row of the memory).
//   Why is the loss divided by batch.target_tokens, and not by those of its part?  The parts' gradients are added, and so must
//     sum to that of the mean over the whole batch, however it was cut.
//   Why do attention and Transformer fail at 7 clauses, too?  Training ends at 5: no state, no position, no look was ever so far in.
//     How far it carries is a matter of training: at a rate of 2e-2 attention has 0.66 there.
//   Why may the fixed vector train for twice as many steps?  The budget is time, and its step costs half. Steps are not
//     what it lacks: twice as many again give it 0.54 of three clauses and 0.12 of four; with half as many the others make hardly
//     a mistake.
//   Is 0.94 against 0.99 a difference?  Its error is sqrt((0.94 x 0.06 + 0.99 x 0.01) / 200) = 0.018: it is hardly chance.
