#include "lookback/draw/terminal.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <optional>
#include <sstream>
#include <stdexcept>

using namespace lookback;

namespace {

const LineChart scores{
    .title = "Score by length",
    .x_label = "clauses",
    .y_label = "exact match",
    .series = {{"fixed vector", {1, 2, 3, 4}, {.91, .53, .02, 0}}, {"attention", {1, 2, 3, 4}, {1, 1, .99, .98}}},
    .y_min = 0,
    .y_max = 1};

const AttentionMap love{.title = "I love you",
                        .rows = {"je", "t'", "aimé"},
                        .columns = {"I", "love", "you"},
                        .weights = {.93, .04, .03, .02, .38, .6, .01, .72, .27},
                        .gold = {}};

int widest_line(const std::string& text) {
    std::istringstream lines(text);
    int width = 0;
    for (std::string line; std::getline(lines, line);) width = std::max(width, text_width(line));
    return width;
}

std::string without_colour(const std::string& text) {
    std::string plain;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\x1b')
            i = text.find('m', i);
        else
            plain += text[i];
    }
    return plain;
}

// Sets an environment variable, or unsets it, until the end of the block.
struct Environment {
    const char* name;
    std::optional<std::string> before;
    Environment(const char* name_, const char* value) : name(name_) {
        if (const char* old = std::getenv(name)) before = old;
        value ? setenv(name, value, 1) : unsetenv(name);
    }
    ~Environment() { before ? setenv(name, before->c_str(), 1) : unsetenv(name); }
};

}    // namespace

TEST_CASE("a chart in the terminal has a mark of its own for each series, side by side where they share an x") {
    CHECK(terminal::line_chart(scores, {.width = 40}, 6) ==
          "exact match  o fixed vector  x attention\n"
          "    1 ┤ o x        x         x        x\n"
          "  0.8 ┤\n"
          "  0.6 ┤          o\n"
          "  0.4 ┤\n"
          "  0.2 ┤\n"
          "    0 ┤                    o        o\n"
          "      └───────────────────────── clauses\n"
          "         1        2         3        4\n");
}

TEST_CASE("no two ticks share a row: where there are too few rows, each second one is left out") {
    const std::string chart = terminal::line_chart(scores, {.width = 40}, 5);
    CHECK(chart.find("  0.8 ┤") != std::string::npos);
    CHECK(chart.find("  0.4 ┤") != std::string::npos);
    CHECK(chart.find("    0 ┤") != std::string::npos);
    for (const char* left_out : {"1 ┤", "0.6 ┤", "0.2 ┤"}) CHECK(chart.find(left_out) == std::string::npos);
}

TEST_CASE("an axis is named after its last tick, or in its line where the screen ends before that") {
    LineChart named = scores;
    named.x_label = "words";
    CHECK(terminal::line_chart(named, {.width = 80}, 6).ends_with("                  4  words\n"));
    named.x_label = "clauses in the sentence";
    for (int width = 50; width <= 80; ++width) CHECK(widest_line(terminal::line_chart(named, {.width = width}, 6)) <= width);
}

TEST_CASE("in an overlay a later mark covers an earlier one, and a curve of many points is dotted") {
    LineChart chart{.title = "Descent",
                    .x_label = "w",
                    .y_label = "f(w)",
                    .series = {{"w^2", {}, {}}, {"steps", {2, 1, 0}, {4, 1, 0}}},
                    .overlay = true};
    for (int i = -16; i <= 16; ++i) {
        chart.series[0].xs.push_back(i / 8.0);
        chart.series[0].ys.push_back(i * i / 64.0);
    }
    CHECK(terminal::line_chart(chart, {.width = 40}, 5) ==
          "f(w)  · w^2  x steps\n"
          "    4 ┤ ··                           ·x\n"
          "    3 ┤   ··                       ··\n"
          "    2 ┤     ···                 ···\n"
          "    1 ┤        ···           ··x\n"
          "    0 ┤           ·····x·····\n"
          "      └─────────────────────────────── w\n"
          "        -2      -1     0       1      2\n");
}

TEST_CASE("a map in the terminal can be read without colour") {
    CHECK(terminal::attention_map(love, {}) ==
          "I love you\n"
          "       I  love you\n"
          "je    █9█  ·    ·\n"
          "t'     ·  ░3░░ ▒6▒\n"
          "aimé   ·  ▓7▓▓ ░2░\n");
}

TEST_CASE("colour adds escapes only: the marks and the numbers stay") {
    const std::string chart = terminal::line_chart(scores, {.colour = true});
    CHECK(chart.find("\x1b[38;5;33mo\x1b[0m") != std::string::npos);
    CHECK(without_colour(chart) == terminal::line_chart(scores, {}));
    const std::string map = terminal::attention_map(love, {.colour = true});
    CHECK(map.find("\x1b[48;5;") != std::string::npos);
    CHECK(without_colour(map).find("\naimé   ·    7   2") != std::string::npos);
}

