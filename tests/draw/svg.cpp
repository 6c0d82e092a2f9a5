#include "lookback/draw/svg.h"

#include <doctest/doctest.h>

#include <fmt/format.h>
#include <cmath>
#include <cstdlib>
#include <stdexcept>

using namespace lookback;

namespace {

int count(const std::string& text, const std::string& part) {
    int found = 0;
    for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++found;
    return found;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// Where the text `name` stands.
double number_before(const std::string& document, const std::string& name, const std::string& attribute) {
    const std::size_t end = document.find(">" + name + "</text>");
    REQUIRE(end != std::string::npos);
    return std::atof(document.c_str() + document.rfind(attribute, end) + attribute.size());
}
double x_of(const std::string& document, const std::string& name) { return number_before(document, name, "<text x=\""); }
double y_of(const std::string& document, const std::string& name) { return number_before(document, name, " y=\""); }

LineChart chart_of(std::vector<Series> series) {
    return {.title = "Score", .x_label = "x", .y_label = "y", .series = std::move(series)};
}

const AttentionMap love{.title = "I love you",
                        .rows = {"je", "t'", "aime"},
                        .columns = {"I", "love", "you"},
                        .weights = {1, 0, 0, 0, .004, .95, 0, .9, .1},
                        .gold = {{0, 0}, {1, 2}, {2, 1}}};

}    // namespace

TEST_CASE("a picture is one document with title, description and a dark style, and names no other file") {
    for (const std::string& document : {svg::line_chart(chart_of({{"a", {1, 2}, {0, 1}}})), svg::attention_map(love),
                                        svg::small_multiples("heads", {love, love}, 2)}) {
        CHECK(document.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\""));
        CHECK(document.ends_with("</svg>\n"));
        CHECK(count(document, "<title>") == 1);
        CHECK(count(document, "<desc>") == 1);
        CHECK(has(document, "@media (prefers-color-scheme:dark)"));
        CHECK_FALSE(has(document, "href"));
        CHECK_FALSE(has(document, "nan"));
    }
}

TEST_CASE("a map of something else than tokens says what its rows and columns are, and nothing of tokens") {
    AttentionMap map = love;
    map.gold.clear();
    map.about = "row i, column j: the slope of y_i along x_j";
    for (const std::string& document : {svg::attention_map(map), svg::small_multiples("slopes", {map, map}, 2)}) {
        CHECK(has(document, "<desc>row i, column j: the slope of y_i along x_j"));
        CHECK(has(document, ">row i, column j: the slope of y_i along x_j</text>"));
        CHECK_FALSE(has(document, "token"));
    }
}

TEST_CASE("texts from outside are escaped, and control characters do not reach the file") {
    AttentionMap map = love;
    map.title = "<b>&\"'\x01\xEF\xBF\xBF";
    map.rows[0] = "</text>";
    map.columns[0] = "<script>";
    for (const std::string& document : {svg::attention_map(map), svg::small_multiples(map.title, {map}, 1)}) {
        CHECK(has(document, "<title>&lt;b&gt;&amp;&quot;&#39;  </title>"));
        CHECK(has(document, ">&lt;/text&gt;</text>"));
        CHECK(has(document, ">&lt;script&gt;</text>"));
        CHECK_FALSE(has(document, "<script"));
        CHECK_FALSE(has(document, "\x01"));
    }
    CHECK(has(svg::line_chart(chart_of({{"a<b", {1, 2}, {0, 1}}})), ">a&lt;b</text>"));
}

TEST_CASE("the points of a line stand where its axes say") {
    LineChart chart = chart_of({{"a", {1, 2, 3}, {0, .5, 1}}});
    chart.y_min = 0, chart.y_max = 1;
    // The plot goes from x = 56 to 590.9 (the name is one letter wide) and from y = 350 up to 70.
    CHECK(has(svg::line_chart(chart), "d=\"M56 350 323.4 210 590.9 70\""));
    chart.log_y = true, chart.y_min = 0.01;
    chart.series[0].ys = {0.01, 0.1, 1};
    CHECK(has(svg::line_chart(chart), "d=\"M56 350 323.4 210 590.9 70\""));
}

TEST_CASE("a logarithmic axis leaves out what is not positive, and any axis what is not finite") {
    LineChart chart = chart_of({{"a", {1, 2, 3, 4, 5}, {1, 0, -1, std::nan(""), 100}}});
    chart.log_y = true;
    CHECK(has(svg::line_chart(chart), "d=\"M56 350 590.9 70\""));
}

