#include "lookback/program/file.h"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fstream>
#include <vector>

#include "child.h"
#include "lookback/program/error.h"

using namespace lookback;

namespace {

// A folder of the test's own, removed at the end.
struct Folder {
    std::filesystem::path path = std::filesystem::temp_directory_path() / fmt::format("lookback-file-test-{}", getpid());
    Folder() { std::filesystem::create_directory(path); }
    ~Folder() { std::filesystem::remove_all(path); }
    std::ptrdiff_t files() const { return std::distance(std::filesystem::directory_iterator(path), {}); }
};

template <typename Action>
std::string error_of(Action action) {
    try {
        action();
    } catch (const BadInput& error) {
        return error.what();
    }
    return "";
}

}    // namespace

// Stand in front of the system's, to see what write_file asks for.
static std::vector<mode_t> synced;           // S_IFREG, S_IFDIR: a file, a folder
static mode_t mode_while_written = 07777;    // of a file before it gets that of the one that it replaces

static mode_t mode_of(int file) {
    struct stat status = {};
    fstat(file, &status);
    return status.st_mode;
}

extern "C" int fsync(int file) {
    synced.push_back(mode_of(file) & S_IFMT);
    return static_cast<int>(syscall(SYS_fsync, file));
}

extern "C" int fchmod(int file, mode_t mode) {
    mode_while_written = mode_of(file) & 07777;
    return static_cast<int>(syscall(SYS_fchmod, file, mode));
}

TEST_CASE("what is written is on the disk, the file first and then its name in the folder") {
    const Folder folder;
    synced.clear();
    write_file(folder.path / "x", "x");
    CHECK(synced == std::vector<mode_t>{S_IFREG, S_IFDIR});
}

TEST_CASE("a file that others may not read is not theirs for a moment while it is replaced") {
    const Folder folder;
    const std::filesystem::path secret = folder.path / "secret";
    write_file(secret, "old");
    std::filesystem::permissions(secret, std::filesystem::perms(0600));
    const mode_t before = umask(0);
    write_file(secret, "new");
    umask(before);
    CHECK((mode_while_written & 077) == 0);
}

TEST_CASE("what is written is read again, byte by byte, and replaces what was there") {
    const Folder folder;
    const std::string bytes("\0\r\n\xff écoute", 12);
    write_file(folder.path / "a", "a longer text that was there before");
    write_file(folder.path / "a", bytes);
    CHECK(read_file(folder.path / "a") == bytes);
    write_file(folder.path / "empty", "");
    CHECK(read_file(folder.path / "empty") == "");
    CHECK(folder.files() == 2);
}

TEST_CASE("what is written keeps the old file's permissions, and goes through a link") {
    const Folder folder;
    const std::filesystem::path file = folder.path / "file", link = folder.path / "link", loose = folder.path / "loose";
    write_file(file, "old");
    std::filesystem::permissions(file, std::filesystem::perms(0640));
    std::filesystem::create_symlink("file", link);
    write_file(link, "new");
    CHECK(std::filesystem::is_symlink(link));
    CHECK(read_file(file) == "new");
    CHECK(std::filesystem::status(file).permissions() == std::filesystem::perms(0640));
    std::ofstream(folder.path / ".file.tmp-999999999-0") << "left";
    remove_left_over(link);
    CHECK(folder.files() == 2);
    std::filesystem::create_symlink("nowhere", loose);
    write_file(loose, "a file now");
    CHECK(!std::filesystem::is_symlink(loose));
    CHECK(read_file(loose) == "a file now");
}

TEST_CASE("a full disk leaves the old file as it was and nothing else behind") {
    const Folder folder;
    const std::filesystem::path path = folder.path / "model";
    write_file(path, "old");
    const Outcome outcome = run_in_child([&] {
        signal(SIGXFSZ, SIG_IGN);    // so that the write fails, as on a full disk
        const rlimit limit{1000, 1000};
        setrlimit(RLIMIT_FSIZE, &limit);
        return error_of([&] { write_file(path, std::string(5000, 'x')); }) ==
                       fmt::format("cannot write {}: File too large", path.string())
                   ? 0
                   : 1;
    });
    CHECK(outcome.status == 0);
    CHECK(read_file(path) == "old");
    CHECK(folder.files() == 1);
}

