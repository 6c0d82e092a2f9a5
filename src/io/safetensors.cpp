#include "lookback/io/safetensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include "lookback/program/error.h"
#include "lookback/program/file.h"
#include "program/json.h"

namespace lookback {

static_assert(std::endian::native == std::endian::little, "numbers are copied to and from the file as they stand");

namespace {

constexpr std::uint64_t longest_header = 100'000'000;    // as in the reference implementation
constexpr std::size_t highest_rank = 16;                 // so that a list of sizes cannot grow beyond its text

std::size_t bytes_of(const std::string& dtype) { return dtype == "F32" ? 4 : dtype == "F64" || dtype == "I64" ? 8 : 0; }

std::string tensor_called(const std::string& name) { return "tensor " + json::shown(name); }

// Where the numbers of a tensor stand, in bytes from the end of the header.
struct Extent {
    std::uint64_t begin = 0, end = 0;
};

// {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
Extent read_entry(json::Reader& header, StoredTensor& tensor) {
    Extent extent;
    bool dtype = false, shape = false, offsets = false;
    header.expect('{');
    for (bool first = true; header.another(first, '}');) {
        const std::string key = header.string();
        header.expect(':');
        if (key != "dtype" && key != "shape" && key != "data_offsets")
            header.fail(fmt::format("{} is no property of a tensor", json::shown(key)));
        bool& seen = key == "dtype" ? dtype : key == "shape" ? shape : offsets;
        if (std::exchange(seen, true)) header.fail(fmt::format("{} has two of \"{}\"", tensor_called(tensor.name), key));
        if (key == "dtype") {
            tensor.dtype = header.string();
            if (bytes_of(tensor.dtype) == 0)
                header.fail(fmt::format("{} has the dtype {}: only F32, F64 and I64 are read", tensor_called(tensor.name),
                                        json::shown(tensor.dtype)));
        } else if (key == "shape") {
            for (const std::uint64_t size : header.numbers(highest_rank)) {
                if (size > static_cast<std::uint64_t>(std::numeric_limits<int>::max()))
                    header.fail(fmt::format("{} has a size of {}, which is too large", tensor_called(tensor.name), size));
                tensor.shape.push_back(static_cast<int>(size));
            }
        } else {
            const std::vector<std::uint64_t> pair = header.numbers(2);
            if (pair.size() != 2) header.fail(fmt::format("{} has no two offsets", tensor_called(tensor.name)));
            extent.begin = pair[0];
            extent.end = pair[1];
        }
    }
    if (!dtype || !shape || !offsets)
        header.fail(fmt::format("{} lacks its {}", tensor_called(tensor.name),
                                !dtype   ? "dtype"
                                : !shape ? "shape"
                                         : "data_offsets"));
    return extent;
}

void read_metadata(json::Reader& header, std::map<std::string, std::string>& metadata) {
    header.expect('{');
    for (bool first = true; header.another(first, '}');) {
        const std::string key = header.string();
        header.expect(':');
        if (!metadata.emplace(key, header.string()).second)
            header.fail(fmt::format("two entries of the metadata are called {}", json::shown(key)));
    }
}

void check_names(const std::string& path, const std::vector<StoredTensor>& tensors) {
    std::vector<const std::string*> names;
    for (const StoredTensor& tensor : tensors) names.push_back(&tensor.name);
    std::ranges::sort(names, {}, [](const std::string* name) -> const std::string& { return *name; });
    for (std::size_t i = 1; i < names.size(); ++i)
        if (*names[i] == *names[i - 1]) throw BadInput(fmt::format("{}: {} comes twice", path, tensor_called(*names[i])));
}

// The numbers of all tensors lie side by side in the data: each fills its shape, no two overlap, nothing lies between them.
void check_extents(const std::string& path, const std::vector<StoredTensor>& tensors, const std::vector<Extent>& extents,
                   std::uint64_t data_size) {
    std::vector<std::size_t> in_order;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        const auto [begin, end] = extents[i];
        const StoredTensor& tensor = tensors[i];
        const auto fail = [&](const std::string& what) {
            throw BadInput(fmt::format("{}: {}: {}", path, tensor_called(tensor.name), what));
        };
        if (begin > end) fail(fmt::format("its offsets {} and {} run backwards", begin, end));
        if (end > data_size)
            fail(fmt::format("it ends at byte {} of the data, but the file ends after {}: is it truncated?", end, data_size));
        std::uint64_t expected = bytes_of(tensor.dtype);
        for (const int size : tensor.shape)
            if (__builtin_mul_overflow(expected, static_cast<std::uint64_t>(size), &expected))
                fail(fmt::format("the shape {} has more than 2^64 bytes", to_string(tensor.shape)));
        if (expected != end - begin)
            fail(fmt::format("the shape {} of {} takes {} bytes, its offsets give it {}", to_string(tensor.shape), tensor.dtype,
                             expected, end - begin));
        in_order.push_back(i);
    }
    std::ranges::sort(in_order, {}, [&](std::size_t i) { return std::pair(extents[i].begin, extents[i].end); });
    std::uint64_t position = 0;
    for (const std::size_t i : in_order) {
        const std::uint64_t begin = extents[i].begin;
        if (begin != position)
            throw BadInput(fmt::format("{}: {}: its data begin at byte {}, which {} {}", path, tensor_called(tensors[i].name),
                                       begin, begin < position ? "overlaps another's up to" : "leaves a hole from", position));
        position = extents[i].end;
    }
    if (position != data_size)
        throw BadInput(fmt::format("{}: the last {} bytes of the file belong to no tensor", path, data_size - position));
}

template <class Stored, class Value>
void copy_numbers(std::string_view data, std::vector<Value>& values) {
    values.resize(data.size() / sizeof(Stored));
    for (std::size_t i = 0; i < values.size(); ++i) {
        Stored stored;
        std::memcpy(&stored, data.data() + i * sizeof stored, sizeof stored);
        values[i] = stored;
    }
}

template <class Stored, class Value>
void append_numbers(const std::vector<Value>& values, std::string& bytes) {
    for (const Value value : values) {
        const auto stored = static_cast<Stored>(value);
        bytes.append(reinterpret_cast<const char*>(&stored), sizeof stored);
    }
}

}    // namespace

