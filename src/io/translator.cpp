#include "lookback/io/translator.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdint>

#include "lookback/program/error.h"
#include "lookback/program/file.h"
#include "lookback/text/corpus.h"
#include "program/json.h"

namespace lookback {

namespace {

// A file of weights whose model is to be made. The model's sizes are those of the tensors; each is looked up in a tensor that
// has all its numbers in the file, so a small file cannot ask for a large model.
struct Weights {
    std::filesystem::path path;
    Safetensors file;
    int source, target;    // sizes of the vocabularies

    Weights(const std::filesystem::path& folder, const std::string& name, const std::string& model)
        : path(folder / (name + ".safetensors")),
          file(read_safetensors(path)),
          source(read_vocabulary(folder / "source.txt").size()),
          target(read_vocabulary(folder / "target.txt").size()) {
        if (option("model") != model)
            fail(fmt::format("this is a model of the kind {}, not {}: ask for that", json::shown(option("model")),
                             json::quoted(model)));
    }

    [[noreturn]] void fail(const std::string& what) const { throw BadInput(fmt::format("{}: {}", path.string(), what)); }

    const StoredTensor& tensor(const std::string& name) const {
        const StoredTensor* found = file.find(name);
        if (!found) fail(fmt::format("tensor \"{}\" is missing: is this another model's file?", name));
        return *found;
    }

    int size(const std::string& name, std::size_t dim) const {
        const Shape& shape = tensor(name).shape;
        if (shape.size() != 2 || element_count(shape) == 0)
            fail(fmt::format("tensor \"{}\" is {}, no matrix", name, to_string(shape)));
        return shape[dim];
    }

    void expect(const std::string& name, const Shape& shape) const {
        if (tensor(name).shape != shape)
            fail(fmt::format("tensor \"{}\" is {}; beside the others it should be {}", name, to_string(tensor(name).shape),
                             to_string(shape)));
    }

    void expect_embeddings(int embedding) const {
        const int rows = size("source_embedding.weight", 0), target_rows = size("target_embedding.weight", 0);
        if (rows != source || target_rows != target)
            fail(fmt::format("the model has {} source and {} target tokens, the vocabularies beside it {} and {}", rows,
                             target_rows, source, target));
        const auto words = file.metadata.find("vocabularies");    // not there if PyTorch has written the file
        if (words != file.metadata.end() && words->second != fingerprint_of_vocabularies(path.parent_path()))
            fail("the vocabularies beside it, source.txt and target.txt, are not those it was saved with: train it anew");
        expect("source_embedding.weight", {source, embedding});
        expect("target_embedding.weight", {target, embedding});
    }

    const std::string& option(const std::string& key) const {
        const auto found = file.metadata.find(key);
        if (found == file.metadata.end()) fail(fmt::format("its metadata have no \"{}\": was it saved by save_translator?", key));
        return found->second;
    }

    template <class Number>
    Number number(const std::string& key, Number least, Number most) const {
        const std::string& text = option(key);
        Number number{};
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
        if (error != std::errc() || end != text.data() + text.size() || !(number >= least && number <= most))
            fail(fmt::format("\"{}\" is {}: a number from {} to {} was expected", key, json::shown(text), least, most));
        return number;
    }

