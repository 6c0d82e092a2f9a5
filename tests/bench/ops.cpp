// How fast is each op, forward and backward, at the sizes of the models of 12_contrast? Products are told in GFLOP/s and as a
// share of one core's peak of fused multiply-adds; the others in GB/s, counting what has to be read and written once, and as a
// share of y += x of the same kind of size. Medians, measured in turn with that peak. One shard: 12 sentences of 20 tokens.
// `--json FILE` writes the same figures, `--seconds S` sets the time spent on each line (default 0.3).
#include <fmt/format.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/kernels.h"
#include "lookback/ops/attention.h"
#include "lookback/ops/elementwise.h"
#include "lookback/ops/lookup.h"
#include "lookback/ops/matmul.h"
#include "lookback/ops/recurrent.h"
#include "lookback/ops/shape.h"
#include "lookback/ops/softmax.h"
#include "lookback/tensor/node.h"
#include "measure.h"

using namespace lookback;
using bench::seconds_of;

namespace {

struct Row {
    std::string name;
    Tensor y;
    double flops = 0;           // of a product, forward; backward has twice as many
    bool takes_part = false;    // it reads as much of its input as it writes
};

// Elements that an op must touch once: it reads its inputs and writes its output; back, it reads dy and adds to each dx.
double forward_bytes(const Row& row) {
    std::size_t elements = row.y.size();
    for (const Tensor& input : row.y.node->inputs) elements += row.takes_part ? row.y.size() : input.size();
    return static_cast<double>(elements * sizeof(real));
}

double backward_bytes(const Row& row) {
    std::size_t elements = row.y.size();
    for (const Tensor& input : row.y.node->inputs)
        if (input.node->requires_grad) elements += 2 * (row.takes_part ? row.y.size() : input.size());
    return static_cast<double>(elements * sizeof(real));
}

// y += x in the second cache: three of its arrays of this size are about what an op holds.
constexpr std::size_t stream_size = 64 * 1024;

void stream() {
    static std::vector<real> x(stream_size, 1), y(stream_size, 1);
    kernels::accumulate(stream_size, x.data(), y.data());
}

std::vector<Row> all_rows() {
    constexpr int B = 12, T = 20, S = 20, V = 220, E = 64, H = 128, C = 64, F = 256, A = 64, heads = 4;
    Random random(1);
    const auto leaf = [&](Shape shape) { return Tensor::uniform(std::move(shape), 0.5, 1.5, random).requires_grad(); };
    Ids ids{{B, T}, {}};
    for (int i = 0; i < B * T; ++i) ids.values.push_back(static_cast<int>(random.below(V)));
    Tensor mask({B, 1, S});
    for (std::size_t i = 0; i < mask.size(); ++i) mask.data()[i] = 1;
    const Tensor x = leaf({B, T, H}), other = leaf({B, T, H}), w = leaf({C}), b = leaf({C}), narrow = leaf({B, T, C});
    const Tensor query = leaf({B, 1, A}), scores = leaf({B, T, S}), state = leaf({B, H}), vector = leaf({A});
    const Tensor weight_hh = leaf({3 * H, H}), bias_hh = leaf({3 * H}), weights = softmax(leaf({B, heads, T, S}));

    return {
        {"add", x + other},
        {"subtract", x - other},
        {"multiply", x * other},
        {"divide", x / other},
        {"negate", -x},
        {"expand", expand(leaf({B, 1, H}), {B, T, H})},
        {"exp", exp(x)},
        {"log", log(x)},
        {"sqrt", sqrt(x)},
        {"tanh", tanh(x)},
        {"sigmoid", sigmoid(x)},
        {"relu", relu(x)},
        {"gelu, erf", gelu(x)},
        {"gelu, tanh", gelu(x, Gelu::tanh)},
        {"reshape", reshape(x, {B * T, H})},
        {"transpose", transpose(x)},
        {"transpose, heads", transpose(reshape(narrow, {B, T, heads, C / heads}), 1, 2)},
        {"slice", slice(x, 2, 0, H / 2), 0, true},
        {"select", select(x, 1, T / 2), 0, true},
        {"concat", concat({x, other}, 2)},
        {"stack", stack({state, state, state, state}, 1)},
        {"select_rows", select_rows(std::vector<bool>(B, true), x, other)},
        {"index_select", index_select(x, {3, 1, 4, 1, 5}), 0, true},
        {"sum", sum(x)},
        {"mean, dim 1", mean(x, 1)},
        {"softmax", softmax(scores)},
        {"masked_softmax", masked_softmax(scores, mask)},
        {"log_softmax", log_softmax(leaf({B, T, V}))},
        {"layer_norm", layer_norm(narrow, w, b)},
        {"embedding", embedding(ids, leaf({V, E})), 0, true},
        {"dropout", dropout(x, 0.1, {&random})},
        {"cross_entropy", cross_entropy(leaf({B, T, V}), ids)},
        {"additive_scores", additive_scores(query, leaf({B, S, A}), vector)},
        {"matmul, 2-D", matmul(leaf({B * T, H}), leaf({H, V})), 2.0 * B * T * H * V},
        {"matmul, batched", matmul(scores, leaf({B, S, H})), 2.0 * B * T * S * H},
        {"matmul, shared", matmul(x, leaf({H, V})), 2.0 * B * T * H * V},
        {"linear, C to F", linear(narrow, leaf({F, C}), leaf({F})), 2.0 * B * T * C * F},
        {"linear, H to V", linear(x, leaf({V, H}), leaf({V})), 2.0 * B * T * H * V},
        {"linear, one step", linear(state, leaf({3 * H, H}), leaf({3 * H})), 2.0 * B * H * 3 * H},
        {"gru_cell", gru_cell(leaf({B, 3 * H}), state, weight_hh, bias_hh), 2.0 * B * H * 3 * H},
        {"gru_sequence", gru_sequence(leaf({B, T, 3 * H}), state, weight_hh, bias_hh), 2.0 * B * T * H * 3 * H},
        {"lstm_cell", lstm_cell(leaf({B, 4 * H}), state, leaf({B, H}), leaf({4 * H, H}), leaf({4 * H})), 2.0 * B * H * 4 * H},
        {"attention_weights", attention_weights(narrow, leaf({B, S, C}), heads), 2.0 * B * T * S * C},
        {"attention_context", attention_context(weights, leaf({B, S, C})), 2.0 * B * T * S * C},
    };
}

}    // namespace

