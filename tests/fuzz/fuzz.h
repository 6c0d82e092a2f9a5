#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

// What the fuzz targets share. A target is a program of its own: one reader, the files that its mutations begin with, and what must
// hold of every file that comes. libFuzzer (llvm.org/docs/LibFuzzer.html) makes the files.
namespace fuzz {

struct Seed {
    std::string name, bytes;
};
std::vector<Seed> seeds();    // each target has its own; `TARGET --seeds=DIR` writes them

// Gives `read` a file of these bytes. True if it reads it, false if it refuses it with a BadInput. The program ends, so that
// libFuzzer keeps the bytes, where anything else is thrown, where the message is not one line of text that begins with the file's
// name and goes on with what `is_placed` knows, or where the heap grew, at some time, by more than `factor` bytes for a byte of the
// file and 64 KiB.
using Read = std::function<void(const std::filesystem::path& file)>;
using IsPlaced = bool(std::string_view message, std::string_view bytes);
bool accepts(std::string_view bytes, std::size_t factor, IsPlaced* is_placed, const Read& read);

// Ends the program with this reason unless it holds.
void expect(bool holds, std::string_view reason);

// "LINE: ..." with a line that the bytes have.
bool is_line(std::string_view message, std::string_view bytes);
// "byte N: ..." within the file, or `tensor "NAME"...`, or what is said of a file as a whole.
bool is_safetensors_place(std::string_view message, std::string_view bytes);

// A change to a safetensors file that leaves, most of the time, the length of its header true.
std::size_t mutate_safetensors(std::uint8_t* bytes, std::size_t size, std::size_t max_size, unsigned seed);

std::string safetensors(const std::string& header, std::size_t data_size);    // a file of these

}    // namespace fuzz