    template <class Model>
    Model filled(Model model) const {
        const NamedTensors tensors = named_parameters(model);
        fill(tensors, matching(tensors, file, path));
        return model;
    }
};

}    // namespace

void save_vocabularies(const Vocabulary& source, const Vocabulary& target, const std::filesystem::path& folder) {
    make_writable_folder(folder);
    write_vocabulary(source, folder / "source.txt");
    write_vocabulary(target, folder / "target.txt");
}

std::string fingerprint_of_vocabularies(const std::filesystem::path& folder) {    // FNV-1a (Fowler, Noll & Vo)
    std::uint64_t hash = 0xcbf29ce484222325;
    for (const char* name : {"source.txt", "target.txt"}) {
        const Vocabulary vocabulary = read_vocabulary(folder / name);
        for (int id = 0; id < vocabulary.size(); ++id)
            for (const char byte : vocabulary.token(id) + "\n") hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
    }
    return fmt::format("{:016x}", hash);
}

std::map<std::string, std::string> options_of(const FixedVector&) { return {{"model", "fixed vector"}}; }

std::map<std::string, std::string> options_of(const AttentionTranslator&) { return {{"model", "attention"}}; }

std::map<std::string, std::string> options_of(const TransformerTranslator& model) {
    return {{"model", "Transformer"},
            {"heads", fmt::format("{}", model.options.heads)},
            {"dropout", fmt::format("{}", model.options.dropout)},
            {"norm_first", model.options.norm_first ? "1" : "0"},
            {"activation", model.options.activation == Activation::relu ? "relu" : "gelu"}};
}

template <>
FixedVector load_translator(const std::filesystem::path& folder, const std::string& name) {
    const Weights weights(folder, name, "fixed vector");
    Random unused(0);    // for weights that are replaced by the file's
    const int E = weights.size("source_embedding.weight", 1), H = weights.size("out.weight", 1);
    weights.expect_embeddings(E);
    weights.expect("decoder.weight_ih", {3 * H, E + H});
    return weights.filled(FixedVector(weights.source, weights.target, unused, E, H));
}

template <>
AttentionTranslator load_translator(const std::filesystem::path& folder, const std::string& name) {
    const Weights weights(folder, name, "attention");
    Random unused(0);    // for weights that are replaced by the file's
    const int E = weights.size("source_embedding.weight", 1), H = weights.size("decoder.weight_hh", 1);
    const int A = weights.size("attention.query.weight", 0);
    weights.expect_embeddings(E);
    weights.expect("attention.query.weight", {A, H});
    weights.expect("decoder.weight_ih", {3 * H, E + H});
    weights.expect("out.weight", {weights.target, 2 * H + E});
    return weights.filled(AttentionTranslator(weights.source, weights.target, unused, E, H, A));
}

template <>
TransformerTranslator load_translator(const std::filesystem::path& folder, const std::string& name) {
    const Weights weights(folder, name, "Transformer");
    Random unused(0);    // for weights that are replaced by the file's
    const int C = weights.size("source_embedding.weight", 1);
    weights.expect_embeddings(C);
    weights.expect("out.weight", {weights.target, C});
    if (!weights.file.find("transformer.decoder.layers.0.linear1.weight")) weights.fail("it has no decoder layer");
    TransformerOptions options{.size = C,
                               .heads = weights.number("heads", 1, C),
                               .feed_forward = weights.size("transformer.decoder.layers.0.linear1.weight", 0),
                               .encoder_layers = 0,
                               .decoder_layers = 0,
                               .dropout = weights.number("dropout", 0.0, 1.0),
                               .norm_first = weights.number("norm_first", 0, 1) == 1};
    if (options.dropout == 1) weights.fail("its dropout of 1 leaves nothing");
    if (C % options.heads != 0) weights.fail(fmt::format("its width of {} cannot be cut into {} heads", C, options.heads));
    if (weights.option("activation") == "gelu")
        options.activation = Activation::gelu;
    else if (weights.option("activation") != "relu")
        weights.fail("its activation is neither relu nor gelu");
    const auto count_layers = [&](const char* stack) {
        for (int layer = 0;; ++layer) {
            const std::string prefix = fmt::format("transformer.{}.layers.{}.", stack, layer);
            if (!weights.file.find(prefix + "linear1.weight")) return layer;
            weights.expect(prefix + "linear1.weight", {options.feed_forward, C});
            weights.expect(prefix + "self_attn.in_proj_weight", {3 * C, C});
        }
    };
    options.encoder_layers = count_layers("encoder");
    options.decoder_layers = count_layers("decoder");
    return weights.filled(TransformerTranslator(weights.source, weights.target, unused, options));
}

}    // namespace lookback
