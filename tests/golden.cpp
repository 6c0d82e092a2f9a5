// golden DIR: runs the library on every *.safetensors case of a folder, forward and backward, and compares all outputs and
// gradients with those that PyTorch computed (tests/golden/README.md has the format). One line a case, `N passed, N failed` at
// the end. All sizes are taken from the tensors.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <set>

#include "lookback/io/safetensors.h"
#include "lookback/nn/positions.h"
#include "lookback/nn/recurrent.h"
#include "lookback/nn/transformer.h"
#include "lookback/ops/matmul.h"
#include "lookback/ops/shape.h"
#include "lookback/ops/softmax.h"
#include "lookback/optim/optimizer.h"
#include "lookback/program/error.h"

using namespace lookback;

namespace {

// ---- 1. A case: what it gives, and what the library makes of it ------------------------------------------------------------

class Case {
  public:
    explicit Case(const std::filesystem::path& path) : file(read_safetensors(path)) {}

    bool has(const std::string& name) const { return file.find(name) != nullptr; }
    bool has_attribute(const std::string& key) const { return file.metadata.contains(key); }

    const StoredTensor& stored(const std::string& name) {
        const StoredTensor* tensor = file.find(name);
        if (!tensor) throw BadInput(fmt::format("the case has no {}", name));
        used.insert(name);
        return *tensor;
    }

    // in.NAME, which wants a gradient, or a constant such as a mask.
    Tensor input(const std::string& name) { return leaves[name] = tensor_of(stored("in." + name)).requires_grad(); }
    Tensor constant(const std::string& name) { return tensor_of(stored("in." + name)); }
    Tensor mask() { return has("in.mask") ? constant("mask") : Tensor(); }

    Ids ids(const std::string& name) {
        const StoredTensor& tensor = stored("in." + name);
        return {tensor.shape, {tensor.integers.begin(), tensor.integers.end()}};
    }

    std::vector<std::string> input_names() const {
        std::vector<std::string> names;
        for (const StoredTensor& tensor : file.tensors)
            if (tensor.name.starts_with("in.")) names.push_back(tensor.name.substr(3));
        std::ranges::sort(names);
        return names;
    }

    std::vector<Tensor> inputs() {
        std::vector<Tensor> all;
        for (const std::string& name : input_names()) all.push_back(input(name));
        return all;
    }

    // param.* become the parameters of the module.
    template <class Module>
    Module& fill(Module& module) {
        module.parameters([&](const std::string& name, Tensor& parameter) {
            const Tensor given = tensor_of(stored("param." + name));
            if (given.shape() != parameter.shape())
                throw BadInput(fmt::format("param.{} is {}; the library's is {}", name, to_string(given.shape()),
                                           to_string(parameter.shape())));
            parameter = leaves["param." + name] = Tensor(given).requires_grad();
        });
        return module;
    }

    std::string text(const std::string& key, const std::string& otherwise = "") const {
        const auto found = file.metadata.find(key);
        return found == file.metadata.end() ? otherwise : found->second;
    }
    double number(const std::string& key, double otherwise = 0) const {
        return has_attribute(key) ? std::stod(text(key)) : otherwise;
    }
    int integer(const std::string& key) const { return std::stoi(text(key)); }

    void output(const std::string& name, const Tensor& tensor) { outputs[name] = tensor; }

    // Sum over all outputs of sum(out * gout), and back from there.
    void run_backward() {
        Tensor loss;
        for (const auto& [name, tensor] : outputs) {
            if (!has("gout." + name)) continue;
            const Tensor term = sum(tensor * tensor_of(stored("gout." + name)));
            loss = loss ? loss + term : term;
        }
        if (loss) backward(loss);
    }

    // Empty if every out.* and grad.* is within the tolerance; else the worst of them.
    std::string compare() {
        std::string worst;
        double worst_error = number("tolerance");
        for (const StoredTensor& expected : file.tensors) {
            const bool is_output = expected.name.starts_with("out."), is_gradient = expected.name.starts_with("grad.");
            if (!is_output && !is_gradient) {
                if (!used.contains(expected.name)) return expected.name + " was not used";
                continue;
            }
            const std::map<std::string, Tensor>& made = is_output ? outputs : leaves;
            const auto found = made.find(expected.name.substr(is_output ? 4 : 5));
            if (found == made.end()) return expected.name + " was not computed";
            const Tensor& tensor = found->second;
            if (tensor.shape() != expected.shape)
                return fmt::format("{} is {}, expected {}", expected.name, to_string(tensor.shape()), to_string(expected.shape));
            const real* numbers = is_output ? tensor.data() : tensor.grad();    // no gradient: 0
            for (std::size_t i = 0; i < expected.values.size(); ++i) {
                const double got = numbers ? double{numbers[i]} : 0, wanted = expected.values[i];
                double error = got == wanted ? 0 : std::abs(got - wanted) / std::max(1.0, std::abs(wanted));
                if (std::isnan(error)) error = std::numeric_limits<double>::infinity();
                if (error <= worst_error) continue;
                worst_error = error;
                worst = fmt::format("{}[{}]: got {:.9g}, expected {:.9g}, error {:.3g} > {}", expected.name,
                                    fmt::join(place(i, expected.shape), ", "), got, wanted, error, text("tolerance"));
            }
        }
        return worst;
    }

