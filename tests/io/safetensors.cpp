#include "lookback/io/safetensors.h"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <limits>

#include "error_of.h"
#include "lookback/models/translator.h"
#include "lookback/program/error.h"
#include "lookback/program/file.h"

using namespace lookback;

namespace {

// A folder of the test's own, removed at the end.
struct SafetensorsFolder {
    std::filesystem::path path = std::filesystem::temp_directory_path() / fmt::format("lookback-safetensors-test-{}", getpid());
    SafetensorsFolder() { std::filesystem::create_directory(path); }
    ~SafetensorsFolder() { std::filesystem::remove_all(path); }
};

std::string bytes_of(std::uint64_t number) { return std::string(reinterpret_cast<const char*>(&number), sizeof number); }

// A file with this header, and as many bytes of data.
std::string file_of(const std::string& header, std::size_t data) {
    return bytes_of(header.size()) + header + std::string(data, '\0');
}

// What is said of a file with these bytes, without its name.
std::string refusal(const std::string& bytes) {
    const SafetensorsFolder folder;
    const std::filesystem::path path = folder.path / "x.safetensors";
    write_file(path, bytes);
    const std::string message = error_of([&] { read_safetensors(path); });
    const std::string prefix = path.string() + ": ";
    return message.starts_with(prefix) ? message.substr(prefix.size()) : message;
}

constexpr const char* tensor_of_6 = R"("dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24])";

struct TwoLayers {    // two layers with one weight
    Linear first, second;
    void parameters(const Visit& visit) {
        first.parameters(within("first", visit));
        second.parameters(within("second", visit));
    }
};

Linear numbered(int in, int out) {
    Random random(1);
    return Linear(in, out, random);
}

}    // namespace

TEST_CASE("what is written is read again: names, types, shapes, numbers, metadata") {
    const SafetensorsFolder folder;
    const std::filesystem::path path = folder.path / "x.safetensors";
    constexpr double inf = std::numeric_limits<double>::infinity();
    const std::vector<StoredTensor> tensors = {
        {"weight", "F32", {2, 3}, {1, -2, 0.5, 0x1p-149, inf, 0x1.fffffep127}, {}},
        {"a scalar", "F64", {}, {0.1}, {}},
        {"state", "I64", {2}, {}, {std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()}},
        {"nothing", "F32", {0, 5}, {}, {}},
        {"écriture \"\\\n\x7f", "F32", {1}, {7}, {}},
    };
    const std::map<std::string, std::string> metadata = {{"format", "pt"}, {"note", "tab\tand ünïcode"}, {"", ""}};
    write_safetensors(path, tensors, metadata);
    const Safetensors file = read_safetensors(path);
    CHECK(file.metadata == metadata);
    REQUIRE(file.tensors.size() == tensors.size());
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        CHECK(file.tensors[i].name == tensors[i].name);
        CHECK(file.tensors[i].dtype == tensors[i].dtype);
        CHECK(file.tensors[i].shape == tensors[i].shape);
        CHECK(file.tensors[i].values == tensors[i].values);
        CHECK(file.tensors[i].integers == tensors[i].integers);
    }
    CHECK(file.find("state") == &file.tensors[2]);
    CHECK(file.find("stat") == nullptr);
    write_safetensors(path, {});
    CHECK(read_safetensors(path).tensors.empty());
}

TEST_CASE("the bytes of a file are those that other readers expect") {
    const SafetensorsFolder folder;
    write_safetensors(folder.path / "x", {{"w", "F32", {1, 2}, {1, -2}, {}}}, {{"k", "v"}});
    const std::string header = R"({"__metadata__": {"k": "v"}, "w": {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]}})";
    const std::size_t padding = (8 - header.size() % 8) % 8;
    CHECK(read_file(folder.path / "x") ==
          bytes_of(header.size() + padding) + header + std::string(padding, ' ') + std::string("\0\0\x80\x3f\0\0\0\xc0", 8));
}