TEST_CASE("columns too wide for the screen are numbered and explained, and more than fit follow below") {
    AttentionMap map{.title = "", .rows = {"x"}, .columns = {}, .weights = {}, .gold = {}};
    for (int s = 0; s < 12; ++s) map.columns.push_back("extraordinary");
    map.weights.assign(12, 1.0 / 12);
    const std::string numbered = terminal::attention_map(map, {.width = 80});
    CHECK(numbered.find(" 1   2   3 ") != std::string::npos);
    CHECK(numbered.find("\n1 extraordinary  2 extraordinary  3 ") != std::string::npos);
    CHECK(widest_line(numbered) <= 80);
    for (int width = 24; width < 80; ++width) CHECK(widest_line(terminal::attention_map(map, {.width = width})) <= width);
    CHECK(terminal::attention_map(map, {.width = 30})
              .starts_with("    1   2   3   4   5   6\nx   ·   ·   ·   ·   ·   ·\n    7   8"));
}

TEST_CASE("small maps stand side by side under their titles, and below each other where the screen ends") {
    const std::vector<AttentionMap> maps = {
        {"first", {"je", "t'"}, {"I", "love"}, {.9, .1, 0, 1}, {}},
        {"a title that is too long", {"", ""}, {"I"}, {1, .4}, {}},
    };
    const std::string side_by_side =
        "    first      a title that is too long\n"
        "     I  love    I\n"
        "je  █9█ ░1░░   █9█\n"
        "t'   ·  █9██   ▒4▒\n";
    CHECK(terminal::small_multiples(maps, {}) == side_by_side);
    CHECK(terminal::small_multiples(maps, {.width = 39}) == side_by_side);
    const std::string first_alone = terminal::small_multiples({maps[0]}, {}),
                      last_alone = terminal::small_multiples({maps[1]}, {});
    CHECK(terminal::small_multiples(maps, {.width = 38}) == first_alone + last_alone);
    for (int width = 20; width < 40; ++width) CHECK(widest_line(terminal::small_multiples(maps, {.width = width})) <= width);
    CHECK(without_colour(terminal::small_multiples(maps, {.colour = true})).find("\nje   9    1     9  \n") != std::string::npos);
    CHECK_THROWS_WITH_AS(terminal::small_multiples({maps[0], {"", {"x"}, {"I"}, {1}, {}}}, {}),
                         "small_multiples: map 1 has 1 rows, the one beside it 2: draw the same rows", std::invalid_argument);
}

TEST_CASE("a small map too wide for the screen is drawn alone, with numbered columns") {
    AttentionMap wide = love;
    for (std::string& column : wide.columns) column += " and much more";
    const terminal::Style narrow{.width = 30};
    CHECK(terminal::small_multiples({love, wide, love}, narrow) == terminal::small_multiples({love}, narrow) +
                                                                       terminal::attention_map(wide, narrow) +
                                                                       terminal::small_multiples({love}, narrow));
}

TEST_CASE("the labels of an axis stay apart from it and from each other, however many digits they have") {
    LineChart chart{.title = "", .x_label = "x", .y_label = "y", .series = {{"a", {1, 2}, {.0002, .0008}}}};
    const std::string small = terminal::line_chart(chart, {});
    for (const char* label : {"\n0.0002 ┤", "\n0.0008 ┤", "\n       │"}) CHECK(("\n" + small).find(label) != std::string::npos);
    CHECK(widest_line(small) <= 80);
    chart.series[0] = {"a", {1000000.1, 1000000.2, 1000000.3}, {1, 2, 3}};
    CHECK(terminal::line_chart(chart, {}).find("1000000.2") != std::string::npos);
}

TEST_CASE("weights that are no weights are drawn as the nearest that are") {
    const AttentionMap odd{.title = "", .rows = {"a"}, .columns = {"b", "c", "d"}, .weights = {std::nan(""), -1, 7}, .gold = {}};
    CHECK(terminal::attention_map(odd, {}) == "    b   c   d\na   ·   ·  █9█\n");
}