const StoredTensor* Safetensors::find(const std::string& name) const {
    const auto found = std::ranges::find(tensors, name, &StoredTensor::name);
    return found == tensors.end() ? nullptr : &*found;
}

Safetensors read_safetensors(const std::filesystem::path& path) {
    std::error_code error;    // read_file tells the reason better
    if (std::filesystem::exists(path, error) && !std::filesystem::is_regular_file(path, error))
        throw BadInput(fmt::format("{}: a folder or a device, not a file", path.string()));
    const std::string bytes = read_file(path);
    std::uint64_t header_size = 0;
    if (bytes.size() < sizeof header_size)
        throw BadInput(fmt::format("{}: byte {}: the file ends before its header: it is truncated, or no safetensors file",
                                   path.string(), bytes.size()));
    std::memcpy(&header_size, bytes.data(), sizeof header_size);
    const std::uint64_t rest = bytes.size() - sizeof header_size;
    if (header_size > rest || header_size > longest_header)
        throw BadInput(
            fmt::format("{}: byte 0: a header of {} bytes is announced and {} follow: the file is truncated, or no "
                        "safetensors file",
                        path.string(), header_size, rest));
    const std::size_t data_begin = sizeof header_size + header_size;

    Safetensors file;
    std::vector<Extent> extents;    // one a tensor
    bool has_metadata = false;
    json::Reader header(path.string(), std::string_view(bytes).substr(0, data_begin), sizeof header_size);
    header.expect('{');
    for (bool first = true; header.another(first, '}');) {
        const std::string name = header.string();
        header.expect(':');
        if (name == "__metadata__") {
            if (std::exchange(has_metadata, true)) header.fail("there are two of \"__metadata__\"");
            read_metadata(header, file.metadata);
        } else {
            file.tensors.emplace_back().name = name;
            extents.push_back(read_entry(header, file.tensors.back()));
        }
    }
    header.expect_end();
    check_names(path.string(), file.tensors);
    check_extents(path.string(), file.tensors, extents, bytes.size() - data_begin);

    for (std::size_t i = 0; i < extents.size(); ++i) {
        StoredTensor& tensor = file.tensors[i];
        const std::string_view data =
            std::string_view(bytes).substr(data_begin + extents[i].begin, extents[i].end - extents[i].begin);
        if (tensor.dtype == "F32") copy_numbers<float>(data, tensor.values);
        if (tensor.dtype == "F64") copy_numbers<double>(data, tensor.values);
        if (tensor.dtype == "I64") copy_numbers<std::int64_t>(data, tensor.integers);
    }
    return file;
}