TEST_CASE("a logarithmic axis has a dozen labels at most: over many powers of ten only some of these") {
    const auto labels = [](double low, double high) {
        LineChart chart = chart_of({{"a", {1, 2}, {low, high}}});
        chart.log_y = true;
        const std::string document = svg::line_chart(chart);
        std::string found;
        for (const char* label : {"1e-12", "1e-10", "1e-09", "1e-08", "0.0001", "0.001", "0.01", "0.1", "0.2", "0.5", "1", "10"})
            if (has(document, std::string(">") + label + "</text>")) found += std::string(label) + " ";
        return found;
    };
    CHECK(labels(0.1, 2) == "0.1 0.2 0.5 1 ");
    CHECK(labels(1e-4, 20) == "0.0001 0.001 0.01 0.1 1 10 ");
    CHECK(labels(1e-12, 10) == "1e-12 1e-10 1e-08 0.0001 0.01 1 ");
}

TEST_CASE("a logarithmic axis too short for three round numbers has evenly spaced ones") {
    LineChart chart = chart_of({{"a", {1, 2}, {2.2, 2.4}}});
    chart.log_y = true;
    for (const char* label : {"2.2", "2.25", "2.3", "2.35", "2.4"})
        CHECK(has(svg::line_chart(chart), fmt::format(">{}</text>", label)));
}

TEST_CASE("the names at the ends of the lines never overlap and keep the order of the lines") {
    const std::string document = svg::line_chart(chart_of({{"aa", {1, 2}, {.2, 0}},
                                                           {"bb", {1, 2}, {.5, 0}},
                                                           {"cc", {1, 2}, {1, 0}},
                                                           {"dd", {1, 2}, {1, .99}},
                                                           {"ee", {1, 2}, {1, 1}}}));
    const std::vector<double> ys = {y_of(document, "ee"), y_of(document, "dd"), y_of(document, "cc"), y_of(document, "bb"),
                                    y_of(document, "aa")};
    for (std::size_t i = 1; i < ys.size(); ++i) CHECK(ys[i] - ys[i - 1] >= 18.9);
    CHECK(ys.back() <= 355);
    CHECK(ys.front() >= 70);
}

TEST_CASE("a chart is as wide as its title wants") {
    LineChart chart = chart_of({{"a", {1, 2}, {0, 1}}});
    CHECK(has(svg::line_chart(chart), " width=\"640\""));
    chart.title = std::string(60, 'm');
    CHECK(has(svg::line_chart(chart), " width=\"752\""));
}

TEST_CASE("lines of many points have no marks but the one beside their name") {
    Series series{"loss", {}, {}};
    for (int i = 0; i < 100; ++i) series.xs.push_back(i), series.ys.push_back(1.0 / (i + 1));
    CHECK(count(svg::line_chart(chart_of({series})), "class=\"mark") == 1);
    CHECK(count(svg::line_chart(chart_of({{"few", {1, 2, 3}, {1, 2, 3}}})), "class=\"mark") == 4);
}

TEST_CASE("a map fills its cells by weight, leaves the empty ones out and outlines the gold alignment") {
    const std::string document = svg::attention_map(love);
    CHECK(count(document, "class=\"weight\"") == 4);
    CHECK(has(document, "fill-opacity=\"0.95\""));
    CHECK(has(document, ">0.95</text>"));
    CHECK(count(document, "class=\"gold\"") == 3 + 1);    // one is the legend's
    CHECK(has(document, "aime looks most at love, 0.90."));
}

TEST_CASE("small multiples name the tokens once and each map by its title") {
    std::vector<AttentionMap> maps(6, love);
    for (std::size_t i = 0; i < maps.size(); ++i) maps[i].title = "head " + std::to_string(i);
    const std::string document = svg::small_multiples("heads", maps, 3);
    CHECK(count(document, ">aime</text>") == 2);
    CHECK(count(document, ">love</text>") == 3);
    for (const AttentionMap& map : maps) CHECK(count(document, ">" + map.title + "</text>") == 1);
    maps[4].gold.clear();
    maps[4].columns.pop_back();
    maps[4].weights.resize(6);
    CHECK_THROWS_WITH_AS(svg::small_multiples("heads", maps, 3),
                         "small_multiples: map 4 is 3 x 2, the first 3 x 3: draw the same tokens", std::invalid_argument);
    CHECK_THROWS_AS(svg::small_multiples("heads", {}, 3), std::invalid_argument);
}