TEST_CASE("headers are read in every spelling that JSON allows") {
    const SafetensorsFolder folder;
    write_file(folder.path / "x", file_of("{ \"\\u0061\\u00e9\\ud83d\\ude00\\/\\b\\f\\n\\r\\t\\\"\\\\\" "
                                          ":\t{\"data_offsets\":[4,8],\r\n\"shape\":[ 1 ],\"dtype\":\"F32\"}"
                                          ",\"b\":{\"shape\":[],\"data_offsets\":[0,4],\"dtype\":\"F32\"}}   \n",
                                          8));
    const Safetensors file = read_safetensors(folder.path / "x");
    REQUIRE(file.tensors.size() == 2);
    CHECK(file.tensors[0].name == "aé\U0001F600/\b\f\n\r\t\"\\");
    CHECK(file.tensors[1].name == "b");
}

TEST_CASE("a file that is no safetensors file, or a part of one, is refused") {
    CHECK(refusal("") == "byte 0: the file ends before its header: it is truncated, or no safetensors file");
    CHECK(refusal("1234567") == "byte 7: the file ends before its header: it is truncated, or no safetensors file");
    CHECK(refusal(bytes_of(3) + "{}") ==
          "byte 0: a header of 3 bytes is announced and 2 follow: the file is truncated, or no safetensors file");
    CHECK(refusal(bytes_of(0)) == "byte 8: the header ends where '{' was expected");
    CHECK(refusal(bytes_of(2) + "[]") == "byte 8: '{' was expected, not the byte 0x5B");
    CHECK(refusal(file_of("{}x", 0)) == "byte 10: the header goes on after its closing brace");
    const SafetensorsFolder folder;
    CHECK(error_of([&] { read_safetensors(folder.path); }) == folder.path.string() + ": a folder or a device, not a file");
    CHECK(error_of([&] { read_safetensors(folder.path / "none"); }) ==
          fmt::format("cannot read {}/none: No such file or directory", folder.path.string()));
    CHECK(error_of([&] { read_safetensors("/dev/zero"); }) == "/dev/zero: a folder or a device, not a file");
}

TEST_CASE("every beginning of a good file is refused") {
    const SafetensorsFolder folder;
    write_safetensors(folder.path / "x", {{"w", "F32", {2}, {1, 2}, {}}, {"n", "I64", {1}, {}, {3}}}, {{"k", "v"}});
    const std::string bytes = read_file(folder.path / "x");
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        INFO(size);
        CHECK(refusal(bytes.substr(0, size)) != "(no error)");
    }
    CHECK(refusal(bytes + "x") == "the last 1 bytes of the file belong to no tensor");
}

TEST_CASE("a byte that is changed is refused or read, and nothing worse") {
    const SafetensorsFolder folder;
    const std::filesystem::path path = folder.path / "x";
    write_safetensors(path, {{"w", "F32", {2}, {1, 2}, {}}, {"n", "I64", {1}, {}, {3}}}, {{"k", "v"}});
    const std::string bytes = read_file(path);
    Random random(1);
    for (int trial = 0; trial < 300; ++trial) {
        std::string changed = bytes;
        for (int i = 0; i < 1 + trial % 3; ++i) changed[random.below(changed.size())] = static_cast<char>(random.below(256));
        std::ofstream(path, std::ios::binary) << changed;    // not write_file: to bring 300 files to the disk takes long
        const std::string message = error_of([&] { read_safetensors(path); });
        CHECK((message == "(no error)" || message.starts_with(path.string() + ": ")));
    }
}

TEST_CASE("headers that are no JSON of this kind are refused, with the byte") {
    const std::string tensor = tensor_of_6;
    CHECK(refusal(file_of("{\"a\": {" + tensor + "},}", 24)) == "byte 73: '\"' was expected, not the byte 0x7D");
    CHECK(refusal(file_of("{\"a\": {" + tensor + "}", 24)) == "byte 72: the header ends where ',' was expected");
    CHECK(refusal(file_of("{\"a", 0)) == "byte 11: the header ends inside a string");
    CHECK(refusal(file_of("{\"a\\x\": {}}", 0)) == "byte 12: a backslash is followed by none of \" \\ / b f n r t u");
    CHECK(refusal(file_of("{\"a\\u12g4\"", 0)) == "byte 15: four hexadecimal digits were expected after \\u");
    CHECK(refusal(file_of("{\"\\ud800x\"", 0)) == "byte 16: half of a pair of surrogates");
    CHECK(refusal(file_of("{\"\\udc00\"", 0)) == "byte 16: half of a pair of surrogates");
    CHECK(refusal(file_of("{\"\\ud800\\u0041\"", 0)) == "byte 22: half of a pair of surrogates");
    CHECK(refusal(file_of("{\"a\": [1]}", 0)) == "byte 14: '{' was expected, not the byte 0x5B");
    CHECK(refusal(file_of("{\"a\": {\"dtype\": 5}}", 0)) == "byte 24: '\"' was expected, not the byte 0x35");
    for (const std::string number : {"-1", "1.5", "1e3", "01", "x", "\"1\"", "[1]", "true", "null", ""}) {
        INFO(number);
        CHECK(refusal(file_of("{\"a\": {\"shape\": [" + number + ", 2]}}", 0)).starts_with("byte "));
    }
    CHECK(refusal(file_of("{\"a\": {\"shape\": [18446744073709551616]}}", 0)) == "byte 44: a number has more than 64 bits");
    CHECK(refusal(file_of("{\"a\": {\"shape\": [1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}}", 0)) ==
          "byte 57: a list has more than 16 numbers");
}

