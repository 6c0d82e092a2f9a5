#include "fuzz.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sanitizer/allocator_interface.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "lookback/program/error.h"
#include "program/json.h"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* bytes, std::size_t size, std::size_t max_size);

namespace fuzz {

namespace {

// Bytes on the heap since the count began, and the most that there were. Single-threaded, as the readers are.
std::ptrdiff_t in_use = 0, most_in_use = 0;

void count_allocation(const volatile void*, std::size_t size) {
    in_use += static_cast<std::ptrdiff_t>(size);
    most_in_use = std::max(most_in_use, in_use);
}

void count_release(const volatile void* pointer) {
    if (pointer) in_use -= static_cast<std::ptrdiff_t>(__sanitizer_get_allocated_size(const_cast<const void*>(pointer)));
}

// The one file that all executions read: run.sh gives a TMPDIR in memory and removes it.
struct File {
    std::filesystem::path folder =
        std::filesystem::temp_directory_path() / fmt::format("lookback-fuzz-{}", static_cast<long>(::getpid()));
    std::filesystem::path path = folder / "file";

    File() { std::filesystem::create_directories(folder); }
    ~File() { std::filesystem::remove_all(folder); }

    void write(std::string_view bytes) const {
        const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        const bool written = ::write(descriptor, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size());
        expect(descriptor >= 0 && written && ::close(descriptor) == 0, "the fuzzer cannot write its file");
    }
};

// A number that `text` begins with and that `after` follows; -1 if there is none.
long number_before(std::string_view text, std::string_view after) {
    long number = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc() && text.substr(static_cast<std::size_t>(end - text.data())).starts_with(after) ? number : -1;
}

}    // namespace

void expect(bool holds, std::string_view reason) {
    if (holds) return;
    fmt::print(stderr, "fuzz: {}\n", reason);
    std::abort();
}

bool accepts(std::string_view bytes, std::size_t factor, IsPlaced* is_placed, const Read& read) {
    static const File file;
    static const int hooks = __sanitizer_install_malloc_and_free_hooks(count_allocation, count_release);
    expect(hooks > 0, "the heap cannot be counted");
    file.write(bytes);
    std::string message;
    bool accepted = true;
    in_use = most_in_use = 0;
    try {
        read(file.path);
    } catch (const lookback::BadInput& error) {
        accepted = false;
        message = error.what();
    }
    const std::size_t most = static_cast<std::size_t>(most_in_use), allowed = factor * bytes.size() + (64 << 10);
    expect(most <= allowed,
           fmt::format("a file of {} bytes took {} bytes of the heap; allowed are {}", bytes.size(), most, allowed));
    if (accepted) return true;
    const std::string prefix = file.path.string() + ":";
    expect(message.starts_with(prefix), fmt::format("the message does not begin with the file: {}", message));
    expect(
        lookback::json::is_text(message) && std::ranges::none_of(message, [](unsigned char c) { return c < 0x20 || c == 0x7F; }),
        "the message is not one line of text");
    expect(message.size() < 2000, fmt::format("the message is too long: {}", message));
    expect(is_placed(std::string_view(message).substr(prefix.size()), bytes),
           fmt::format("the message names no place: {}", message));
    return false;
}

bool is_line(std::string_view message, std::string_view bytes) {
    const long line = number_before(message, ": ");
    return line >= 1 && line <= 1 + std::ranges::count(bytes, '\n');
}

bool is_safetensors_place(std::string_view message, std::string_view bytes) {
    if (message.starts_with(" byte ")) {
        const long byte = number_before(message.substr(6), ": ");
        return byte >= 0 && byte <= static_cast<long>(bytes.size());
    }
    return message.starts_with(" tensor \"") || message.starts_with(" the last ");
}

std::size_t mutate_safetensors(std::uint8_t* bytes, std::size_t size, std::size_t max_size, unsigned seed) {
    std::uint64_t header = 0;
    constexpr std::size_t length = sizeof header;
    if (size > length) std::memcpy(&header, bytes, length);
    if (size <= length || header > size - length || seed % 8 == 0) return LLVMFuzzerMutate(bytes, size, max_size);
    if (seed % 8 == 1)    // the numbers
        return length + header + LLVMFuzzerMutate(bytes + length + header, size - length - header, max_size - length - header);
    const std::vector<std::uint8_t> data(bytes + length + header, bytes + size);
    header = LLVMFuzzerMutate(bytes + length, header, max_size - length - data.size());
    std::memcpy(bytes, &header, length);
    std::ranges::copy(data, bytes + length + header);
    return length + header + data.size();
}

std::string safetensors(const std::string& header, std::size_t data_size) {
    const std::uint64_t size = header.size();
    return std::string(reinterpret_cast<const char*>(&size), sizeof size) + header + std::string(data_size, '\0');
}

}    // namespace fuzz

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
    const std::string option = *argc > 1 ? (*argv)[1] : "", prefix = "--seeds=";
    if (option.starts_with(prefix)) {
        const std::filesystem::path folder = option.substr(prefix.size());
        for (const fuzz::Seed& seed : fuzz::seeds()) std::ofstream(folder / seed.name, std::ios::binary) << seed.bytes;
        std::exit(0);
    }
    return 0;
}