TEST_CASE("odd numbers make no broken picture") {
    const double nan = std::nan("");
    CHECK_FALSE(
        has(svg::attention_map({.title = "", .rows = {"a"}, .columns = {"b", "c", "d"}, .weights = {nan, -1, 7}, .gold = {}}),
            "=\"nan"));
    const std::string partly =
        svg::attention_map({.title = "", .rows = {"a", "b"}, .columns = {"c", "d"}, .weights = {nan, 1, nan, nan}, .gold = {}});
    CHECK(has(partly, "tokens. a looks most at d, 1.00.</desc>"));
    CHECK_NOTHROW(svg::attention_map({.title = "", .rows = {}, .columns = {}, .weights = {}, .gold = {}}));
    for (const std::vector<double>& ys : std::vector<std::vector<double>>{
             {nan, nan}, {5, 5}, {1e300, -1e300}, {1.7e308, -1.7e308}, {1e300, 1e300}, {0, HUGE_VAL}, {1e-320, 1}}) {
        for (const bool log : {false, true}) {
            LineChart chart = chart_of({{"a", {1, 2}, ys}});
            chart.log_y = log;
            const std::string document = svg::line_chart(chart);
            const std::string drawing = document.substr(document.find("</desc>"));
            CHECK_FALSE(has(drawing, "nan"));
            CHECK_FALSE(has(drawing, "inf"));
        }
    }
}

TEST_CASE("a map has its rows from top to bottom, its columns from left to right, and each weight where they meet") {
    const std::string document = svg::attention_map(
        {.title = "t", .rows = {"r0", "r1"}, .columns = {"c0", "c1"}, .weights = {0, .25, 0, .75}, .gold = {{1, 0}}});
    CHECK(y_of(document, "r0") < y_of(document, "r1"));
    CHECK(x_of(document, "c0") < x_of(document, "c1"));
    for (const auto& [weight, row] : {std::pair("0.25", "r0"), std::pair("0.75", "r1")}) {
        CHECK(x_of(document, weight) == doctest::Approx(x_of(document, "c1")));
        CHECK(std::abs(y_of(document, weight) - y_of(document, row)) < 5);
    }
    const double left = x_of(document, "c0") - 20, top = y_of(document, "0.25") - 24;    // of the cells, which are 40 wide
    CHECK(has(document, fmt::format("fill-opacity=\"0.25\" d=\"M{} {}h39", left + 40.5, top + 0.5)));
    CHECK(has(document, fmt::format("<rect class=\"gold\" x=\"{}\" y=\"{}\"", left + 1.5, top + 41.5)));
}

TEST_CASE("numbers in a map have an ink for light, middle and full cells") {
    const std::string document =
        svg::attention_map({.title = "t", .rows = {"r"}, .columns = {"a", "b", "c"}, .weights = {.5, .6, .8}, .gold = {}});
    for (const char* number : {"off\">0.50<", "half\">0.60<", "on\">0.80<"}) CHECK(has(document, number));
}

TEST_CASE("a map narrower than its title keeps the next title off it") {
    const AttentionMap first{.title = "a long title", .rows = {"r"}, .columns = {"c"}, .weights = {1}, .gold = {}};
    AttentionMap second = first;
    second.title = "h1";
    const std::string document = svg::small_multiples("all", {first, second}, 2);
    CHECK(x_of(document, "h1") - x_of(document, "a long title") >= 12 * 12 * 0.7);
}

TEST_CASE("small multiples stand from left to right") {
    AttentionMap first{.title = "h0", .rows = {"r"}, .columns = {"c"}, .weights = {1}, .gold = {}}, second = first;
    second.title = "h1";
    const std::string document = svg::small_multiples("all", {first, second}, 2);
    CHECK(x_of(document, "h0") < x_of(document, "h1"));
    CHECK(y_of(document, "h0") == y_of(document, "h1"));
}

TEST_CASE("a chart's labels rise upwards and to the right, and its description has every figure") {
    LineChart chart = chart_of({{"up", {1, 2, 3}, {0, .5, 1}}, {"down", {1, 2, 3}, {1, .5, 0}}});
    chart.y_min = 0, chart.y_max = 1;
    const std::string document = svg::line_chart(chart);
    CHECK(y_of(document, "0.2") > y_of(document, "0.8"));
    CHECK(x_of(document, "2") < x_of(document, "3"));
    CHECK(has(document, "<desc>y by x. up: 0 at 1, 0.5 at 2, 1 at 3. down: 1 at 1, 0.5 at 2, 0 at 3.</desc>"));
    CHECK(has(document, "<path class=\"line c1\""));
    for (const auto& [name, mark] : {std::pair("up", "f0"), std::pair("down", "f1")}) {
        const std::size_t at = document.find(fmt::format(">{}</text>", name)), before = document.rfind("class=\"mark ", at);
        CHECK(document.substr(before + 12, 2) == mark);
    }
}

TEST_CASE("up to 24 points a line has marks on them, beyond that none") {
    for (const int points : {24, 25}) {
        Series series{"a", {}, {}};
        for (int i = 0; i < points; ++i) series.xs.push_back(i), series.ys.push_back(i);
        LineChart chart = chart_of({series});
        chart.overlay = true;
        CHECK(has(svg::line_chart(chart), "<circle class=\"mark f0\" cx=\"56\"") == (points == 24));
    }
}

