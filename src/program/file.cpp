#include "lookback/program/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <system_error>

#include "lookback/program/error.h"

namespace lookback {

namespace {

[[noreturn]] void fail(const char* what, const std::filesystem::path& path, int error) {
    throw BadInput(fmt::format("cannot {} {}: {}", what, path.string(), std::generic_category().message(error)));
}

// An open file that is closed whatever happens.
struct File {
    int descriptor;
    ~File() { close(); }
    int close() {
        const int result = descriptor < 0 ? 0 : ::close(descriptor);
        descriptor = -1;
        return result;
    }
};

// Temporary files are called after the file that each is to become, so that it can be told whose a forgotten one is.
std::string temporary_prefix(const std::filesystem::path& path) { return fmt::format(".{}.tmp-", path.filename().string()); }

// The file that a link leads to, so that it is written and the link stays. A link to nothing is replaced.
std::filesystem::path behind_links(const std::filesystem::path& path) {
    std::error_code error;
    const std::filesystem::path file = std::filesystem::is_symlink(path, error) ? std::filesystem::canonical(path, error) : path;
    return error ? path : file;
}

bool write_all(int descriptor, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return false;
        bytes.remove_prefix(static_cast<std::size_t>(written));
    }
    return true;
}

}    // namespace

std::string read_file(const std::filesystem::path& path) {
    File file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    if (file.descriptor < 0) fail("read", path, errno);
    std::string bytes;
    struct stat status;
    if (::fstat(file.descriptor, &status) == 0 && S_ISREG(status.st_mode))
        bytes.reserve(static_cast<std::size_t>(status.st_size));
    for (;;) {
        char block[1 << 16];
        const ssize_t count = ::read(file.descriptor, block, sizeof block);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) fail("read", path, errno);
        if (count == 0) return bytes;
        bytes.append(block, static_cast<std::size_t>(count));
    }
}

void write_file(const std::filesystem::path& name, std::string_view bytes) {
    // A rename would replace a device such as /dev/null by a plain file.
    struct stat status;
    const bool exists = ::stat(name.c_str(), &status) == 0;
    if (exists && !S_ISREG(status.st_mode)) {
        throw BadInput(fmt::format("cannot write {}: it is a folder or a device: name a file", name.string()));
    }
    const std::filesystem::path path = behind_links(name);
    static std::atomic<int> files_written{0};
    std::filesystem::path temporary;
    File file{-1};
    do {    // a process of the same number may have been killed here before: in a container all are number 1
        temporary = path.parent_path() / fmt::format("{}{}-{}", temporary_prefix(path), ::getpid(), files_written++);
        file.descriptor = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, exists ? 0600 : 0666);
    } while (file.descriptor < 0 && errno == EEXIST);
    if (file.descriptor < 0) fail("write", path, errno);
    if (exists) ::fchmod(file.descriptor, status.st_mode & 07777);
    if (!write_all(file.descriptor, bytes) || ::fsync(file.descriptor) != 0 || file.close() != 0 ||
        ::rename(temporary.c_str(), path.c_str()) != 0) {
        const int error = errno;
        ::unlink(temporary.c_str());
        fail("write", path, error);
    }
    // The new name is on the disk when the folder is. Some file systems cannot do that for a folder (EINVAL).
    const std::filesystem::path folder_path = path.has_parent_path() ? path.parent_path() : ".";
    const File folder{::open(folder_path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (folder.descriptor >= 0 && ::fsync(folder.descriptor) != 0 && errno != EINVAL) fail("write", path, errno);
}

// Of ".NAME.tmp-PID-N": whether that process, not this one, is still running.
static bool is_being_written(const std::string& name, std::size_t prefix) {
    const int process = std::atoi(name.c_str() + prefix);
    return process > 0 && process != ::getpid() && (::kill(process, 0) == 0 || errno == EPERM);
}

void remove_left_over(const std::filesystem::path& name) {
    std::error_code error;
    const std::filesystem::path path = behind_links(name);
    const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
    const std::string prefix = temporary_prefix(path);
    for (const auto& entry : std::filesystem::directory_iterator(folder, error))
        if (const std::string file = entry.path().filename().string();
            file.starts_with(prefix) && !is_being_written(file, prefix.size()))
            std::filesystem::remove(entry.path(), error);
}

std::filesystem::path file_in(const std::filesystem::path& folder, const std::string& name) {
    return folder.empty() ? folder : folder / name;
}

void make_writable_folder(const std::filesystem::path& folder) {
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    if (error) fail("make the folder", folder, error.value());
    const std::filesystem::path probe = folder / fmt::format(".lookback-probe-{}", ::getpid());
    try {
        write_file(probe, "lookback");
    } catch (const BadInput& problem) {
        throw BadInput(fmt::format("cannot write in the folder {}: {}", folder.string(), problem.what()));
    }
    std::filesystem::remove(probe);
}

}    // namespace lookback