TEST_CASE("odd figures are drawn without harm") {
    const double nan = std::nan("");
    CHECK_NOTHROW(terminal::attention_map({.title = "", .rows = {}, .columns = {}, .weights = {}, .gold = {}}, {}));
    const auto draw = [](std::vector<double> xs, std::vector<double> ys) {
        return terminal::line_chart({.title = "", .x_label = "x", .y_label = "y", .series = {{"a", xs, ys}}}, {}, 3);
    };
    CHECK_NOTHROW(draw({}, {}));
    CHECK_NOTHROW(draw({1}, {5}));
    CHECK_NOTHROW(draw({1, 2}, {3, 3}));
    CHECK_NOTHROW(draw({1, 2, nan}, {1e300, -1e300, 0}));
    CHECK_NOTHROW(draw({-1.7e308, 1.7e308}, {-1.7e308, 1.7e308}));
    CHECK_NOTHROW(draw({1e300}, {1e300}));
    CHECK_NOTHROW(terminal::line_chart(scores, {.width = 0}));
    CHECK_NOTHROW(draw({1e-300, 2e-300}, {HUGE_VAL, nan}));
}

TEST_CASE("figures whose sizes do not fit are refused with the numbers") {
    CHECK_THROWS_WITH_AS(terminal::attention_map({.title = "", .rows = {"a"}, .columns = {"b"}, .weights = {}, .gold = {}}, {}),
                         "attention_map: 1 rows x 1 columns want 1 weights, got 0", std::invalid_argument);
    CHECK_THROWS_WITH_AS(terminal::line_chart({.title = "", .x_label = "", .y_label = "", .series = {{"a", {1, 2}, {1}}}}, {}),
                         "line_chart: series 'a' has 2 xs and 1 ys: give one y for each x", std::invalid_argument);
    CHECK_THROWS_AS(terminal::line_chart({.title = "", .x_label = "", .y_label = "", .series = {}}, {}), std::invalid_argument);
}

TEST_CASE("a sparkline goes from the lowest to the highest value and averages what does not fit") {
    using Values = std::vector<double>;
    CHECK(terminal::sparkline(Values{7, 6, 5, 4, 3, 2, 1, 0}) == "█▇▆▅▄▃▂▁");
    CHECK(terminal::sparkline(Values{0, 2, 6, 8}, 2) == "▁█");
    CHECK(terminal::sparkline(Values{1, std::nan(""), 2}) == "▁?█");
    CHECK(terminal::sparkline(Values{-1.7e308, 0, 1.7e308}) == "▁▅█");
    CHECK(terminal::sparkline(Values{3, 3}) == "▁▁");
    CHECK(terminal::sparkline(Values{}) == "");
}

TEST_CASE("a file is no screen: 80 columns and no colour, whatever the environment says") {
    const Environment term("TERM", "xterm"), columns("COLUMNS", "33"), no_colour("NO_COLOR", nullptr);
    std::FILE* file = std::tmpfile();
    const terminal::Style style = terminal::style_of(file);
    std::fclose(file);
    CHECK_FALSE(style.screen);
    CHECK_FALSE(style.colour);
    CHECK(style.width == 80);
}

TEST_CASE("a screen has colour unless NO_COLOR is set or TERM is dumb, and the width of COLUMNS or of the terminal") {
    const int master = posix_openpt(O_RDWR | O_NOCTTY);
    grantpt(master);
    unlockpt(master);
    const char* const name = ptsname(master);
    std::FILE* screen = name ? std::fopen(name, "w") : nullptr;
    if (!screen) {
        MESSAGE("not tested: there are no terminals here; /dev/pts is not mounted");
        return;
    }
    const winsize size{24, 57, 0, 0};
    ioctl(fileno(screen), TIOCSWINSZ, &size);
    const Environment term("TERM", "xterm"), columns("COLUMNS", nullptr), no_colour("NO_COLOR", nullptr);
    CHECK(terminal::style_of(screen).colour);
    CHECK(terminal::style_of(screen).width == 57);
    {
        const Environment narrow("COLUMNS", "43"), set("NO_COLOR", "1");
        CHECK(terminal::style_of(screen).width == 43);
        CHECK(terminal::style_of(screen).screen);
        CHECK_FALSE(terminal::style_of(screen).colour);
    }
    {
        const Environment wide("COLUMNS", "99");    // each line would be wrapped
        CHECK(terminal::style_of(screen).width == 57);
    }
    {
        const Environment dumb("TERM", "dumb");
        CHECK_FALSE(terminal::style_of(screen).screen);
        CHECK_FALSE(terminal::style_of(screen).colour);
    }
    for (const char* none : {"", static_cast<const char*>(nullptr)}) {
        const Environment unknown("TERM", none);
        CHECK_FALSE(terminal::style_of(screen).screen);
    }
    const Environment empty("NO_COLOR", ""), nonsense("COLUMNS", "many");
    CHECK(terminal::style_of(screen).colour);
    CHECK(terminal::style_of(screen).width == 57);
    const winsize narrow{24, 5, 0, 0}, unknown{0, 0, 0, 0};
    ioctl(fileno(screen), TIOCSWINSZ, &narrow);
    CHECK(terminal::style_of(screen).width == 20);
    ioctl(fileno(screen), TIOCSWINSZ, &unknown);
    CHECK(terminal::style_of(screen).width == 80);
    const Environment told("COLUMNS", "43");
    CHECK(terminal::style_of(screen).width == 43);
    std::fclose(screen);
    close(master);
}