TEST_CASE("seven lines, and a gold cell beyond the map, are refused") {
    CHECK_THROWS_WITH_AS(svg::line_chart(chart_of(std::vector(7, Series{"a", {1, 2}, {0, 1}}))),
                         "line_chart: 7 series: give 1 to 6", std::invalid_argument);
    for (const auto& [row, column] : {std::pair(1, 0), std::pair(0, 1), std::pair(-1, 0), std::pair(0, -1)})
        CHECK_THROWS_AS(
            svg::attention_map({.title = "", .rows = {"a"}, .columns = {"b"}, .weights = {1}, .gold = {{row, column}}}),
            std::invalid_argument);
}

TEST_CASE("up to twelve places have a label each, and a single one stands in the middle") {
    for (const int points : {12, 13}) {
        Series series{"a", {}, {}};
        for (int i = 1; i <= points; ++i) series.xs.push_back(i), series.ys.push_back(0);
        CHECK(has(svg::line_chart(chart_of({series})), ">7</text>") == (points == 12));
    }
    CHECK(has(svg::line_chart(chart_of({{"a", {3}, {1}}})), "d=\"M323.4 210\""));
}

TEST_CASE("an axis ends at the ends of its numbers, though 0.7 and 1.1 are no exact multiples of 0.1") {
    const std::string document = svg::line_chart(chart_of({{"a", {1, 2}, {0.7, 1.1}}}));
    CHECK(has(document, ">0.7</text>"));
    CHECK(has(document, ">1.1</text>"));
    CHECK_FALSE(has(document, ">0.6</text>"));
    CHECK_FALSE(has(document, ">1.2</text>"));
}

TEST_CASE("a cell of 28 pixels or more has its number, in one of three inks, unless it is less than 0.05") {
    for (const int columns : {18, 19}) {    // of 28 and 27 pixels
        AttentionMap map{.title = "", .rows = {"r"}, .columns = {}, .weights = {}, .gold = {}};
        for (int i = 0; i < columns; ++i) map.columns.push_back("c"), map.weights.push_back(0.04);
        map.weights[0] = 0.05, map.weights[1] = 0.53, map.weights[2] = 0.54, map.weights[3] = 0.79;
        const std::string document = svg::attention_map(map);
        CHECK(has(document, ">0.05</text>") == (columns == 18));
        CHECK(has(document, "class=\"off\">0.53</text>") == (columns == 18));
        CHECK(has(document, "class=\"half\">0.54</text>") == (columns == 18));
        CHECK(has(document, "class=\"on\">0.79</text>") == (columns == 18));
        CHECK_FALSE(has(document, ">0.04</text>"));
    }
}

TEST_CASE("lines are told apart without colour: the second is dashed; a long name is cut") {
    const std::string document = svg::line_chart(chart_of({{"a", {1, 2}, {0, 1}}, {std::string(40, 'b'), {1, 2}, {0, 1}}}));
    CHECK(has(document, "<path class=\"line c0\" stroke-width=\"2.5\" stroke-dasharray=\"none\""));
    CHECK(has(document, "<path class=\"line c1\" stroke-width=\"2.5\" stroke-dasharray=\"9 4\""));
    CHECK(has(document, ">" + std::string(27, 'b') + "…</text>"));
}

TEST_CASE("of a long line the description has the ends, and of several maps all titles") {
    Series series{"a", {}, {}};
    for (int i = 0; i <= 12; ++i) series.xs.push_back(i), series.ys.push_back(i);
    CHECK(has(svg::line_chart(chart_of({series})), "<desc>y by x. a: 0 at 0, 12 at 12.</desc>"));
    AttentionMap first = love, second = love;
    first.title = "h0", second.title = "h1";
    CHECK(has(svg::small_multiples("", {first, second}, 2), " h0. h1.</desc>"));
}

TEST_CASE("nothing reaches beyond a map's picture: neither slanted words nor the legend") {
    const auto size_of = [](const std::string& document, const std::string& attribute) {
        return std::atof(document.c_str() + document.find(attribute) + attribute.size());
    };
    AttentionMap map{.title = "", .rows = {"r"}, .columns = {std::string(60, 'c')}, .weights = {1}, .gold = {}};
    const std::string document = svg::attention_map(map);
    CHECK(has(document, "transform=\"rotate(-45"));
    CHECK(size_of(document, " width=\"") > x_of(document, map.columns[0]) + 60 * 13 * 0.6 * 0.7);
    map.gold = {{0, 0}};
    const std::string with_gold = svg::attention_map(map);
    CHECK(size_of(with_gold, " height=\"") > y_of(with_gold, "the true alignment"));
    map.columns = {"c"};
    CHECK_FALSE(has(svg::attention_map(map), "rotate"));
}
