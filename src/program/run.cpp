#include <fmt/format.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <stdexcept>

#include "lookback/program/error.h"
#include "lookback/program/file.h"
#include "lookback/program/interrupt.h"
#include "lookback/program/options.h"
#include "lookback/program/screen.h"

namespace lookback {

namespace {

void check_data_folder(const std::filesystem::path& folder) {
    std::error_code error;
    if (std::filesystem::is_directory(folder, error)) return;
    throw BadInput(fmt::format("--data {}: {}: name a folder with train.tsv, valid.tsv and test*.tsv", folder.string(),
                               std::filesystem::exists(folder, error) ? "this is no folder" : "no such folder"));
}

int fail(const std::string& name, const std::string& message, int status) {
    std::fflush(stdout);
    // A message may quote a user's file. (And fmt::print would throw where stderr is full or closed.)
    std::fputs(fmt::format("{}: {}\n", name, printable(message)).c_str(), stderr);
    return status;
}

}    // namespace

int run_program(int argc, char** argv, const ProgramInfo& info, int (*program)(const Options&)) {
    std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);    // a reader behind a pipe sees each line when it is made
    try {
        const std::vector<std::string> arguments(argv + (argc > 0), argv + argc);
        for (const std::string& argument : arguments) {
            if (argument != "--help" && argument != "-h") continue;
            fmt::print("{}", help_text(info));
            return 0;
        }
        std::signal(SIGXFSZ, SIG_IGN);    // a limit on the size of files (ulimit -f) is an error of the write that meets it
        const Options options = read_options(info, arguments);
        if (!options.data.empty()) check_data_folder(options.data);
        if (!options.out.empty()) make_writable_folder(options.out);
        catch_interrupt();
        const int status = program(options);
        if (std::fflush(stdout) != 0) throw std::runtime_error("cannot write the standard output");
        return interrupted() ? 130 : status;    // 128 + SIGINT, as shells count
    } catch (const BadInput& error) {
        return fail(info.name, error.what(), 2);
    } catch (const std::bad_alloc&) {
        return fail(info.name, "not enough memory", 1);
    } catch (const std::exception& error) {
        return fail(info.name, std::ferror(stdout) ? "cannot write the standard output" : error.what(), 1);
    }
}

}    // namespace lookback
