#include "lookback/io/translator.h"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <unistd.h>

#include <limits>

#include "lookback/decode/greedy.h"
#include "lookback/program/error.h"
#include "lookback/program/file.h"
#include "lookback/text/corpus.h"

using namespace lookback;

namespace {

// A folder of the test's own with two vocabularies, removed at the end.
struct SavedVocabularies {
    std::filesystem::path path = std::filesystem::temp_directory_path() / fmt::format("lookback-translator-test-{}", getpid());
    SavedVocabularies() { save_vocabularies(Vocabulary::listed({"a", "b", "c"}), Vocabulary::listed({"x", "y"}), path); }
    ~SavedVocabularies() { std::filesystem::remove_all(path); }
};

template <class Model>
Model make() {
    Random random(1);
    if constexpr (std::is_same_v<Model, FixedVector>) return Model(7, 6, random, 4, 5);
    if constexpr (std::is_same_v<Model, AttentionTranslator>) return Model(7, 6, random, 4, 10, 3);
    if constexpr (std::is_same_v<Model, TransformerTranslator>)
        return Model(7, 6, random,
                     {.size = 6,
                      .heads = 3,
                      .feed_forward = 10,
                      .encoder_layers = 1,
                      .decoder_layers = 2,
                      .dropout = 0.25,
                      .norm_first = false,
                      .activation = Activation::gelu});
}

// What is said of the file x.safetensors in the folder.
template <class Model>
std::string refusal(const SavedVocabularies& folder) {
    try {
        load_translator<Model>(folder.path, "x");
    } catch (const BadInput& error) {
        const std::string message = error.what(), prefix = (folder.path / "x.safetensors").string() + ": ";
        return message.starts_with(prefix) ? message.substr(prefix.size()) : message;
    }
    return "(no error)";
}

// What is said of a saved model in which `damage` was done.
template <class Model, class Damage>
std::string refusal_of(Damage damage) {
    const SavedVocabularies folder;
    Model model = make<Model>();
    save_translator(model, folder.path, "x");
    Safetensors file = read_safetensors(folder.path / "x.safetensors");
    damage(file);
    write_safetensors(folder.path / "x.safetensors", file.tensors, file.metadata);
    return refusal<Model>(folder);
}

StoredTensor& tensor(Safetensors& file, const std::string& name) {
    return *std::ranges::find(file.tensors, name, &StoredTensor::name);
}

}    // namespace

TEST_CASE_TEMPLATE("a translator that is saved and loaded, with no size given, says the same to the bit", Model, FixedVector,
                   AttentionTranslator, TransformerTranslator) {
    const SavedVocabularies folder;
    Model model = make<Model>();
    save_translator(model, folder.path, "x");
    Model again = load_translator<Model>(folder.path, "x");
    const NamedTensors before = named_parameters(model), after = named_parameters(again);
    REQUIRE(before.size() == after.size());
    for (std::size_t i = 0; i < before.size(); ++i) {
        CHECK(before[i].first == after[i].first);
        CHECK(before[i].second.values() == after[i].second.values());
    }
    const Batch batch = make_batch({{{4, 5, 6, 2}, {4, 5}}, {{6, 2}, {5}}}, std::vector{0, 1});
    CHECK(model(batch).values() == again(batch).values());
    const auto said = greedy(model, batch.source, batch.source_lengths, 5),
               repeated = greedy(again, batch.source, batch.source_lengths, 5);
    CHECK(said[0].tokens == repeated[0].tokens);
    CHECK(options_of(model) == options_of(again));
}

TEST_CASE("a Transformer without encoder layers is loaded as it was saved") {
    const SavedVocabularies folder;
    Random random(1);
    TransformerTranslator model(7, 6, random,
                                {.size = 4, .heads = 2, .feed_forward = 8, .encoder_layers = 0, .decoder_layers = 1});
    save_translator(model, folder.path, "x");
    CHECK(load_translator<TransformerTranslator>(folder.path, "x").options.encoder_layers == 0);
}

TEST_CASE("a folder of translators has its vocabularies, and is made with its parents") {
    const SavedVocabularies folder;
    CHECK(read_vocabulary(folder.path / "source.txt").id("c") == 6);
    CHECK(read_vocabulary(folder.path / "target.txt").size() == 6);
    save_vocabularies(Vocabulary(), Vocabulary(), folder.path / "a" / "b");
    CHECK(read_vocabulary(folder.path / "a" / "b" / "source.txt").size() == 4);
}