TEST_CASE("a text's width is its number of columns: none for an accent of its own, two for the signs of East Asia") {
    CHECK(text_width("e\u0301coute") == 6);
    CHECK(text_width("\u4f60\u597d\U0001F600") == 6);
    CHECK(cut_text("e\u0301coute", 3) == "e\u0301c…");
    CHECK(cut_text("\u4f60\u597d", 3) == "\u4f60…");
    CHECK(cut_text("\u4f60\u597d", 2) == "…");
    CHECK(text_width("écoute") == 6);
    CHECK(text_width("") == 0);
    CHECK(cut_text("écoute", 6) == "écoute");
    CHECK(cut_text("écoute", 5) == "écou…");
    CHECK(cut_text("écoute", 1) == "…");
    CHECK(cut_text("écoute", 0) == "");
}

TEST_CASE("a printable text has blanks for what would command a terminal, and for what no XML may hold") {
    CHECK(printable("\x1b[2J\t\r\n\x7f") == " [2J    ");
    CHECK(printable("a\xC2\x80\xC2\x9B\xC2\x9F") == "a   ");
    CHECK(printable("\xC2"
                    "A<\xC2\xC2") ==
          "\xC2"
          "A<\xC2\xC2");    // no UTF-8, and left as it is
    CHECK(printable("\xEF\xBF\xBE\xEF\xBF\xBF.") == "  .");
    CHECK(printable("\xC2\xA0 écoute … \xEF\xBF\xBD \xC2") == "\xC2\xA0 écoute … \xEF\xBF\xBD \xC2");
}

TEST_CASE("lines one over the other are dotted beyond 24 points") {
    for (const int points : {24, 25}) {
        Series series{"a", {}, {}};
        for (int i = 0; i < points; ++i) series.xs.push_back(i), series.ys.push_back(i);
        const LineChart chart{.title = "", .x_label = "x", .y_label = "y", .series = {series}, .overlay = true};
        CHECK((terminal::line_chart(chart, {}).find("·") != std::string::npos) == (points == 25));
    }
}

TEST_CASE("in colour, little weight is dark under light text, much is light under dark text, and each line has its own") {
    const std::string map = terminal::attention_map(
        {.title = "", .rows = {"a"}, .columns = {"b", "c"}, .weights = {0, 1}, .gold = {}}, {.colour = true});
    CHECK(map.find("\x1b[48;5;17;38;5;255m ·") != std::string::npos);
    CHECK(map.find("\x1b[48;5;226;38;5;16m 9") != std::string::npos);
    const std::string middle = terminal::attention_map(
        {.title = "", .rows = {"a"}, .columns = {"b", "c"}, .weights = {.25, .35}, .gold = {}}, {.colour = true});
    CHECK(middle.find("38;5;255m 2") != std::string::npos);
    CHECK(middle.find("38;5;16m 3") != std::string::npos);
    const LineChart chart{.title = "", .x_label = "", .y_label = "", .series = {{"a", {1}, {1}}, {"b", {1}, {1}}}};
    CHECK(terminal::line_chart(chart, {.colour = true}).find("\x1b[38;5;166mx\x1b[0m") != std::string::npos);
}

TEST_CASE("a point beyond the axis stands at its end") {
    LineChart beyond = scores;
    beyond.series[0].ys[0] = 7;
    LineChart at_the_end = scores;
    at_the_end.series[0].ys[0] = 1;
    CHECK(terminal::line_chart(beyond, {.width = 40}, 5) == terminal::line_chart(at_the_end, {.width = 40}, 5));
}

TEST_CASE("a sparkline's bars are means") {
    using Values = std::vector<double>;
    CHECK(terminal::sparkline(Values{0, 8, 0, 0, 8, 8}, 3) == "▅▁█");
}

TEST_CASE("between two labels of an axis there is a blank") {
    LineChart chart{.title = "", .x_label = "x", .y_label = "y", .series = {{"a", {}, {}}}};
    for (int i = 1; i <= 12; ++i) chart.series[0].xs.push_back(i * 1000), chart.series[0].ys.push_back(i);
    for (int width = 20; width <= 72; ++width) {
        const std::string text = terminal::line_chart(chart, {.width = width}, 3);
        std::istringstream labels(text.substr(text.rfind('\n', text.size() - 2)));
        for (std::string label; labels >> label;) CHECK_MESSAGE(label.size() <= 5, label << " in " << width << " columns");
    }
}
