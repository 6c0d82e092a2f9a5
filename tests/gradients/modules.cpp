#include <fmt/format.h>

#include "gradients/table.h"
#include "lookback/models/translator.h"
#include "lookback/nn/positions.h"
#include "lookback/ops/matmul.h"

using namespace lookback;
using namespace lookback::gradients;

namespace {

Random unused(0);    // for parameters that the row replaces by its leaves

// A row whose leaves are inputs and then the parameters of a module, in the order of its parameters(visit).
template <class Module, class Function>
Row row_of(std::string name, Module module, const std::vector<Leaf>& inputs, Function f) {
    Row row{std::move(name), inputs, {}};
    module.parameters([&](const std::string&, Tensor& parameter) { row.leaves.push_back({parameter.shape(), false}); });
    row.f = [module, f, input_count = inputs.size()](Leaves x) {
        Module with_leaves = module;
        std::size_t next = input_count;
        with_leaves.parameters([&](const std::string&, Tensor& parameter) { parameter = x[next++]; });
        return f(with_leaves, x);
    };
    return row;
}

// Several outputs as one.
Tensor together(const std::vector<Tensor>& outputs) {
    std::vector<Tensor> flat;
    for (const Tensor& output : outputs) flat.push_back(reshape(output, {-1}));
    return concat(flat, 0);
}

Tensor both(const Attended& attended) { return together({attended.context, attended.weights}); }

const Tensor no_padding;

// Three sources in a batch: 3, 1 and 2 tokens and 4, 0 and 1 target tokens, with </s>.
const std::vector<Example> examples = {{{4, 5, 2}, {4, 3, 4, 5}}, {{2}, {}}, {{6, 2}, {5}}};
const std::vector<int> all_rows = {0, 1, 2};

// Both embeddings are the output layer's weight.
struct TiedTranslator {
    TransformerTranslator model;
    void parameters(const Visit& visit) {
        model.transformer.parameters(within("transformer", visit));
        model.out.parameters(within("out", visit));
    }
};

}    // namespace

TEST_CASE("gradients of the layers") {
    const auto apply = [](const auto& layer, Leaves x) { return layer(x[0]); };
    check_rows({
        row_of("Linear", Linear(3, 4, unused), {{2, 5, 3}}, apply),
        row_of("Linear without bias", Linear(3, 4, unused, false), {{2, 3}}, apply),
        row_of("Linear, lengths of one", Linear(1, 1, unused), {{1, 1}}, apply),
        row_of("embedded linear, ids that repeat", Linear(3, 4, unused), {{5, 3}},
               [](const Linear& layer, Leaves x) {
                   Embedding table;
                   table.weight = x[0];
                   return embedded_linear({{2, 3}, {4, 1, 4, 0, 1, 4}}, table, layer.weight, layer.bias);
               }),
        row_of("Linear, twice", Linear(3, 3, unused), {{2, 3}}, [](const Linear& layer, Leaves x) { return layer(layer(x[0])); }),
        row_of("Embedding", Embedding(4, 3, unused), {},
               [](const Embedding& table, Leaves) {
                   return table({{2, 3}, {3, 0, 3, 1, 1, 3}});
               }),
        row_of("Embedding and output layer in one", Embedding(4, 3, unused), {},
               [](const Embedding& table, Leaves) {
                   return linear(table({{3}, {3, 0, 3}}), table.weight);
               }),
        row_of("LayerNorm", LayerNorm(4), {{2, 3, 4}}, apply),
        row_of("LayerNorm, x + norm(x)", LayerNorm(4), {{2, 4}},
               [](const LayerNorm& norm, Leaves x) { return x[0] + norm(x[0]); }),
        row_of("LearnedPositions", LearnedPositions(5, 3, unused), {},
               [](const LearnedPositions& positions, Leaves) {
                   return together({positions(2), positions(3, 1)});
               }),
    });
}