  private:
    static Tensor tensor_of(const StoredTensor& stored) {
        if (stored.dtype == "I64") throw BadInput(fmt::format("{} holds integers", stored.name));
        return Tensor(stored.shape, std::vector<real>(stored.values.begin(), stored.values.end()));
    }

    static std::vector<std::size_t> place(std::size_t index, const Shape& shape) {
        std::vector<std::size_t> indices(shape.size());
        for (std::size_t dim = shape.size(); dim-- > 0; index /= static_cast<std::size_t>(shape[dim]))
            indices[dim] = index % static_cast<std::size_t>(shape[dim]);
        return indices;
    }

    Safetensors file;
    std::set<std::string> used;              // names in the file
    std::map<std::string, Tensor> leaves;    // "x" has grad.x, "param.weight" has grad.param.weight
    std::map<std::string, Tensor> outputs;
};

Random unused(0);    // for parameters that the case replaces

// ---- 2. Operations that take more than a line ------------------------------------------------------------------------------

void run_sum(Case& c) { c.output("y", c.text("dim") == "all" ? sum(c.input("x")) : sum(c.input("x"), c.integer("dim"))); }
void run_mean(Case& c) { c.output("y", c.text("dim") == "all" ? mean(c.input("x")) : mean(c.input("x"), c.integer("dim"))); }

void run_reshape(Case& c) {
    Shape shape;
    const std::string text = c.text("shape");    // "10,8"
    for (std::size_t begin = 0; begin < text.size(); begin = text.find(',', begin) + 1) {
        shape.push_back(std::stoi(text.substr(begin)));
        if (text.find(',', begin) == std::string::npos) break;
    }
    c.output("y", reshape(c.input("x"), shape));
}

void run_gelu(Case& c) {
    if (c.text("approximate") != "none" && c.text("approximate") != "tanh")
        throw BadInput(fmt::format("gelu approximated by {}", c.text("approximate")));
    c.output("y", gelu(c.input("x"), c.text("approximate") == "tanh" ? Gelu::tanh : Gelu::erf));
}

void run_linear(Case& c) {
    const Shape& shape = c.stored("param.weight").shape;
    Linear layer(shape.at(1), shape.at(0), unused, c.has("param.bias"));
    c.output("y", c.fill(layer)(c.input("x")));
}

void run_embedding(Case& c) {
    const Shape& shape = c.stored("param.weight").shape;
    Embedding layer(shape.at(0), shape.at(1), unused);
    c.output("y", c.fill(layer)(c.ids("ids")));
}

void run_layer_norm(Case& c) {
    LayerNorm layer(c.stored("param.weight").shape.at(0));
    layer.epsilon = c.number("eps", layer.epsilon);
    c.output("y", c.fill(layer)(c.input("x")));
}

void run_cross_entropy(Case& c) {
    c.output("y", cross_entropy(c.input("logits"), c.ids("target"),
                                {.ignore_index = static_cast<int>(c.number("ignore_index", -100)),
                                 .label_smoothing = c.number("label_smoothing")}));
}

template <class CellType>
void run_cell(Case& c) {
    const Tensor x = c.input("x"), h = c.input("h");
    CellType cell(x.size(-1), h.size(-1), unused);
    c.output("y", c.fill(cell)(x, h));
}

void run_lstm_cell(Case& c) {
    const Tensor x = c.input("x"), h = c.input("h"), memory = c.input("c");
    const int H = h.size(-1);
    LstmCell cell(x.size(-1), H, unused);
    const Tensor state = c.fill(cell)(x, concat({h, memory}, 1));
    c.output("h", slice(state, 1, 0, H));
    c.output("c", slice(state, 1, H, 2 * H));
}

template <class CellType>
void run_recurrent(Case& c) {
    const Tensor x = c.input("x");
    const int H = c.stored("param.weight_hh_l0").shape.at(1), D = c.number("bidirectional") != 0 ? 2 : 1;
    Recurrent<CellType> layer(x.size(-1), H, unused, D == 2);
    const std::vector<int> lengths = c.has("in.lengths") ? c.ids("lengths").values : std::vector<int>();
    const auto result = c.fill(layer)(x, lengths);
    c.output("y", result.y);
    const Tensor state = transpose(reshape(result.state, {x.size(0), D, -1}), 0, 1);    // (B, D H) -> (D, B, H), of an LSTM h | c
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
        AdditiveAttention attention(Q, M, c.stored("param.query.weight").shape.at(0), unused);
        attend(c.fill(attention));
    } else if (c.text("score") == "dot") {
        attend(DotAttention());
    } else if (c.text("score") == "general") {
        GeneralAttention attention(Q, M, unused);
        attend(c.fill(attention));
    } else if (c.text("score") == "concat") {
        ConcatAttention attention(Q, M, c.stored("param.hidden.weight").shape.at(0), unused);
        attend(c.fill(attention));
    } else {
        throw BadInput(fmt::format("unknown score \"{}\"", c.text("score")));
    }
}

