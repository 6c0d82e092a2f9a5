#pragma once

#include "lookback/io/safetensors.h"
#include "lookback/models/translator.h"

namespace lookback {

// A folder of translators stands alone. It holds
//
//     source.txt, target.txt    the vocabularies (see read_vocabulary)
//     NAME.safetensors          for each model its weights, under the names and in the shapes of PyTorch; what the shapes do not
//                               tell, such as the number of heads, is in the metadata, and a fingerprint of the vocabularies

// Begins such a folder: makes it, if need be, and writes the vocabularies. BadInput where that cannot be done.
void save_vocabularies(const Vocabulary& source, const Vocabulary& target, const std::filesystem::path& folder);

// What tells vocabularies apart in which as many words stand. BadInput where they cannot be read.
std::string fingerprint_of_vocabularies(const std::filesystem::path& folder);

std::map<std::string, std::string> options_of(const FixedVector& model);
std::map<std::string, std::string> options_of(const AttentionTranslator& model);
std::map<std::string, std::string> options_of(const TransformerTranslator& model);

// Beside the vocabularies that it was trained with, which must be there.
template <class Model>
void save_translator(Model& model, const std::filesystem::path& folder, const std::string& name) {
    std::map<std::string, std::string> metadata = options_of(model);
    metadata["vocabularies"] = fingerprint_of_vocabularies(folder);
    save(model, folder / (name + ".safetensors"), metadata);
}

// A FixedVector, an AttentionTranslator or a TransformerTranslator, of the sizes that its weights have. BadInput with the file
// for one that is none of this kind, does not fit the vocabularies beside it, or holds NaN or inf.
template <class Model>
Model load_translator(const std::filesystem::path& folder, const std::string& name);
template <>
FixedVector load_translator(const std::filesystem::path& folder, const std::string& name);
template <>
AttentionTranslator load_translator(const std::filesystem::path& folder, const std::string& name);
template <>
TransformerTranslator load_translator(const std::filesystem::path& folder, const std::string& name);

}    // namespace lookback
