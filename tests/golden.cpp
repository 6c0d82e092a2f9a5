// golden DIR: runs the library on every *.safetensors case of a folder, forward and backward, and compares all outputs and
// gradients with those that PyTorch computed (tests/golden/README.md has the format). One line a case, `N passed, N failed` at
// the end. All sizes are taken from the tensors.

#include <fmt/format.h>

#include <algorithm>

#include "golden_case.h"
#include "lookback/nn/positions.h"
#include "lookback/nn/recurrent.h"
#include "lookback/nn/transformer.h"
#include "lookback/ops/matmul.h"
#include "lookback/ops/softmax.h"
#include "lookback/optim/optimizer.h"

using namespace lookback;

namespace {

Random unused(0);    // for parameters that the case replaces

// ---- 1. Operations that take more than a line ------------------------------------------------------------------------------

void run_sum(Case& c) { c.output("y", c.text("dim") == "all" ? sum(c.input("x")) : sum(c.input("x"), c.integer("dim"))); }
void run_mean(Case& c) { c.output("y", c.text("dim") == "all" ? mean(c.input("x")) : mean(c.input("x"), c.integer("dim"))); }

void run_gelu(Case& c) {
    if (c.text("approximate") != "none" && c.text("approximate") != "tanh")
        throw BadInput(fmt::format("gelu approximated by {}", c.text("approximate")));
    c.output("y", gelu(c.input("x"), c.text("approximate") == "tanh" ? Gelu::tanh : Gelu::erf));
}

void run_linear(Case& c) {
    Linear layer(c.size("weight", 1), c.size("weight", 0), unused, c.has("param.bias"));
    c.output("y", c.fill(layer)(c.input("x")));
}

void run_embedding(Case& c) {
    Embedding layer(c.size("weight", 0), c.size("weight", 1), unused);
    c.output("y", c.fill(layer)(c.ids("ids")));
}

void run_layer_norm(Case& c) {
    LayerNorm layer(c.size("weight", 0));
    layer.epsilon = c.number("eps", layer.epsilon);
    c.output("y", c.fill(layer)(c.input("x")));
}

void run_cross_entropy(Case& c) {
    c.output("y",
             cross_entropy(c.input("logits"), c.ids("target"),
                           {.ignore_index = c.integer("ignore_index", -100), .label_smoothing = c.number("label_smoothing", 0)}));
}

// A module with the weights of the case. Its sizes are those of the weights themselves: (gates H, E) and (gates H, H).
template <class Module>
Module recurrent_module(Case& c, const std::string& suffix, int gates, auto... options) {
    const int E = c.size("weight_ih" + suffix, 1), H = c.size("weight_hh" + suffix, 1);
    c.expect("param.weight_ih" + suffix, {gates * H, E});
    Module module(E, H, unused, options...);
    return c.fill(module);
}

template <class CellType>
constexpr int gates_of = std::is_same_v<CellType, RnnCell>   ? 1
                         : std::is_same_v<CellType, GruCell> ? 3
                                                             : 4;

template <class CellType>
void run_cell(Case& c) {
    c.output("y", recurrent_module<CellType>(c, "", gates_of<CellType>)(c.input("x"), c.input("h")));
}

void run_lstm_cell(Case& c) {
    const LstmCell cell = recurrent_module<LstmCell>(c, "", 4);
    const int H = cell.hidden();
    const Tensor state = cell(c.input("x"), concat({c.input("h"), c.input("c")}, 1));
    c.output("h", slice(state, 1, 0, H));
    c.output("c", slice(state, 1, H, 2 * H));
}

template <class CellType>
void run_recurrent(Case& c) {
    const Tensor x = c.input("x");
    const bool both_ways = c.flag("bidirectional");
    const auto layer = recurrent_module<Recurrent<CellType>>(c, "_l0", gates_of<CellType>, both_ways);
    const std::vector<int> lengths = c.has("in.lengths") ? c.ids("lengths").values : std::vector<int>();
    const auto result = layer(x, lengths);
    c.output("y", result.y);
    // (B, D H) -> (D, B, H), of an LSTM h | c
    const int H = layer.forward_cell.hidden();
    const Tensor state = transpose(reshape(result.state, {x.size(0), both_ways ? 2 : 1, -1}), 0, 1);
    c.output("h", slice(state, 2, 0, H));
    if (state.size(2) > H) c.output("c", slice(state, 2, H, 2 * H));
}

void output_attended(Case& c, const char* context, const Attended& attended) {
    c.output(context, attended.context);
    c.output("weights", attended.weights);
}

void run_score_attention(Case& c) {
    const Tensor query = c.input("query"), memory = c.input("memory");
    const int Q = query.size(-1), M = memory.size(-1);
    const auto attend = [&](const auto& attention) {
        output_attended(c, "context", attention(query, attention.prepare(memory), memory, c.mask()));
    };
    if (c.text("score") == "additive") {
        const int A = c.size("query.weight", 0);
        c.expect("param.query.weight", {A, Q});
        c.expect("param.key.weight", {A, M});
        AdditiveAttention attention(Q, M, A, unused);
        attend(c.fill(attention));
    } else if (c.text("score") == "dot") {
        attend(DotAttention());
    } else if (c.text("score") == "general") {
        c.expect("param.key.weight", {Q, M});
        GeneralAttention attention(Q, M, unused);
        attend(c.fill(attention));
    } else if (c.text("score") == "concat") {
        const int A = c.size("hidden.weight", 0);
        c.expect("param.hidden.weight", {A, Q + M});
        ConcatAttention attention(Q, M, A, unused);
        attend(c.fill(attention));
    } else {
        throw BadInput(fmt::format("unknown score \"{}\"", c.text("score")));
    }
}

// (B, S) -> (B, 1, 1, S), for all heads and queries; masks of more dimensions are those of the scores already.
Tensor for_scores(const Tensor& mask) {
    return mask && mask.rank() == 2 ? reshape(mask, {mask.size(0), 1, 1, mask.size(1)}) : mask;
}

// The width of a model whose attention has the weights (3C, C).
int width(Case& c, const std::string& attention) {
    const int C = c.size(attention + "in_proj_weight", 1);
    c.expect("param." + attention + "in_proj_weight", {3 * C, C});
    return C;
}

void run_multihead_attention(Case& c) {
    const Tensor query = c.input(c.has("in.x") ? "x" : "query"), memory = c.has("in.memory") ? c.input("memory") : query;
    MultiheadAttention attention(width(c, ""), c.integer("heads"), unused);
    output_attended(c, "y", c.fill(attention)(query, memory, for_scores(c.mask()), c.flag("causal")));
}

TransformerOptions options_of(Case& c, const std::string& layer) {
    if (c.text("activation") != "relu" && c.text("activation") != "gelu")
        throw BadInput(fmt::format("unknown activation \"{}\"", c.text("activation")));
    TransformerOptions options;
    options.size = width(c, layer + "self_attn.");
    options.heads = c.integer("heads");
    options.feed_forward = c.size(layer + "linear1.weight", 0);
    c.expect("param." + layer + "linear1.weight", {options.feed_forward, options.size});
    options.norm_first = c.flag("norm_first");
    options.activation = c.text("activation") == "relu" ? Activation::relu : Activation::gelu;
    return options;
}

void run_encoder_layer(Case& c) {
    TransformerEncoderLayer layer(options_of(c, ""), unused);
    const Tensor x = c.input("x"), mask = c.mask(), y = c.fill(layer)(x, for_scores(mask));
    // What an encoder says at padding is of no use to anybody; in the cases it is 0 times what PyTorch says.
    c.output("y", mask ? y * reshape(mask, {x.size(0), x.size(1), 1}) : y);
}

void run_decoder_layer(Case& c) {
    TransformerDecoderLayer layer(options_of(c, ""), unused);
    c.output("y", c.fill(layer)(c.input("x"), c.input("memory"), for_scores(c.mask())));
}

void run_transformer(Case& c) {
    TransformerOptions options = options_of(c, "encoder.layers.0.");
    options.encoder_layers = options.decoder_layers = 0;
    while (c.has(fmt::format("param.encoder.layers.{}.linear1.weight", options.encoder_layers))) ++options.encoder_layers;
    while (c.has(fmt::format("param.decoder.layers.{}.linear1.weight", options.decoder_layers))) ++options.decoder_layers;
    Transformer transformer(options, unused);
    c.output("y", c.fill(transformer)(c.input("src"), c.input("tgt"), c.mask()));
}

void run_positions(Case& c) {
    const int length = c.integer("length"), size = c.integer("dim");
    c.expect("out.y", {length, size});
    c.output("y", sinusoidal_positions(length, size));
}

template <class Optimizer>
void run_steps(Case& c, Tensor w, Optimizer optimizer) {
    for (int step = 0; c.has(fmt::format("in.grad{}", step)); ++step) {
        c.expect(fmt::format("in.grad{}", step), w.shape());
        const Tensor gradient = c.constant(fmt::format("grad{}", step));
        w.zero_grad();
        std::copy_n(gradient.data(), gradient.size(), w.grad());
        optimizer.step();
        c.output(fmt::format("w{}", step), Tensor(w.shape(), w.values()));
    }
}

void run_optimizer(Case& c) {
    const Tensor w = c.input("w");
    const std::string name = c.text("name");
    if (name == "sgd" || name == "sgd_momentum")
        run_steps(c, w, Sgd(std::vector{w}, {.lr = c.number("lr"), .momentum = c.number("momentum", 0)}));
    else if (name == "adam" || name == "adamw")
        run_steps(c, w,
                  Adam(std::vector{w}, {.lr = c.number("lr"),
                                        .beta1 = c.number("beta1"),
                                        .beta2 = c.number("beta2"),
                                        .eps = c.number("eps"),
                                        .weight_decay = c.number("weight_decay", 0)}));
    else
        throw BadInput(fmt::format("unknown optimizer \"{}\"", name));
}

void run_clip_grad_norm(Case& c) {    // in.* are gradients
    std::vector<Tensor> parameters;
    for (const std::string& name : c.input_names()) {
        const Tensor gradient = c.constant(name);
        Tensor& parameter = parameters.emplace_back(gradient.shape());
        parameter.zero_grad();
        std::copy_n(gradient.data(), gradient.size(), parameter.grad());
    }
    const double norm = clip_grad_norm(parameters, c.number("max_norm"));
    c.output("norm", Tensor::scalar(static_cast<real>(norm)));
    for (std::size_t i = 0; i < parameters.size(); ++i) {
        const real* clipped = parameters[i].grad();
        c.output(c.input_names()[i], Tensor(parameters[i].shape(), std::vector<real>(clipped, clipped + parameters[i].size())));
    }
}

// ---- 2. All operations -----------------------------------------------------------------------------------------------------

const std::map<std::string, void (*)(Case&)> operations = {
    {"add", [](Case& c) { c.output("y", c.input("a") + c.input("b")); }},
    {"sub", [](Case& c) { c.output("y", c.input("a") - c.input("b")); }},
    {"mul", [](Case& c) { c.output("y", c.input("a") * c.input("b")); }},
    {"div", [](Case& c) { c.output("y", c.input("a") / c.input("b")); }},
    {"neg", [](Case& c) { c.output("y", -c.input("x")); }},
    {"exp", [](Case& c) { c.output("y", exp(c.input("x"))); }},
    {"log", [](Case& c) { c.output("y", log(c.input("x"))); }},
    {"sqrt", [](Case& c) { c.output("y", sqrt(c.input("x"))); }},
    {"tanh", [](Case& c) { c.output("y", tanh(c.input("x"))); }},
    {"sigmoid", [](Case& c) { c.output("y", sigmoid(c.input("x"))); }},
    {"relu", [](Case& c) { c.output("y", relu(c.input("x"))); }},
    {"gelu", run_gelu},
    {"matmul", [](Case& c) { c.output("y", matmul(c.input("a"), c.input("b"))); }},
    {"sum", run_sum},
    {"mean", run_mean},
    {"reshape", [](Case& c) { c.output("y", reshape(c.input("x"), c.integers("shape"))); }},
    {"transpose", [](Case& c) { c.output("y", transpose(c.input("x"), c.integer("dim0"), c.integer("dim1"))); }},
    {"slice", [](Case& c) { c.output("y", slice(c.input("x"), c.integer("dim"), c.integer("start"), c.integer("stop"))); }},
    {"concat", [](Case& c) { c.output("y", concat(c.inputs(), c.integer("dim"))); }},
    {"stack", [](Case& c) { c.output("y", stack(c.inputs(), c.integer("dim"))); }},
    {"softmax", [](Case& c) { c.output("y", softmax(c.input("x"), c.integer("dim"))); }},
    {"log_softmax", [](Case& c) { c.output("y", log_softmax(c.input("x"), c.integer("dim"))); }},
    {"masked_softmax",
     [](Case& c) {    // the library's is along the last dimension; so is every dimension after a transpose
         const int dim = c.integer("dim");
         c.output("y",
                  transpose(masked_softmax(transpose(c.input("x"), dim, -1), transpose(c.constant("mask"), dim, -1)), dim, -1));
     }},
    {"layer_norm", run_layer_norm},
    {"linear", run_linear},
    {"embedding", run_embedding},
    {"cross_entropy", run_cross_entropy},
    {"rnn_cell", run_cell<RnnCell>},
    {"gru_cell", run_cell<GruCell>},
    {"lstm_cell", run_lstm_cell},
    {"rnn", run_recurrent<RnnCell>},
    {"gru", run_recurrent<GruCell>},
    {"lstm", run_recurrent<LstmCell>},
    {"score_attention", run_score_attention},
    {"scaled_dot_product_attention",
     [](Case& c) { output_attended(c, "y", scaled_dot_product_attention(c.input("q"), c.input("k"), c.input("v"), c.mask())); }},
    {"multihead_attention", run_multihead_attention},
    {"transformer_encoder_layer", run_encoder_layer},
    {"transformer_decoder_layer", run_decoder_layer},
    {"transformer", run_transformer},
    {"sinusoidal_positions", run_positions},
    {"optimizer", run_optimizer},
    {"clip_grad_norm", run_clip_grad_norm},
};

// Empty if the case agrees, else what is wrong.
std::string examine(const std::filesystem::path& path) {
    try {
        Case c(path);
        const auto operation = operations.find(c.text("op"));
        if (operation == operations.end()) return fmt::format("unknown operation \"{}\"", c.text("op"));
        operation->second(c);
        c.run_backward();
        return c.compare();
    } catch (const std::exception& error) {    // the library's refusals, and attributes that are no numbers
        return error.what();
    }
}

}    // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        fmt::print(stderr, "usage: golden DIR\n");
        return 2;
    }
    std::vector<std::filesystem::path> cases;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(argv[1], error))
        if (entry.path().extension() == ".safetensors") cases.push_back(entry.path());
    if (cases.empty()) {
        fmt::print(stderr, "golden: no *.safetensors in {}{}\n", argv[1], error ? ": " + error.message() : "");
        return 2;
    }
    std::ranges::sort(cases);
    int failed = 0;
    for (const std::filesystem::path& path : cases) {
        const std::string problem = examine(path);
        std::string line = problem.empty() ? "ok " + path.stem().string() : path.stem().string() + ": " + problem;
        std::ranges::replace_if(
            line, [](char c) { return (c >= 0 && c < ' ') || c == 0x7F; }, ' ');    // it quotes the file
        fmt::print("{}\n", line);
        failed += !problem.empty();
    }
    fmt::print("{} passed, {} failed\n", static_cast<int>(cases.size()) - failed, failed);
    return failed > 0 || std::fflush(stdout) != 0;
}