TEST_CASE("what a killed process left beside a file does not stop the next write, and is removed on request") {
    const Folder folder;
    const std::filesystem::path path = folder.path / "model";
    write_file(path, "old");
    write_file(folder.path / "other", "");
    const Outcome outcome = run_in_child([&] {    // is stopped by a signal in the middle of its write
        const rlimit limit{1000, 1000};
        setrlimit(RLIMIT_FSIZE, &limit);
        signal(SIGXFSZ, SIG_DFL);
        write_file(path, std::string(5000, 'x'));
        return 0;
    });
    CHECK(outcome.status == -SIGXFSZ);
    CHECK(read_file(path) == "old");
    CHECK(folder.files() == 3);
    for (int i = 0; i < 100; ++i)    // the names that this process will use next
        std::ofstream(folder.path / fmt::format(".model.tmp-{}-{}", getpid(), i)) << "left";
    write_file(path, "new");
    CHECK(read_file(path) == "new");
    CHECK(folder.files() == 103);
    remove_left_over(path);
    CHECK(folder.files() == 2);
    CHECK(read_file(path) == "new");
    remove_left_over(folder.path / "no" / "folder");
    std::ofstream(folder.path / fmt::format(".model.tmp-{}-0", getppid())) << "is being written by another";
    std::ofstream(folder.path / ".other.tmp-999999999-0") << "another file's";
    remove_left_over(path);
    CHECK(folder.files() == 4);
}

TEST_CASE("errors name the path and the reason") {
    const Folder folder;
    const std::string path = folder.path.string();
    CHECK(error_of([&] { read_file(folder.path / "none"); }) ==
          fmt::format("cannot read {}/none: No such file or directory", path));
    CHECK(error_of([&] { read_file(folder.path); }) == fmt::format("cannot read {}: Is a directory", path));
    CHECK(error_of([&] { write_file(folder.path / "no" / "x", ""); }) ==
          fmt::format("cannot write {}/no/x: No such file or directory", path));
    CHECK(error_of([&] { write_file(folder.path, ""); }) ==
          fmt::format("cannot write {}: it is a folder or a device: name a file", path));
}

// A pipe of the test's own stands for a device: a broken write_file must not be able to harm the machine's.
TEST_CASE("what is no regular file is not replaced by one") {
    const Folder folder;
    const std::filesystem::path pipe = folder.path / "pipe";
    REQUIRE(mkfifo(pipe.c_str(), 0600) == 0);
    CHECK_THROWS_AS(write_file(pipe, "x"), BadInput);
    CHECK(std::filesystem::is_fifo(pipe));
}

TEST_CASE("an output folder is made with its parents and is left empty") {
    const Folder folder;
    make_writable_folder(folder.path / "a" / "b");
    make_writable_folder(folder.path / "a" / "b");
    CHECK(std::filesystem::is_empty(folder.path / "a" / "b"));
    write_file(folder.path / "file", "");
    CHECK_THROWS_AS(make_writable_folder(folder.path / "file"), BadInput);
}

TEST_CASE(
    "a name without a folder is one in the current folder: what was left beside it is removed, and the folder is on the disk") {
    const Folder folder;
    const std::filesystem::path before = std::filesystem::current_path();
    std::filesystem::current_path(folder.path);
    std::ofstream(".x.tmp-999999999-0") << "left";
    synced.clear();
    write_file("x", "x");
    remove_left_over("x");
    std::filesystem::current_path(before);
    CHECK(synced == std::vector<mode_t>{S_IFREG, S_IFDIR});
    CHECK(folder.files() == 1);
}

TEST_CASE("a new file has the permissions that the user's umask leaves") {
    const Folder folder;
    const mode_t before = umask(022);
    write_file(folder.path / "x", "x");
    umask(before);
    CHECK(std::filesystem::status(folder.path / "x").permissions() == std::filesystem::perms(0644));
}

TEST_CASE("files that were read and written are closed again, also those that could not be read") {
    const Folder folder;
    const auto next_descriptor = [] {
        const int next = dup(0);
        close(next);
        return next;
    };
    const int before = next_descriptor();
    write_file(folder.path / "x", "x");
    read_file(folder.path / "x");
    error_of([&] { read_file(folder.path); });
    CHECK(next_descriptor() == before);
}

TEST_CASE("what others may read they may read when it is replaced") {
    const Folder folder;
    write_file(folder.path / "x", "old");
    std::filesystem::permissions(folder.path / "x", std::filesystem::perms(0604));
    write_file(folder.path / "x", "new");
    CHECK(std::filesystem::status(folder.path / "x").permissions() == std::filesystem::perms(0604));
}

TEST_CASE("a folder in which nothing can be written is named, and so is the reason") {
    const Folder folder;
    const Outcome outcome = run_in_child([&] {
        signal(SIGXFSZ, SIG_IGN);
        const rlimit limit{4, 4};
        setrlimit(RLIMIT_FSIZE, &limit);
        const std::string start = fmt::format("cannot write in the folder {}: cannot write ", folder.path.string());
        const std::string error = error_of([&] { make_writable_folder(folder.path); });
        return error.starts_with(start) && error.ends_with(": File too large") ? 0 : 1;
    });
    CHECK(outcome.status == 0);
}