TEST_CASE("gradients of the recurrent cells' modules") {
    const auto apply = [](const auto& cell, Leaves x) { return cell(x[0], x[1]); };
    const auto on_itself = [](const auto& cell, Leaves x) { return cell(x[0], x[0]); };
    check_rows({
        row_of("RnnCell", RnnCell(3, 2, unused), {{2, 3}, {2, 2}}, apply),
        row_of("RnnCell, lengths of one", RnnCell(1, 1, unused), {{1, 1}, {1, 1}}, apply),
        row_of("RnnCell, input and state in one", RnnCell(3, 3, unused), {{2, 3}}, on_itself),
        row_of("GruCell", GruCell(3, 2, unused), {{2, 3}, {2, 2}}, apply),
        row_of("GruCell, lengths of one", GruCell(1, 1, unused), {{1, 1}, {1, 1}}, apply),
        row_of("GruCell, input and state in one", GruCell(3, 3, unused), {{2, 3}}, on_itself),
        row_of("LstmCell", LstmCell(3, 2, unused), {{2, 3}, {2, 4}}, apply),
        row_of("LstmCell, lengths of one", LstmCell(1, 1, unused), {{1, 1}, {1, 2}}, apply),
        row_of("LstmCell, input and state in one", LstmCell(4, 2, unused), {{2, 4}}, on_itself),
        row_of("LstmCell, output alone", LstmCell(3, 2, unused), {{2, 3}, {2, 4}},
               [](const LstmCell& cell, Leaves x) { return cell.output(cell(x[0], x[1])); }),
    });
}

namespace {

template <class CellType>
void check_recurrent(const std::string& name) {
    using Layer = Recurrent<CellType>;
    const int states = Layer(3, 2, unused).forward_cell.state_size();
    const auto from_zero = [](std::vector<int> lengths) {
        return [lengths](const Layer& layer, Leaves x) {
            const auto output = layer(x[0], lengths);
            return together({output.y, output.state});
        };
    };
    const auto from_state = [](std::vector<int> lengths) {
        return [lengths](const Layer& layer, Leaves x) {
            const auto output = layer(x[0], lengths, x[1]);
            return together({output.y, output.state});
        };
    };
    check_rows({
        row_of(name, Layer(3, 2, unused), {{2, 3, 3}}, from_zero({})),
        row_of(name + " of padded sentences", Layer(3, 2, unused), {{3, 4, 3}}, from_zero({2, 4, 1})),
        row_of(name + ", one step of one sentence, lengths of one", Layer(1, 1, unused), {{1, 1, 1}}, from_zero({1})),
        row_of(name + " from a state", Layer(3, 2, unused), {{2, 3, 3}, {2, states}}, from_state({})),
        row_of(name + " in both directions", Layer(3, 2, unused, true), {{2, 3, 3}}, from_zero({})),
        row_of(name + " in both directions, of padded sentences", Layer(3, 2, unused, true), {{3, 4, 3}}, from_zero({2, 4, 1})),
        row_of(name + " in both directions, from a state", Layer(3, 2, unused, true), {{2, 3, 3}, {2, 2 * states}},
               from_state({3, 1})),
        row_of(name + ", the state alone", Layer(3, 2, unused), {{2, 3, 3}},
               [](const Layer& layer, Leaves x) {
                   return layer(x[0], {3, 2}).state;
               }),
        row_of(name + ", the outputs alone", Layer(3, 2, unused), {{2, 3, 3}},
               [](const Layer& layer, Leaves x) {
                   return layer(x[0], {3, 2}).y;
               }),
        row_of(name + " of itself", Layer(2, 2, unused), {{2, 3, 2}},
               [](const Layer& layer, Leaves x) {
                   return layer(layer(x[0], {3, 2}).y, {3, 2}).y + x[0];
               }),
    });
}

}    // namespace

