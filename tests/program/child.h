#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <string>

// How a process ended and what it wrote.
struct Outcome {
    int status = -1;    // the exit status; minus the signal that ended it
    std::string out, error;
};

// Runs `body` in a child process, with its standard output and error caught. A test may there do what it must not do to
// itself: exit, send signals, lower a limit.
template <typename Body>
Outcome run_in_child(Body body) {
    std::fflush(nullptr);
    std::array<std::FILE*, 2> files = {std::tmpfile(), std::tmpfile()};
    const pid_t child = fork();
    if (child == 0) {
        dup2(fileno(files[0]), STDOUT_FILENO);
        dup2(fileno(files[1]), STDERR_FILENO);
        const int status = body();
        std::fflush(nullptr);
        _exit(status);
    }
    Outcome outcome;
    int status = 0;
    waitpid(child, &status, 0);
    outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    std::array<std::string*, 2> texts = {&outcome.out, &outcome.error};
    for (std::size_t i = 0; i < 2; ++i) {
        std::rewind(files[i]);
        for (int byte; (byte = std::fgetc(files[i])) != EOF;) *texts[i] += static_cast<char>(byte);
        std::fclose(files[i]);
    }
    return outcome;
}
