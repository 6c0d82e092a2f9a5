#include "mistakes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <regex>
#include <set>
#include <string_view>
#include <utility>

namespace mutate {

// An output that is set to 0 before something is added to it is `=` for `+=`; what is added with the other sign is `-=`.
const char* const functions = R"(
inline void clear(std::size_t n, real* out) { std::fill_n(out, n, real(0)); }
inline void clear(int rows, int columns, real* out, int ld) {
    for (int row = 0; row < rows; ++row) clear(columns, out + row * ld);
}
template <class Call>
void negated(std::size_t n, real* out, Call call) {
    const std::vector<real> old(out, out + n);
    call();
    for (std::size_t i = 0; i < n; ++i) out[i] = old[i] - (out[i] - old[i]);
}
template <class Call>
void negated(int rows, int columns, real* out, int ld, Call call) {
    if (rows == 0 || columns == 0) return;
    const std::vector<real> old(out, out + (rows - 1) * ld + columns);
    call();
    for (int row = 0; row < rows; ++row)
        for (int i = row * ld; i < row * ld + columns; ++i) out[i] = old[i] - (out[i] - old[i]);
}
)";

namespace {

using std::size_t;

struct Token {
    std::string text;
    size_t begin, end;    // bytes of the file
};

const std::set<std::string> types = {"real", "int", "auto", "const", "Buffer", "static", "BroadcastRows", "std"};
// Calls that may swap these arguments, the one with this number and the next.
const std::map<std::string, size_t> commutative = {{"accumulate_product", 1}, {"multiply", 1}, {"dot", 1}, {"max", 0}};
// Kernels that add n numbers, their first argument, to an array, their last.
const std::set<std::string> adding = {"accumulate",    "accumulate_product", "axpy",         "shift", "softmax_backward",
                                      "tanh_backward", "sigmoid_backward",   "relu_backward"};

// The tokens of a function, and every small mistake in them.
class Body {
  public:
    Body(const std::string& file_text, size_t begin, size_t end) : text(file_text) {
        static const std::regex token(R"(//[^\n]*|[A-Za-z_]\w*|\d[\w.]*|->|::|\+\+|--|[-+*/]=|==|!=|<=|>=|&&|\|\||\S)");
        const auto from = text.begin() + static_cast<std::ptrdiff_t>(begin), to = text.begin() + static_cast<std::ptrdiff_t>(end);
        for (std::sregex_iterator match(from, to, token), none; match != none; ++match) {
            const size_t at = begin + static_cast<size_t>(match->position());
            if (!match->str().starts_with("//")) tokens.push_back({match->str(), at, at + match->str().size()});
        }
        partner.assign(tokens.size(), 0);
        std::vector<size_t> open;
        for (size_t i = 0; i < tokens.size(); ++i) {
            if (is(i, {"(", "[", "{"})) open.push_back(i);
            if (!is(i, {")", "]", "}"})) continue;
            partner[i] = open.back();
            partner[open.back()] = i;
            open.pop_back();
        }
    }

    std::vector<Mistake> mistakes() {
        for (size_t i = 0; i < tokens.size(); ++i) {
            const std::string& token = tokens[i].text;
            if (is_binary(i)) operands(i);
            if (token == "-" && !is_binary(i)) replace(i, "");
            if (token == "+=") replace(i, "="), replace(i, "-=");
            if (token == "-=") replace(i, "="), replace(i, "+=");
            if (token == "*=") replace(i, "="), replace(i, "/=");
            if (token == "==") replace(i, "!=");
            if (token == "!=") replace(i, "==");
            if (token == "&&") replace(i, "||");
            if (token == "||") replace(i, "&&");
            if (token == "!") replace(i, "");
            if (std::isdigit(static_cast<unsigned char>(token[0])))
                replace(i, token == "1" ? "2" : fmt::format("({} + 1)", token));
            if (token == "?") choice(i);
            if (token == "if" && !types.contains(tokens[i + 2].text))
                add(i + 2, partner[i + 1] - 1, "!(" + span(i + 2, partner[i + 1] - 1) + ")");
            if (is_call(i)) call(i);
        }
        statements();
        return found;
    }

  private:
    bool is(size_t i, std::initializer_list<std::string_view> list) const {
        return i < tokens.size() && std::ranges::find(list, tokens[i].text) != list.end();
    }
    std::string span(size_t first, size_t last) const {
        return text.substr(tokens[first].begin, tokens[last].end - tokens[first].begin);
    }
    void add(size_t first, size_t last, const std::string& to) { found.push_back({tokens[first].begin, tokens[last].end, to}); }
    void replace(size_t i, const std::string& to) { add(i, i, to); }

    bool is_binary(size_t i) const {
        if (i == 0 || !is(i, {"+", "-", "*", "/"})) return false;
        const std::string& before = tokens[i - 1].text;
        return before == ")" || before == "]" ||
               (std::isalnum(static_cast<unsigned char>(before.back())) && !types.contains(before) && before != "return");
    }