TEST_CASE("gradients of Rnn, Gru and Lstm") {
    check_recurrent<RnnCell>("Rnn");
    check_recurrent<GruCell>("Gru");
    check_recurrent<LstmCell>("Lstm");
}

namespace {

// query (B, T, Q), memory (B, S, M)
template <class Attention>
void check_score_attention(const std::string& name, const Attention& attention, const Attention& square, const Attention& of_one,
                           int Q, int M) {
    const auto over = [](Tensor padding) {
        return [padding](const Attention& with, Leaves x) { return both(with(x[0], with.prepare(x[1]), x[1], padding)); };
    };
    check_rows({
        row_of(name, attention, {{2, 3, Q}, {2, 4, M}}, over(no_padding)),
        row_of(name + " with padding", attention, {{2, 3, Q}, {2, 4, M}}, over(Tensor({2, 4}, {1, 1, 1, 0, 1, 0, 0, 0}))),
        row_of(name + " with nothing to attend to", attention, {{2, 3, Q}, {2, 2, M}}, over(Tensor({2, 2}, {0, 0, 1, 1}))),
        row_of(name + ", lengths of one", of_one, {{1, 1, 1}, {1, 1, 1}}, over(no_padding)),
        row_of(name + ", one query", attention, {{2, 1, Q}, {2, 3, M}}, over(Tensor({2, 3}, {1, 1, 0, 1, 1, 1}))),
        row_of(name + " of the memory to itself", square, {{2, 3, 3}},
               [](const Attention& with, Leaves x) {
                   return both(with(x[0], with.prepare(x[0]), x[0], Tensor({2, 3}, {1, 1, 0, 1, 1, 1})));
               }),
    });
}

}    // namespace

TEST_CASE("gradients of the four scores of attention") {
    check_score_attention("AdditiveAttention", AdditiveAttention(3, 2, 4, unused), AdditiveAttention(3, 3, 2, unused),
                          AdditiveAttention(1, 1, 1, unused), 3, 2);
    check_score_attention("DotAttention", DotAttention(), DotAttention(), DotAttention(), 3, 3);
    check_score_attention("GeneralAttention", GeneralAttention(3, 2, unused), GeneralAttention(3, 3, unused),
                          GeneralAttention(1, 1, unused), 3, 2);
    check_score_attention("ConcatAttention", ConcatAttention(3, 2, 4, unused), ConcatAttention(3, 3, 2, unused),
                          ConcatAttention(1, 1, 1, unused), 3, 2);
}

