#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace lookback {

// The bytes of a file. Throws BadInput with the path and the reason: `cannot read corpus: Is a directory`.
std::string read_file(const std::filesystem::path& path);

// Makes `bytes` the content of the file, all or nothing: they are written to a temporary file beside it, brought to the
// disk and renamed, and the folder is brought to the disk as well. So a full disk or a power cut leaves the old file or
// the new one, whole. A link stays a link, and the permission bits stay. Throws BadInput with the path and the reason, also
// when the path is there and is no regular file.
//
//     write_file(options.out / "scores.svg", svg::line_chart(scores));
void write_file(const std::filesystem::path& path, std::string_view bytes);

// Removes what a process that was killed within write_file(path) left beside the file; what another that runs is writing stays.
void remove_left_over(const std::filesystem::path& path);

// folder / name; empty, for no file, if no folder was given.
std::filesystem::path file_in(const std::filesystem::path& folder, const std::string& name);

// Makes the folder, with its parents, unless it is there, and proves by a small file that it can be written. Throws
// BadInput naming the folder. `run_program` does this for --out before anything is trained.
void make_writable_folder(const std::filesystem::path& folder);

}    // namespace lookback
