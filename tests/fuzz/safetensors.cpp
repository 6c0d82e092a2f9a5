// The reader of weights: read_safetensors, and what `load` does with the result.
#include "lookback/io/safetensors.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <fstream>

#include "fuzz.h"
#include "lookback/program/file.h"

using namespace lookback;
using namespace std::string_literals;

std::vector<fuzz::Seed> fuzz::seeds() {
    const std::filesystem::path good = std::filesystem::temp_directory_path() / "seed";
    write_safetensors(good,
                      {{"weight", "F32", {2, 3}, {1, -2, 0.5, 0x1p-149, 3, 0x1.fffffep127}, {}},
                       {"a scalar", "F64", {}, {0.1}, {}},
                       {"state", "I64", {2}, {}, {1, -1}},
                       {"nothing", "F32", {0, 5}, {}, {}}},
                      {{"format", "pt"}, {"note", "tab\tand \"ünïcode\""}});
    const auto one = [](const std::string& dtype, const std::string& shape, const std::string& offsets, std::size_t size) {
        return safetensors(fmt::format(R"({{"a":{{"dtype":"{}","shape":[{}],"data_offsets":[{}]}}}})", dtype, shape, offsets),
                           size);
    };
    const auto two = [](const std::string& first, const std::string& second, std::size_t size) {
        return safetensors(fmt::format(R"({{"a":{{"dtype":"F32","shape":[2],"data_offsets":[{}]}},)"
                                       R"("b":{{"dtype":"F32","shape":[2],"data_offsets":[{}]}}}})",
                                       first, second),
                           size);
    };
    std::vector<Seed> list = {
        {"good", read_file(good)},
        {"nan", one("F32", "1", "0,4", 0) + "\x00\x00\xc0\x7f"s},
        {"double_beyond_float", one("F64", "1", "0,8", 0) + "\x9c\x75\x00\x88\x3c\xe4\x37\x7e"s},
        {"escapes",
         safetensors(R"( { "\u0061\u00e9\ud83d\ude00\/\b\f\n\r\t\"\\" : {"dtype":"F32","shape":[ ],"data_offsets":[0,4]}} )", 4)},
        {"metadata_twice", safetensors(R"({"__metadata__":{"k":"v"},"__metadata__":{"k":"v","k":"w"}})", 0)},
        {"empty", ""},
        {"no_header", safetensors("", 0)},
        {"cut_length", "1234567"},
        {"long_header", "\xff\xff\xff\xff\xff\xff\xff\x7f{}"s},
        {"gib_header", "\x00\x00\x00\x40\x00\x00\x00\x00"s + std::string(92, ' ')},
        {"gib_tensor", one("F32", "268435456", "0,1073741824", 21)},
        {"overflowing_shape", one("F64", "65536,65536,65536,65536", "0,8", 8)},
        {"large_size", one("F32", "2147483648", "0,4", 4)},
        {"sixteen_sizes", one("F32", "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1", "0,4", 4)},
        {"side_by_side", two("0,8", "8,16", 16)},
        {"in_another_order", two("8,16", "0,8", 16)},
        {"overlap", two("0,8", "4,12", 16)},
        {"hole", two("0,8", "12,20", 20)},
        {"backwards", two("8,0", "8,16", 16)},
        {"overflowing_offsets", two("0,8", "18446744073709551608,18446744073709551615", 16)},
        {"left_over", two("0,8", "8,16", 20)},
        {"wrong_dtype", one("BF16", "1", "0,2", 2)},
        {"duplicate_key", safetensors(R"({"a":{"dtype":"F32","dtype":"F64","shape":[],"data_offsets":[0,4]}})", 4)},
        {"duplicate_name", safetensors(R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},)"
                                       R"("a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}})",
                                       0)},
        {"unknown_key", safetensors(R"({"a":{"stride":[1]}})", 0)},
        {"deep", safetensors(R"({"a":{"shape":)" + std::string(1000, '['), 0)},
        {"deep_objects", safetensors(R"({"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{}}}}}}}}})", 0)},
        {"not_utf8", safetensors("{\"a\xed\xa0\x80\":{}}", 0)},
        {"nul", safetensors("{\"a\0b\":{}}"s, 0)},
        {"escaped_nul", safetensors(R"({"\u0000":{}})", 0)},
        {"half_surrogate", safetensors(R"({"\ud800x":{}})", 0)},
    };
    list.push_back({"truncated", list[0].bytes.substr(0, list[0].bytes.size() - 5)});
    return list;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* bytes, std::size_t size, std::size_t max_size, unsigned seed) {
    return fuzz::mutate_safetensors(bytes, size, max_size, seed);
}

namespace {

bool is_same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

void expect_same(const Safetensors& a, const Safetensors& b) {
    fuzz::expect(a.metadata == b.metadata && a.tensors.size() == b.tensors.size(), "what is written is not what is read");
    for (std::size_t i = 0; i < a.tensors.size(); ++i) {
        const StoredTensor &x = a.tensors[i], &y = b.tensors[i];
        fuzz::expect(x.name == y.name && x.dtype == y.dtype && x.shape == y.shape && x.integers == y.integers &&
                         std::ranges::equal(x.values, y.values, is_same),
                     "a tensor that is written is not the one that is read");
    }
}

}    // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    Safetensors file;
    const auto read = [&](const std::filesystem::path& path) { file = read_safetensors(path); };
    if (!fuzz::accepts(bytes, 16, fuzz::is_safetensors_place, read)) return 0;

    // Each tensor has the numbers that its shape says, and fills a model's tensor of that shape or is refused by name.
    NamedTensors model;
    for (const StoredTensor& tensor : file.tensors) {
        const std::size_t count = element_count(tensor.shape);
        fuzz::expect((tensor.dtype == "I64" ? tensor.integers.size() : tensor.values.size()) == count, "not the shape's numbers");
        model.emplace_back(tensor.name, Tensor(tensor.shape, std::vector<real>(element_count(tensor.shape), 7)));
    }
    const std::vector<Tensor> weights = [&] {
        std::vector<Tensor> list;
        for (const auto& [name, tensor] : model) list.push_back(tensor);
        return list;
    }();
    const auto fills = [&](const std::filesystem::path& path) {
        const Safetensors again = read_safetensors(path);
        fill(model, matching(model, again, path));
    };
    const bool filled = fuzz::accepts(bytes, 16, fuzz::is_safetensors_place, fills);
    for (const Tensor& tensor : weights)
        for (std::size_t i = 0; i < tensor.size(); ++i)
            fuzz::expect(filled ? std::isfinite(tensor.data()[i]) : tensor.data()[i] == 7, "a refused file changed the model");

    // What was read can be written and read again.
    const auto write_and_read = [&](const std::filesystem::path& path) {
        write_safetensors(path, file.tensors, file.metadata);
        expect_same(file, read_safetensors(path));
    };
    fuzz::expect(fuzz::accepts(bytes, 64, fuzz::is_safetensors_place, write_and_read), "what was read cannot be written");
    return 0;
}