TEST_CASE("gradients of attention from primitives and of multi-head attention") {
    const auto scaled = [](const Tensor& mask) {
        return [mask](Leaves x) { return both(scaled_dot_product_attention(x[0], x[1], x[2], mask)); };
    };
    const auto self = [](const Tensor& mask, bool causal) {
        return
            [mask, causal](const MultiheadAttention& attention, Leaves x) { return both(attention(x[0], x[0], mask, causal)); };
    };
    const auto cross = [](const Tensor& mask) {
        return [mask](const MultiheadAttention& attention, Leaves x) { return both(attention(x[0], x[1], mask)); };
    };
    const Tensor padding({2, 1, 1, 3}, {1, 1, 0, 1, 1, 1}), nothing_left({2, 1, 1, 3}, {1, 0, 0, 0, 0, 0});
    check_rows({
        {"scaled dot-product", {{2, 3, 2}, {2, 4, 2}, {2, 4, 3}}, scaled(no_padding)},
        {"scaled dot-product, causal", {{2, 3, 2}, {2, 3, 2}, {2, 3, 2}}, scaled(causal_mask(3))},
        {"scaled dot-product of heads, padded", {{2, 2, 2, 2}, {2, 2, 3, 2}, {2, 2, 3, 2}}, scaled(padding)},
        {"scaled dot-product with nothing to attend to", {{2, 1, 2, 2}, {2, 1, 3, 2}, {2, 1, 3, 2}}, scaled(nothing_left)},
        {"scaled dot-product of x with itself",
         {{2, 3, 2}},
         [](Leaves x) { return both(scaled_dot_product_attention(x[0], x[0], x[0])); }},
        row_of("multi-head, self", MultiheadAttention(4, 2, unused), {{2, 3, 4}}, self(no_padding, false)),
        row_of("multi-head, self, causal", MultiheadAttention(4, 2, unused), {{2, 3, 4}}, self(no_padding, true)),
        row_of("multi-head, self, padded", MultiheadAttention(4, 2, unused), {{2, 3, 4}}, self(padding, false)),
        row_of("multi-head, self, causal and padded", MultiheadAttention(4, 2, unused), {{2, 3, 4}}, self(nothing_left, true)),
        row_of("multi-head, cross", MultiheadAttention(4, 2, unused), {{2, 2, 4}, {2, 3, 4}}, cross(no_padding)),
        row_of("multi-head, cross, padded", MultiheadAttention(4, 2, unused), {{2, 2, 4}, {2, 3, 4}}, cross(padding)),
        row_of("multi-head, cross, nothing to attend to", MultiheadAttention(4, 2, unused), {{2, 2, 4}, {2, 3, 4}},
               cross(nothing_left)),
        row_of("multi-head, heads of width one", MultiheadAttention(3, 3, unused), {{2, 2, 3}, {2, 3, 3}}, cross(padding)),
        row_of("multi-head, one head", MultiheadAttention(3, 1, unused), {{2, 2, 3}, {2, 3, 3}}, cross(padding)),
        row_of("multi-head, five heads of width two", MultiheadAttention(10, 5, unused), {{1, 3, 10}}, self(no_padding, true)),
        row_of("multi-head, lengths of one", MultiheadAttention(1, 1, unused), {{1, 1, 1}}, self(no_padding, true)),
        row_of("multi-head, a memory used for two queries", MultiheadAttention(4, 2, unused), {{2, 2, 4}, {2, 3, 4}},
               [padding](const MultiheadAttention& attention, Leaves x) {
                   const MultiheadAttention::Memory memory = attention.project_memory(x[1]);
                   return together({attention(x[0], memory, padding).context, attention(x[0] * x[0], memory).context});
               }),
    });
}

TEST_CASE("gradients of the Transformer's layers") {
    const Tensor padding({2, 1, 1, 3}, {1, 1, 0, 1, 1, 1}), nothing_left({2, 1, 1, 3}, {1, 1, 0, 0, 0, 0});
    for (const bool norm_first : {true, false})
        for (const Activation activation : {Activation::relu, Activation::gelu}) {
            const TransformerOptions options{
                .size = 4, .heads = 2, .feed_forward = 5, .dropout = 0.3, .norm_first = norm_first, .activation = activation};
            const std::string kind =
                fmt::format("{}, {}: ", norm_first ? "pre-norm" : "post-norm", activation == Activation::relu ? "relu" : "gelu");
            const TransformerEncoderLayer encoder(options, unused);
            const TransformerDecoderLayer decoder(options, unused);
            check_rows({
                row_of(kind + "encoder layer", encoder, {{2, 3, 4}},
                       [=](const TransformerEncoderLayer& layer, Leaves x) { return layer(x[0], padding); }),
                row_of(kind + "encoder layer, nothing to attend to", encoder, {{2, 3, 4}},
                       [=](const TransformerEncoderLayer& layer, Leaves x) { return layer(x[0], nothing_left); }),
                row_of(kind + "encoder layer, one token", encoder, {{1, 1, 4}},
                       [=](const TransformerEncoderLayer& layer, Leaves x) { return layer(x[0], no_padding); }),
                row_of(kind + "encoder layer with dropout", encoder, {{2, 3, 4}},
                       [=](const TransformerEncoderLayer& layer, Leaves x) {
                           Random random(5);
                           return layer(x[0], padding, {&random});
                       }),
                row_of(kind + "decoder layer", decoder, {{2, 2, 4}, {2, 3, 4}},
                       [=](const TransformerDecoderLayer& layer, Leaves x) { return layer(x[0], x[1], padding); }),
                row_of(kind + "decoder layer, nothing to attend to", decoder, {{2, 2, 4}, {2, 3, 4}},
                       [=](const TransformerDecoderLayer& layer, Leaves x) { return layer(x[0], x[1], nothing_left); }),
                row_of(kind + "decoder layer on its own input", decoder, {{1, 3, 4}},
                       [=](const TransformerDecoderLayer& layer, Leaves x) { return layer(x[0], x[0], no_padding); }),
                row_of(kind + "decoder layer with dropout", decoder, {{2, 2, 4}, {2, 3, 4}},
                       [=](const TransformerDecoderLayer& layer, Leaves x) {
                           Random random(5);
                           return layer(x[0], x[1], padding, {&random});
                       }),
                row_of(kind + "decoder layer, step by step", decoder, {{2, 2, 4}, {2, 3, 4}},
                       [=](const TransformerDecoderLayer& layer, Leaves x) {
                           TransformerDecoderLayer::Cache cache{{}, layer.multihead_attn.project_memory(x[1])};
                           const Tensor first = layer.step(slice(x[0], 1, 0, 1), cache, padding);
                           return concat({first, layer.step(slice(x[0], 1, 1, 2), cache, padding)}, 1);
                       }),
            });
        }
}