int main(int argc, char** argv) {
    std::string json_file;
    double budget = 0.3;
    for (int i = 1; i < argc; i += 2) {
        const std::string_view option = argv[i];
        if (i + 1 < argc && option == "--json")
            json_file = argv[i + 1];
        else if (i + 1 < argc && option == "--seconds")
            budget = std::strtod(argv[i + 1], nullptr);
        else {
            fmt::print(stderr, "usage: ops [--json FILE] [--seconds S]\n");
            return 2;
        }
    }
    fmt::print("{:<19} {:<16} {:>22} {:>22}\n{:<19} {:<16} {:>8} {:>6} {:>6} {:>8} {:>6} {:>6}\n", "", "", "forward", "backward",
               "op", "output", "us", "G/s", "share", "us", "G/s", "share");
    std::string json = "{\"results\": [";
    const char* comma = "";
    for (const Row& row : all_rows()) {
        Node& node = *row.y.node;
        node.zero_grad();
        for (const Tensor& input : node.inputs)
            if (input.node->requires_grad) input.node->zero_grad();
        for (std::size_t i = 0; i < node.size; ++i) node.grad[i] = real(1e-6);
        const bool product = row.flops > 0;
        const std::vector<double> seconds =
            seconds_of({[&] { node.forward(); }, [&] { node.backward(); }, product ? bench::compute_at_peak : stream}, budget);
        const double forward = seconds[0], backward = seconds[1];
        const double work = product ? row.flops : forward_bytes(row), work_back = product ? 2 * row.flops : backward_bytes(row);
        const double peak = (product ? bench::peak_operations : 3.0 * stream_size * sizeof(real)) / seconds[2];
        fmt::print("{:<19} {:<16} {:8.2f} {:6.1f} {:5.0f}% {:8.2f} {:6.1f} {:5.0f}%\n", row.name, to_string(node.shape),
                   forward * 1e6, work / forward * 1e-9, 100 * work / forward / peak, backward * 1e6, work_back / backward * 1e-9,
                   100 * work_back / backward / peak);
        json += fmt::format(
            "{}{{\"op\": \"{}\", \"unit\": \"{}\", \"peak\": {:.2f}, \"forward_us\": {:.3f}, \"forward\": {:.2f}, "
            "\"forward_of_peak\": {:.4f}, "
            "\"backward_us\": {:.3f}, \"backward\": {:.2f}, \"backward_of_peak\": {:.4f}}}",
            comma, row.name, product ? "GFLOP/s" : "GB/s", peak * 1e-9, forward * 1e6, work / forward * 1e-9,
            work / forward / peak, backward * 1e6, work_back / backward * 1e-9, work_back / backward / peak);
        comma = ", ";
    }
    json += "]}\n";
    if (!json_file.empty() && !(std::ofstream(json_file) << json)) {
        fmt::print(stderr, "ops: cannot write {}\n", json_file);
        return 1;
    }
}