TEST_CASE("a file of another kind, or of other vocabularies, is refused by what differs") {
    const SavedVocabularies folder;
    FixedVector fixed = make<FixedVector>();
    CHECK(refusal<FixedVector>(folder).ends_with("No such file or directory"));
    save(fixed, folder.path / "x.safetensors");
    CHECK(refusal<FixedVector>(folder) == "its metadata have no \"model\": was it saved by save_translator?");
    save_translator(fixed, folder.path, "x");
    CHECK(refusal<AttentionTranslator>(folder) ==
          "this is a model of the kind \"fixed vector\", not \"attention\": ask for that");
    save_vocabularies(Vocabulary::listed({"a"}), Vocabulary::listed({"x", "y"}), folder.path);
    CHECK(refusal<FixedVector>(folder) == "the model has 7 source and 6 target tokens, the vocabularies beside it 5 and 6");
    for (const Vocabulary& others : {Vocabulary::listed({"a", "c", "b"}), Vocabulary::listed({"a", "b", "d"})}) {
        save_vocabularies(others, Vocabulary::listed({"x", "y"}), folder.path);
        CHECK(refusal<FixedVector>(folder) ==
              "the vocabularies beside it, source.txt and target.txt, are not those it was saved with: train it anew");
    }
    CHECK(refusal_of<FixedVector>([](Safetensors& file) { file.metadata.erase("vocabularies"); }) == "(no error)");
}

TEST_CASE("a weight that is missing, of another shape, NaN or inf is refused by name") {
    CHECK(refusal_of<FixedVector>([](Safetensors& file) {
              tensor(file, "encoder.weight_hh_l0").values[7] = std::numeric_limits<double>::quiet_NaN();
          }) == "tensor \"encoder.weight_hh_l0\" holds nan at element 7");
    CHECK(refusal_of<TransformerTranslator>([](Safetensors& file) {
              tensor(file, "transformer.encoder.norm.bias").values[0] = -std::numeric_limits<double>::infinity();
          }) == "tensor \"transformer.encoder.norm.bias\" holds -inf at element 0");
    CHECK(refusal_of<FixedVector>([](Safetensors& file) {
              tensor(file, "decoder.weight_ih").shape = {9, 15};
          }) == "tensor \"decoder.weight_ih\" is (9, 15); beside the others it should be (15, 9)");
    CHECK(refusal_of<AttentionTranslator>([](Safetensors& file) {
              std::erase_if(file.tensors, [](const StoredTensor& t) { return t.name == "attention.energy.weight"; });
          }) == "tensor \"attention.energy.weight\" is missing; the model has one of (1, 3): is this another model's file?");
    CHECK(refusal_of<TransformerTranslator>([](Safetensors& file) {
              std::erase_if(file.tensors, [](const StoredTensor& t) { return t.name.starts_with("transformer.decoder.layers"); });
          }) == "it has no decoder layer");
    CHECK(refusal_of<TransformerTranslator>([](Safetensors& file) { tensor(file, "out.weight").name = "in.weight"; }) ==
          "tensor \"out.weight\" is missing: is this another model's file?");
    CHECK(refusal_of<TransformerTranslator>([](Safetensors& file) { tensor(file, "out.weight").shape = {36}; }) ==
          "tensor \"out.weight\" is (36); beside the others it should be (6, 6)");
}

TEST_CASE("options of a Transformer that cannot be are refused by name") {
    const auto with = [](const std::string& key, const std::string& text) {
        return refusal_of<TransformerTranslator>([&](Safetensors& file) { file.metadata[key] = text; });
    };
    CHECK(with("heads", "0") == "\"heads\" is \"0\": a number from 1 to 6 was expected");
    CHECK(with("heads", "4") == "its width of 6 cannot be cut into 4 heads");
    CHECK(with("heads", "3x") == "\"heads\" is \"3x\": a number from 1 to 6 was expected");
    CHECK(with("dropout", "nan") == "\"dropout\" is \"nan\": a number from 0 to 1 was expected");
    CHECK(with("dropout", "1") == "its dropout of 1 leaves nothing");
    CHECK(with("norm_first", "2") == "\"norm_first\" is \"2\": a number from 0 to 1 was expected");
    CHECK(with("activation", "tanh") == "its activation is neither relu nor gelu");
    CHECK(with("more", "text") == "(no error)");
}