// (B, S) -> (B, 1, 1, S), for all heads and queries; masks of more dimensions are those of the scores already.
Tensor for_scores(const Tensor& mask) {
    return mask && mask.rank() == 2 ? reshape(mask, {mask.size(0), 1, 1, mask.size(1)}) : mask;
}

void run_multihead_attention(Case& c) {
    const Tensor query = c.input(c.has("in.x") ? "x" : "query"), memory = c.has("in.memory") ? c.input("memory") : query;
    MultiheadAttention attention(query.size(-1), c.integer("heads"), unused);
    output_attended(c, "y", c.fill(attention)(query, memory, for_scores(c.mask()), c.number("causal") != 0));
}

TransformerOptions options_of(Case& c, const std::string& layer) {
    if (c.text("activation") != "relu" && c.text("activation") != "gelu")
        throw BadInput(fmt::format("unknown activation \"{}\"", c.text("activation")));
    const Shape& shape = c.stored("param." + layer + "linear1.weight").shape;    // (F, C)
    TransformerOptions options;
    options.size = shape.at(1);
    options.heads = c.integer("heads");
    options.feed_forward = shape.at(0);
    options.norm_first = c.number("norm_first") != 0;
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

template <class Optimizer>
void run_steps(Case& c, Tensor w, Optimizer optimizer) {
    for (int step = 0; c.has(fmt::format("in.grad{}", step)); ++step) {
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
        run_steps(c, w, Sgd(std::vector{w}, {.lr = c.number("lr"), .momentum = c.number("momentum")}));
    else if (name == "adam" || name == "adamw")
        run_steps(c, w,
                  Adam(std::vector{w}, {.lr = c.number("lr"),
                                        .beta1 = c.number("beta1"),
                                        .beta2 = c.number("beta2"),
                                        .eps = c.number("eps"),
                                        .weight_decay = c.number("weight_decay")}));
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
    const double norm = clip_grad_norm(std::vector(parameters), c.number("max_norm"));
    c.output("norm", Tensor::scalar(static_cast<real>(norm)));
    for (std::size_t i = 0; i < parameters.size(); ++i) {
        const real* clipped = parameters[i].grad();
        c.output(c.input_names()[i], Tensor(parameters[i].shape(), std::vector<real>(clipped, clipped + parameters[i].size())));
    }
}

// ---- 3. All operations -----------------------------------------------------------------------------------------------------

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
    {"reshape", run_reshape},
    {"transpose", [](Case& c) { c.output("y", transpose(c.input("x"), c.integer("dim0"), c.integer("dim1"))); }},
    {"slice", [](Case& c) { c.output("y", slice(c.input("x"), c.integer("dim"), c.integer("start"), c.integer("stop"))); }},
    {"concat", [](Case& c) { c.output("y", concat(c.inputs(), c.integer("dim"))); }},
    {"stack", [](Case& c) { c.output("y", stack(c.inputs(), c.integer("dim"))); }},
    {"softmax", [](Case& c) { c.output("y", softmax(c.input("x"), c.integer("dim"))); }},
    {"log_softmax", [](Case& c) { c.output("y", log_softmax(c.input("x"), c.integer("dim"))); }},
    {"masked_softmax",
     [](Case& c) {    // the library's is along the last dimension; so is every dimension after a transpose
         const int dim = c.integer("dim");
         c.output("y", transpose(masked_softmax(transpose(c.input("x"), dim, -1), transpose(c.mask(), dim, -1)), dim, -1));
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
    {"sinusoidal_positions", [](Case& c) { c.output("y", sinusoidal_positions(c.integer("length"), c.integer("dim"))); }},
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
        fmt::print("{}\n", problem.empty() ? "ok " + path.stem().string() : path.stem().string() + ": " + problem);
        failed += !problem.empty();
    }
    fmt::print("{} passed, {} failed\n", static_cast<int>(cases.size()) - failed, failed);
    return failed > 0;
}