void write_safetensors(const std::filesystem::path& path, const std::vector<StoredTensor>& tensors,
                       const std::map<std::string, std::string>& metadata) {
    std::string header, data;
    for (const auto& [key, value] : metadata) {
        if (!json::is_text(key) || !json::is_text(value))
            throw std::invalid_argument(fmt::format("write_safetensors: the metadata {} are no UTF-8", json::shown(key)));
        header += fmt::format("{}{}: {}", header.empty() ? "" : ", ", json::quoted(key), json::quoted(value));
    }
    header = metadata.empty() ? "{" : "{\"__metadata__\": {" + header + "}";
    std::set<std::string> names = {"__metadata__"};
    for (const StoredTensor& tensor : tensors) {
        const auto reject = [&](const char* what) {
            throw std::invalid_argument(fmt::format("write_safetensors: {} {}", tensor_called(tensor.name), what));
        };
        if (!json::is_text(tensor.name)) reject("has a name that is no UTF-8");
        if (!names.insert(tensor.name).second) reject("comes twice");
        if (tensor.shape.size() > highest_rank) reject("has too many dimensions");
        if (std::ranges::any_of(tensor.shape, [](int size) { return size < 0; })) reject("has a negative size");
        const auto too_large = [](double x) { return std::isfinite(x) && !std::isfinite(static_cast<float>(x)); };
        if (tensor.dtype == "F32" && std::ranges::any_of(tensor.values, too_large)) reject("has a number too large for F32");
        const std::size_t begin = data.size();
        if (tensor.dtype == "F32")
            append_numbers<float>(tensor.values, data);
        else if (tensor.dtype == "F64")
            append_numbers<double>(tensor.values, data);
        else if (tensor.dtype == "I64")
            append_numbers<std::int64_t>(tensor.integers, data);
        else
            reject("is not of dtype F32, F64 or I64");
        if (data.size() - begin != element_count(tensor.shape) * bytes_of(tensor.dtype))
            reject("has numbers that do not fill its shape");
        header +=
            fmt::format("{}{}: {{\"dtype\": \"{}\", \"shape\": [{}], \"data_offsets\": [{}, {}]}}", header == "{" ? "" : ", ",
                        json::quoted(tensor.name), tensor.dtype, fmt::join(tensor.shape, ", "), begin, data.size());
    }
    header += "}";
    header.append((8 - header.size() % 8) % 8, ' ');    // the data begin at a multiple of 8
    std::string bytes;
    const std::uint64_t header_size = header.size();
    bytes.append(reinterpret_cast<const char*>(&header_size), sizeof header_size);
    write_file(path, bytes + header + data);
}

std::vector<StoredTensor> stored(const NamedTensors& tensors) {
    std::vector<StoredTensor> list;
    for (const auto& [name, tensor] : tensors)
        list.push_back(
            {name, sizeof(real) == 4 ? "F32" : "F64", tensor.shape(), {tensor.data(), tensor.data() + tensor.size()}, {}});
    return list;
}

std::vector<const StoredTensor*> matching(const NamedTensors& tensors, const Safetensors& file,
                                          const std::filesystem::path& path) {
    std::map<std::string, const StoredTensor*> left;
    for (const StoredTensor& tensor : file.tensors) left[tensor.name] = &tensor;
    std::map<const Node*, const StoredTensor*> filled;
    std::vector<const StoredTensor*> sources;
    for (const auto& [name, tensor] : tensors) {
        const auto fail = [&, called = name](const std::string& what) {
            throw BadInput(fmt::format("{}: {} {}", path.string(), tensor_called(called), what));
        };
        const auto found = left.find(name);
        if (found == left.end())
            fail(fmt::format("is missing; the model has one of {}: is this another model's file?", to_string(tensor.shape())));
        const StoredTensor* source = found->second;
        left.erase(found);
        if (source->dtype == "I64") fail("holds integers; the model's are F32");
        if (source->shape != tensor.shape())
            fail(fmt::format("is {}; the model's is {}", to_string(source->shape), to_string(tensor.shape())));
        for (std::size_t i = 0; i < source->values.size(); ++i)
            if (!(std::abs(source->values[i]) <= double{std::numeric_limits<real>::max()}))
                fail(fmt::format("holds {} at element {}", source->values[i], i));
        const auto [tied, is_new] = filled.emplace(tensor.node, source);
        if (!is_new && tied->second->values != source->values)
            fail(fmt::format("differs from {}; in the model they are one", tensor_called(tied->second->name)));
        sources.push_back(source);
    }
    if (!left.empty())
        throw BadInput(fmt::format("{}: {} is none of the model's: is this another model's file?", path.string(),
                                   tensor_called(left.begin()->first)));
    return sources;
}

void fill(const NamedTensors& tensors, const std::vector<const StoredTensor*>& with) {
    for (std::size_t i = 0; i < tensors.size(); ++i)
        std::ranges::transform(with[i]->values, tensors[i].second.data(), [](double value) { return static_cast<real>(value); });
}

}    // namespace lookback