    // a + b: its sign, its terms, its sides.
    void operands(size_t i) {
        const bool is_sum = is(i, {"+", "-"});
        const auto ends = [&](size_t j) {
            return is(j, {",",  ";",  "(",  ")",  "[", "]", "{", "}",  "<",  ">",  "<=", ">=",
                          "==", "!=", "&&", "||", "?", ":", "=", "+=", "-=", "*=", "/=", "return"});
        };
        size_t first = i, last = i;
        while (first > 0) {    // what stands before it in the same expression; as tight as the operator binds
            size_t j = first - 1;
            if (is(j, {")", "]"}))
                j = partner[j];
            else if (is(j, {">"}) && j >= 3 && is(j - 3, {"static_cast"}))
                j -= 3;
            else if (ends(j) || (!is_sum && is(j, {"+", "-"})))
                break;
            first = j;
        }
        while (last + 1 < tokens.size()) {
            size_t j = last + 1;
            if (is(j, {"(", "["}))
                j = partner[j];
            else if (is(j, {"static_cast"}))
                j += 3;
            else if (ends(j) || is(j, {"+", "-"}) || (!is_sum && is(j, {"*", "/"})))
                break;
            last = j;
        }
        if (first == i || last == i) return;
        const std::string left = span(first, i - 1), right = span(i + 1, last), sign = tokens[i].text;
        add(first, last, left);
        add(first, last, sign == "-" ? "-" + right : right);
        if (is_sum) replace(i, sign == "+" ? "-" : "+");
        if (sign == "-" || sign == "/") add(first, last, fmt::format("({}) {} ({})", right, sign, left));
        if (sign == "/") replace(i, "*");
    }

    void choice(size_t i) {    // condition ? yes : no
        size_t colon = i, last;
        while (!is(colon, {":"})) ++colon;
        for (last = colon; !is(last + 1, {",", ";", ")", "]"}); ++last)
            if (is(last + 1, {"(", "["})) last = partner[last + 1] - 1;
        add(i + 1, last, span(colon + 1, last) + " : " + span(i + 1, colon - 1));
    }

    bool is_call(size_t i) const {
        return std::isalpha(static_cast<unsigned char>(tokens[i].text[0])) && is(i + 1, {"("}) &&
               !is(i, {"if", "for", "while", "switch", "real"}) && !(i > 0 && is(i - 1, {"static_cast"}));
    }

    void call(size_t i) {
        const size_t close = partner[i + 1];
        std::vector<std::pair<size_t, size_t>> places;
        for (size_t j = i + 2, first = j; j <= close; ++j) {
            if (is(j, {"(", "[", "{"}) && j != close) j = partner[j];
            if (!is(j, {","}) && j != close) continue;
            if (j > first) places.emplace_back(first, j - 1);
            first = j + 1;
        }
        std::vector<std::string> a;
        for (const auto& [first, last] : places) a.push_back(span(first, last));
        const std::string& name = tokens[i].text;
        for (size_t k = 0; k + 1 < a.size(); ++k)
            if (!commutative.contains(name) || commutative.at(name) != k)
                add(places[k].first, places[k + 1].second, a[k + 1] + ", " + a[k]);
        if (i < 2 || !is(i - 2, {"kernels"})) return;
        const std::string original = span(i - 2, close);
        const auto instead = [&](const std::string& to) { add(i - 2, close, to); };
        const auto as_assignment = [&](const std::string& sizes) {
            instead(fmt::format("lookback::mutation::clear({}), {}", sizes, original));
        };
        const auto as_difference = [&](const std::string& sizes) {
            instead(fmt::format("lookback::mutation::negated({}, [&] {{ {}; }})", sizes, original));
        };
        if (adding.contains(name)) {
            as_assignment(a[0] + ", " + a.back());
            as_difference(a[0] + ", " + a.back());
        }
        if (name.starts_with("gemm_")) {
            const std::string sizes = fmt::format("{}, {}, {}, {}", a[0], a[1], a[7], a[8]);
            as_assignment(sizes);
            as_difference(sizes);
            for (const std::string other : {"gemm_nn", "gemm_nt", "gemm_tn"})
                if (other != name) replace(i, other);
            for (const auto& [x, y] : {std::pair(0, 2), std::pair(3, 5), std::pair(4, 6)}) {
                std::vector<std::string> swapped = a;
                std::swap(swapped[x], swapped[y]);
                instead(fmt::format("kernels::{}({})", name, fmt::join(swapped, ", ")));
            }
        }
        if (name == "additive_score_backward")
            for (const std::string& sizes : {a[1] + ", " + a[6], a[0] + " * " + a[1] + ", " + a[7], a[1] + ", " + a[8]}) {
                as_assignment(sizes);
                as_difference(sizes);
            }
        if (name == "accumulate_product")
            for (const int factor : {1, 2}) instead(fmt::format("kernels::accumulate({}, {}, {})", a[0], a[factor], a[3]));
        if (name == "multiply")
            for (const int factor : {1, 2}) instead(fmt::format("std::copy_n({}, {}, {})", a[factor], a[0], a[3]));
        if (name == "dot")
            for (const int factor : {1, 2}) instead(fmt::format("kernels::sum({}, {})", a[0], a[factor]));
    }

    void statements() {    // each is left out
        for (size_t i = 0; i < tokens.size();) {
            if (is(i, {"{", "}", ";", "else"})) {
                ++i;
            } else if (is(i, {"if", "for", "while"})) {
                i = partner[i + 1] + 1;
            } else {
                size_t last = i;
                for (; !is(last, {";"}); ++last)
                    if (is(last, {"(", "[", "{"})) last = partner[last];
                if (!types.contains(tokens[i].text)) add(i, last, ";");
                i = last + 1;
            }
        }
    }

    const std::string& text;
    std::vector<Token> tokens;
    std::vector<size_t> partner;    // of each bracket
    std::vector<Mistake> found;
};

}    // namespace

std::vector<Mistake> mistakes(const std::string& text, std::size_t begin, std::size_t end) {
    return Body(text, begin, end).mistakes();
}

}    // namespace mutate
