#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "lookback/nn/module.h"

namespace lookback {

// Named arrays in a file, in the format that PyTorch's world exchanges weights in (github.com/huggingface/safetensors):
//
//     8 bytes      n, the length of the header, little-endian
//     n bytes      JSON: {"__metadata__": {"key": "text"}, "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
//     the rest     the numbers, little-endian, row-major; offsets count from the end of the header and leave no hole

struct StoredTensor {
    std::string name;
    std::string dtype = "F32";    // or F64, or I64: the only ones read and written here
    Shape shape;
    std::vector<double> values;            // of F32 and F64
    std::vector<std::int64_t> integers;    // of I64
};

struct Safetensors {
    std::vector<StoredTensor> tensors;    // in the order of the header
    std::map<std::string, std::string> metadata;

    const StoredTensor* find(const std::string& name) const;    // null if there is none
};

// Nothing in the file is believed before it is checked: what is read takes memory in proportion to the file's size, whatever
// the file claims. BadInput with the file, the byte or the tensor, and the reason.
Safetensors read_safetensors(const std::filesystem::path& path);

// Replaces the file as a whole or not at all (see write_file). std::invalid_argument for a tensor that cannot be read
// again: another dtype, numbers that do not fill the shape, a name that is no UTF-8 or comes twice.
void write_safetensors(const std::filesystem::path& path, const std::vector<StoredTensor>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

// The parameters of a model under the names that parameters(visit) shows, which are those of a PyTorch state_dict: tied
// weights stand there under each of their names.
using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

template <Module Model>
NamedTensors named_parameters(Model& model) {
    NamedTensors list;
    model.parameters([&](const std::string& name, Tensor& parameter) { list.emplace_back(name, parameter); });
    return list;
}

std::vector<StoredTensor> stored(const NamedTensors& tensors);

// For each of the tensors the one of the file that has its name. BadInput with the path, by name, for a tensor that is missing,
// is not the model's, has another shape, holds NaN or inf, or gives tied weights two values.
std::vector<const StoredTensor*> matching(const NamedTensors& tensors, const Safetensors& file,
                                          const std::filesystem::path& path);
void fill(const NamedTensors& tensors, const std::vector<const StoredTensor*>& with);

template <Module Model>
void save(Model& model, const std::filesystem::path& path, const std::map<std::string, std::string>& metadata = {}) {
    write_safetensors(path, stored(named_parameters(model)), metadata);
}

// Fills the model's weights, all or none. BadInput as of read_safetensors and matching.
template <Module Model>
void load(Model& model, const std::filesystem::path& path) {
    const NamedTensors tensors = named_parameters(model);
    const Safetensors file = read_safetensors(path);
    fill(tensors, matching(tensors, file, path));
}

}    // namespace lookback