TEST_CASE("NUL, control characters and what is no UTF-8 are refused in names, with the byte") {
    using namespace std::string_literals;
    CHECK(refusal(file_of("{\"a\0b\": {}}"s, 0)) == "byte 11: a control character, 0x00, stands in a string");
    CHECK(refusal(file_of("{\"a\\u0000\": {}}", 0)) == "byte 17: a string holds NUL");
    CHECK(refusal(file_of("{\"a\nb\": {}}", 0)) == "byte 11: a control character, 0x0A, stands in a string");
    CHECK(refusal(file_of("{\0}"s, 0)) == "byte 9: '\"' was expected, not the byte 0x00");
    for (const std::string bytes : {"\xff", "\xc3", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe9t", "\x80"}) {
        const std::string message = refusal(file_of("{\"a" + bytes + "\": {}}", 0));
        INFO(message);
        CHECK(message.starts_with("byte 11: 0x"));
        CHECK(message.ends_with(" is not UTF-8"));
    }
}

TEST_CASE("JSON that is nested a million deep is refused at the first bracket too many") {
    CHECK(refusal(file_of(std::string(1'000'000, '['), 0)) == "byte 8: '{' was expected, not the byte 0x5B");
    CHECK(refusal(file_of("{\"a\": {\"shape\": " + std::string(1'000'000, '['), 0)) ==
          "byte 25: a whole number was expected, 0 or more");
    std::string nested;
    for (int i = 0; i < 100'000; ++i) nested += "{\"a\": ";
    CHECK(refusal(file_of(nested, 0)) == "byte 19: \"a\" is no property of a tensor");
}

TEST_CASE("what comes twice, is missing or is not known is refused by name") {
    const std::string tensor = tensor_of_6;
    CHECK(refusal(file_of("{\"a\": {" + tensor + "}, \"a\": {" + tensor + "}}", 24)) == "tensor \"a\" comes twice");
    CHECK(refusal(file_of("{\"a\": {\"dtype\": \"F32\", \"dtype\": \"F32\"}}", 0)) ==
          "byte 39: tensor \"a\" has two of \"dtype\"");
    CHECK(refusal(file_of("{\"__metadata__\": {\"k\": \"v\", \"k\": \"w\"}}", 0)) ==
          "byte 44: two entries of the metadata are called \"k\"");
    CHECK(refusal(file_of("{\"__metadata__\": {}, \"__metadata__\": {}}", 0)).ends_with("there are two of \"__metadata__\""));
    CHECK(refusal(file_of("{\"a\": {\"shape\": [], \"data_offsets\": [0, 0]}}", 0)).ends_with("tensor \"a\" lacks its dtype"));
    CHECK(
        refusal(file_of("{\"a\": {\"dtype\": \"F32\", \"data_offsets\": [0, 0]}}", 0)).ends_with("tensor \"a\" lacks its shape"));
    CHECK(refusal(file_of("{\"a\": {\"dtype\": \"F32\", \"shape\": []}}", 0)).ends_with("tensor \"a\" lacks its data_offsets"));
    CHECK(refusal(file_of("{\"a\": {\"stride\": [1]}}", 0)).ends_with("\"stride\" is no property of a tensor"));
    for (const std::string dtype : {"F16", "BF16", "I32", "f32", "\\u001b[2J"})
        CHECK(refusal(file_of("{\"a\": {\"dtype\": \"" + dtype + "\"}}", 0))
                  .ends_with(fmt::format("tensor \"a\" has the dtype \"{}\": only F32, F64 and I64 are read", dtype)));
}

TEST_CASE("offsets that overlap, leave holes, run backwards or out of the file are refused by name") {
    const auto two = [](const char* first, const char* second, std::size_t data) {
        return refusal(file_of(fmt::format("{{\"a\": {{\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [{}]}}, "
                                           "\"b\": {{\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [{}]}}}}",
                                           first, second),
                               data));
    };
    CHECK(two("0, 8", "8, 16", 16) == "(no error)");
    CHECK(two("8, 16", "0, 8", 16) == "(no error)");
    CHECK(two("0, 8", "0, 8", 16) == "tensor \"b\": its data begin at byte 0, which overlaps another's up to 8");
    CHECK(two("0, 8", "4, 12", 16) == "tensor \"b\": its data begin at byte 4, which overlaps another's up to 8");
    CHECK(two("0, 8", "12, 20", 20) == "tensor \"b\": its data begin at byte 12, which leaves a hole from 8");
    CHECK(two("4, 12", "12, 20", 20) == "tensor \"a\": its data begin at byte 4, which leaves a hole from 0");
    CHECK(two("0, 8", "8, 16", 20) == "the last 4 bytes of the file belong to no tensor");
    CHECK(two("0, 8", "8, 16", 12) ==
          "tensor \"b\": it ends at byte 16 of the data, but the file ends after 12: is it truncated?");
    CHECK(two("8, 0", "8, 16", 16) == "tensor \"a\": its offsets 8 and 0 run backwards");
    CHECK(two("0, 12", "12, 20", 20) == "tensor \"a\": the shape (2) of F32 takes 8 bytes, its offsets give it 12");
    CHECK(two("0, 8", "18446744073709551608, 18446744073709551615", 16)
              .starts_with("tensor \"b\": it ends at byte 18446744073709551615"));
    CHECK(two("0, 8", "8", 16).ends_with("tensor \"b\" has no two offsets"));
    CHECK(two("0, 8", "8, 16, 16", 16).ends_with("a list has more than 2 numbers"));
}

TEST_CASE("shapes that overflow are refused by name") {
    const auto shape = [](const char* sizes) {
        return refusal(
            file_of(fmt::format("{{\"a\": {{\"dtype\": \"F64\", \"shape\": [{}], \"data_offsets\": [0, 8]}}}}", sizes), 8));
    };
    CHECK(shape("1") == "(no error)");
    CHECK(shape("2147483648").ends_with("tensor \"a\" has a size of 2147483648, which is too large"));
    CHECK(shape("2147483647, 2147483647, 2147483647").ends_with("(2147483647, 2147483647, 2147483647) has more than 2^64 bytes"));
    CHECK(shape("65536, 65536, 65536, 65536").ends_with("has more than 2^64 bytes"));    // 2^67, which is 0 in 64 bits
    CHECK(shape("2147483647").ends_with("the shape (2147483647) of F64 takes 17179869176 bytes, its offsets give it 8"));
}

TEST_CASE("1 GiB claimed by a file of 100 bytes is refused before any of it is asked for") {
    const SafetensorsFolder folder;
    const std::filesystem::path path = folder.path / "x";
    const std::string tensor = R"({"a":{"dtype":"F32","shape":[268435456],"data_offsets":[0,1073741824]}})";
    const std::string claims[] = {file_of(tensor, 21), bytes_of(1 << 30) + std::string(92, ' ')};
    for (const std::string& bytes : claims) {
        CHECK(bytes.size() == 100);
        write_file(path, bytes);
        rusage before, after;
        getrusage(RUSAGE_SELF, &before);
        CHECK_THROWS_AS(read_safetensors(path), BadInput);
        getrusage(RUSAGE_SELF, &after);
        CHECK(after.ru_maxrss - before.ru_maxrss < 1024);    // KiB
    }
}

TEST_CASE("names reach a message short and without control characters") {
    const std::string message = refusal(file_of("{\"\\u001b[2J\": {\"dtype\": \"F32\"}}", 0));
    CHECK(message.ends_with("tensor \"\\u001b[2J\" lacks its shape"));
    const std::string long_name = refusal(file_of("{\"" + std::string(99, 'x') + "é" + std::string(10'000, 'x') + "\": {}}", 0));
    CHECK(long_name.ends_with("tensor \"" + std::string(99, 'x') + "\"... lacks its dtype"));
    const std::string deletes(1000, '\x7F');    // each is shown as six bytes
    CHECK(refusal(file_of("{\"" + deletes + "\": {\"dtype\": \"" + deletes + "\"}}", 0)).size() < 1500);
}

TEST_CASE("what could not be read again is not written") {
    const SafetensorsFolder folder;
    const std::filesystem::path path = folder.path / "x";
    const StoredTensor good{"a", "F32", {1}, {1}, {}};
    CHECK_THROWS_WITH_AS(write_safetensors(path, {{"a", "F16", {1}, {1}, {}}}),
                         "write_safetensors: tensor \"a\" is not of dtype F32, F64 or I64", std::invalid_argument);
    CHECK_THROWS_WITH_AS(write_safetensors(path, {{"a", "F32", {2}, {1}, {}}}),
                         "write_safetensors: tensor \"a\" has numbers that do not fill its shape", std::invalid_argument);
    CHECK_THROWS_WITH_AS(write_safetensors(path, {good, good}), "write_safetensors: tensor \"a\" comes twice",
                         std::invalid_argument);
    CHECK_THROWS_AS(write_safetensors(path, {{"__metadata__", "F32", {1}, {1}, {}}}), std::invalid_argument);
    CHECK_THROWS_AS(write_safetensors(path, {{"\xff", "F32", {1}, {1}, {}}}), std::invalid_argument);
    CHECK_THROWS_AS(write_safetensors(path, {{"a", "F32", Shape(17, 1), {1}, {}}}), std::invalid_argument);
    CHECK_THROWS_AS(write_safetensors(path, {good}, {{"k", std::string(1, '\0')}}), std::invalid_argument);
    CHECK_THROWS_AS(write_safetensors(path, {{"a", "F32", {-1, -1}, {1}, {}}}), std::invalid_argument);
    CHECK_THROWS_AS(write_safetensors(path, {{"a", "F32", {0, -5}, {}, {}}}), std::invalid_argument);
    CHECK_THROWS_AS(write_safetensors(path, {{"a", "F32", {1}, {1e300}, {}}}), std::invalid_argument);
    CHECK(std::filesystem::is_empty(folder.path));
}

TEST_CASE("a model that is saved and loaded is the same to the bit, under the names of a state_dict") {
    const SafetensorsFolder folder;
    Random random(1), other(2);
    FixedVector model(7, 9, random, 4, 6), again(7, 9, other, 4, 6);
    save(model, folder.path / "model");
    load(again, folder.path / "model");
    const std::vector<Tensor> a = parameters_of(model), b = parameters_of(again);
    for (std::size_t i = 0; i < a.size(); ++i) CHECK(a[i].values() == b[i].values());
    const Safetensors file = read_safetensors(folder.path / "model");
    std::vector<std::string> names;
    for (const StoredTensor& tensor : file.tensors) names.push_back(tensor.name);
    CHECK(names == std::vector<std::string>{"source_embedding.weight", "target_embedding.weight", "encoder.weight_ih_l0",
                                            "encoder.weight_hh_l0", "encoder.bias_ih_l0", "encoder.bias_hh_l0",
                                            "decoder.weight_ih", "decoder.weight_hh", "decoder.bias_ih", "decoder.bias_hh",
                                            "out.weight", "out.bias"});
}

TEST_CASE("numbers of an F64 file are rounded to the model's") {
    const SafetensorsFolder folder;
    Linear model = numbered(2, 1);
    write_safetensors(folder.path / "x", {{"bias", "F64", {1}, {0.1}, {}}, {"weight", "F64", {1, 2}, {1, -1e-300}, {}}});
    load(model, folder.path / "x");
    CHECK(model.bias.values() == std::vector<real>{0.1f});
    CHECK(model.weight.values() == std::vector<real>{1, 0});
}

TEST_CASE("a file that does not fit the model is refused by the name of the tensor, and the model stays as it was") {
    const SafetensorsFolder folder;
    const std::filesystem::path path = folder.path / "x";
    Linear model = numbered(2, 1);
    const std::vector<real> weight = model.weight.values(), bias = model.bias.values();
    const auto refused = [&](const std::vector<StoredTensor>& tensors) {
        write_safetensors(path, tensors);
        const std::string message = error_of([&] { load(model, path); });
        CHECK(model.weight.values() == weight);
        CHECK(model.bias.values() == bias);
        return message.substr(std::min(message.size(), path.string().size() + 2));
    };
    constexpr double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
    const StoredTensor good_weight{"weight", "F32", {1, 2}, {3, 4}, {}}, good_bias{"bias", "F32", {1}, {5}, {}};
    CHECK(refused({good_weight}) == "tensor \"bias\" is missing; the model has one of (1): is this another model's file?");
    CHECK(refused({good_weight, good_bias, {"more", "F32", {1}, {5}, {}}}) ==
          "tensor \"more\" is none of the model's: is this another model's file?");
    CHECK(refused({{"weight", "F32", {2, 1}, {3, 4}, {}}, good_bias}) == "tensor \"weight\" is (2, 1); the model's is (1, 2)");
    CHECK(refused({good_weight, {"bias", "I64", {1}, {}, {5}}}) == "tensor \"bias\" holds integers; the model's are F32");
    CHECK(refused({good_weight, {"bias", "F32", {1}, {nan}, {}}}) == "tensor \"bias\" holds nan at element 0");
    CHECK(refused({{"weight", "F32", {1, 2}, {3, -inf}, {}}, good_bias}) == "tensor \"weight\" holds -inf at element 1");
    CHECK(refused({good_weight, {"bias", "F64", {1}, {1e300}, {}}}) == "tensor \"bias\" holds 1e+300 at element 0");
}

TEST_CASE("tied weights are saved under each of their names, and must agree when loaded") {
    const SafetensorsFolder folder;
    const std::filesystem::path path = folder.path / "x";
    TwoLayers model{numbered(2, 2), numbered(2, 2)};
    model.second.weight = model.first.weight;
    save(model, path);
    std::vector<StoredTensor> tensors = read_safetensors(path).tensors;
    REQUIRE(tensors.size() == 4);
    CHECK(tensors[2].name == "second.weight");
    CHECK(tensors[2].values == tensors[0].values);
    CHECK(error_of([&] { load(model, path); }) == "(no error)");
    tensors[2].values[1] += 1;
    write_safetensors(path, tensors);
    CHECK(error_of([&] {
              load(model, path);
          }).ends_with("tensor \"second.weight\" differs from tensor \"first.weight\"; in the model they are one"));
}

TEST_CASE("hexadecimal digits may be capitals") {
    const SafetensorsFolder folder;
    write_file(folder.path / "x",
               file_of("{\"\\u00E9\\uD83D\\uDE00\": {\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4));
    CHECK(read_safetensors(folder.path / "x").tensors[0].name == "\u00e9\U0001F600");
}

TEST_CASE("an escape may stand for a character of one to four bytes, and half of a pair of surrogates for none") {
    const SafetensorsFolder folder;
    write_file(folder.path / "x", file_of("{\"\\u007f\\u0080\\u07ff\\u0800\\u20ac\\uFFFD\\ud800\\udc00\\uDBFF\\uDFFF\": "
                                          "{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}",
                                          4));
    CHECK(read_safetensors(folder.path / "x").tensors[0].name ==
          "\x7f\xC2\x80\xDF\xBF\xE0\xA0\x80\xE2\x82\xAC\xEF\xBF\xBD\xF0\x90\x80\x80\xF4\x8F\xBF\xBF");
    for (const char* half : {"\\ud800\\ue000", "\\udc00\\udc00", "\\ud800\\ud800"})
        CHECK(refusal(file_of(std::string("{\"") + half + "\": {}}", 0)).ends_with("half of a pair of surrogates"));
}

TEST_CASE("one byte too few is a truncated file; the data begin at the next multiple of 8") {
    CHECK(refusal(file_of("{\"a\": {\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [0, 8]}}", 7)) ==
          "tensor \"a\": it ends at byte 8 of the data, but the file ends after 7: is it truncated?");
    const SafetensorsFolder folder;
    for (std::size_t length = 1; length <= 8; ++length) {
        write_safetensors(folder.path / "x", {{std::string(length, 'a'), "F32", {0}, {}, {}}});
        const std::string bytes = read_file(folder.path / "x");
        CHECK(bytes.size() % 8 == 0);
        CHECK(bytes.size() - bytes.rfind('}') <= 8);    // 7 blanks at most
    }
    CHECK_THROWS_AS(write_safetensors(folder.path / "x", {}, {{"\xff", "v"}}), std::invalid_argument);
}