// Sizes that no tensor's numbers stand for: an empty tensor may claim two thousand million columns.
TEST_CASE("a small file cannot ask for a large model") {
    const auto empty = [](Safetensors& file, const std::string& name, Shape shape) {
        tensor(file, name).shape = std::move(shape);
        tensor(file, name).values.clear();
    };
    CHECK(refusal_of<FixedVector>([&](Safetensors& file) {
              empty(file, "out.weight", {0, 2'000'000'000});
          }) == "tensor \"out.weight\" is (0, 2000000000), no matrix");
    CHECK(refusal_of<AttentionTranslator>([&](Safetensors& file) {
              empty(file, "decoder.weight_hh", {0, 2'000'000'000});
          }) == "tensor \"decoder.weight_hh\" is (0, 2000000000), no matrix");
    CHECK(refusal_of<TransformerTranslator>([&](Safetensors& file) {
              empty(file, "transformer.decoder.layers.0.linear1.weight", {2'000'000'000, 0});
          }) == "tensor \"transformer.decoder.layers.0.linear1.weight\" is (2000000000, 0), no matrix");
    CHECK(
        refusal_of<TransformerTranslator>([&](Safetensors& file) {
            for (int layer = 2; layer < 1000; ++layer)
                file.tensors.push_back({fmt::format("transformer.decoder.layers.{}.linear1.weight", layer), "F32", {0}, {}, {}});
        }) == "tensor \"transformer.decoder.layers.2.linear1.weight\" is (0); beside the others it should be (10, 6)");
}

TEST_CASE("vocabularies are told apart by order, by where one word ends, and by size, in either language") {
    const SavedVocabularies folder;
    Random random(1);
    FixedVector model(6, 6, random, 4, 5);
    const auto save_words = [&](std::vector<std::string> source, std::vector<std::string> target) {
        save_vocabularies(Vocabulary::listed(std::move(source)), Vocabulary::listed(std::move(target)), folder.path);
    };
    save_words({"ab", "c"}, {"x", "y"});
    save_translator(model, folder.path, "x");
    const std::string others =
        "the vocabularies beside it, source.txt and target.txt, are not those it was saved with: train it anew";
    save_words({"ab", "c"}, {"y", "x"});
    CHECK(refusal<FixedVector>(folder) == others);
    save_words({"a", "bc"}, {"x", "y"});
    CHECK(refusal<FixedVector>(folder) == others);
    save_words({"ab", "c"}, {"x"});
    CHECK(refusal<FixedVector>(folder) == "the model has 6 source and 6 target tokens, the vocabularies beside it 6 and 5");
}

TEST_CASE("a Transformer of either activation, with its norms before or behind, says the same when it is loaded") {
    const SavedVocabularies folder;
    const Batch batch = make_batch({{{4, 5, 2}, {4, 5}}}, std::vector{0});
    for (const bool norm_first : {false, true})
        for (const Activation activation : {Activation::relu, Activation::gelu}) {
            Random random(1);
            TransformerTranslator model(
                7, 6, random, {.size = 6, .heads = 3, .feed_forward = 10, .norm_first = norm_first, .activation = activation});
            save_translator(model, folder.path, "x");
            CHECK(load_translator<TransformerTranslator>(folder.path, "x")(batch).values() == model(batch).values());
        }
}

TEST_CASE("each size that is read from one tensor is that of the tensors beside it, before a model of it is made") {
    const auto turned = [](const std::string& name) {
        return [=](Safetensors& file) { std::ranges::reverse(tensor(file, name).shape); };
    };
    CHECK(refusal_of<AttentionTranslator>(turned("attention.query.weight")) ==
          "tensor \"attention.query.weight\" is (10, 3); beside the others it should be (10, 10)");
    CHECK(refusal_of<AttentionTranslator>(turned("decoder.weight_ih")) ==
          "tensor \"decoder.weight_ih\" is (14, 30); beside the others it should be (30, 14)");
    CHECK(refusal_of<AttentionTranslator>(turned("out.weight")) ==
          "tensor \"out.weight\" is (24, 6); beside the others it should be (6, 24)");
    CHECK(refusal_of<TransformerTranslator>(turned("transformer.encoder.layers.0.self_attn.in_proj_weight")) ==
          "tensor \"transformer.encoder.layers.0.self_attn.in_proj_weight\" is (6, 18); beside the others it should be (18, 6)");
    CHECK(refusal_of<FixedVector>([](Safetensors& file) {
              tensor(file, "target_embedding.weight").shape = {6, 2};
              tensor(file, "target_embedding.weight").values.resize(12);
          }) == "tensor \"target_embedding.weight\" is (6, 2); beside the others it should be (6, 4)");
}