TEST_CASE("gradients of the whole Transformer") {
    const Tensor padding({2, 3}, {1, 1, 0, 1, 1, 1});
    const auto translate = [=](const Transformer& transformer, Leaves x) { return transformer(x[0], x[1], padding); };
    TransformerOptions options{.size = 4, .heads = 2, .feed_forward = 3, .encoder_layers = 2, .decoder_layers = 1};
    std::vector<Row> rows = {row_of("pre-norm", Transformer(options, unused), {{2, 3, 4}, {2, 2, 4}}, translate)};
    options.norm_first = false;
    options.activation = Activation::gelu;
    options.encoder_layers = 1;
    options.decoder_layers = 2;
    rows.push_back(row_of("post-norm", Transformer(options, unused), {{2, 3, 4}, {2, 2, 4}}, translate));
    check_rows(rows);
}

TEST_CASE("gradients of the translators' loss, with padding and label smoothing") {
    const Batch batch = make_batch(examples, all_rows);
    const auto loss_of = [=](const auto& model, Leaves) {
        return cross_entropy(model(batch), batch.target_out, {.ignore_index = Vocabulary::pad, .label_smoothing = 0.1});
    };
    const TransformerOptions options{.size = 4, .heads = 2, .feed_forward = 3, .encoder_layers = 1, .decoder_layers = 1};
    check_rows({
        row_of("fixed vector", FixedVector(7, 6, unused, 3, 2), {}, loss_of),
        row_of("attention", AttentionTranslator(7, 6, unused, 3, 4, 2), {}, loss_of),
        row_of("Transformer", TransformerTranslator(7, 6, unused, options), {}, loss_of),
        row_of("attention, its weights", AttentionTranslator(7, 6, unused, 2, 2, 2), {},
               [=](const AttentionTranslator& model, Leaves) {
                   Tensor weights;
                   const Tensor logits = model(batch, &weights);
                   return together({logits, weights});
               }),
        row_of("Transformer, embeddings and output layer tied", TiedTranslator{TransformerTranslator(7, 7, unused, options)}, {},
               [=](TiedTranslator tied, Leaves) {
                   tied.model.source_embedding.weight = tied.model.target_embedding.weight = tied.model.out.weight;
                   return cross_entropy(tied.model(batch), batch.target_out, {.ignore_index = Vocabulary::pad});
               }),
    });
}
