#include "lookback/program/progress.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/ioctl.h>

#include <cmath>
#include <cstdlib>
#include <optional>
#include <thread>

#include "child.h"

using namespace lookback;

namespace {

// Runs `body` in a child whose stderr is a terminal of so many columns, and returns what it wrote there; nothing where there are no
// terminals, as in a chroot without /dev/pts.
template <typename Body>
std::optional<std::string> on_a_terminal(unsigned short columns, Body body) {
    const int master = posix_openpt(O_RDWR | O_NOCTTY);
    grantpt(master);
    unlockpt(master);
    const char* const name = ptsname(master);
    const int terminal = name ? open(name, O_RDWR | O_NOCTTY) : -1;
    if (terminal < 0) {
        MESSAGE("not tested: there are no terminals here; /dev/pts is not mounted");
        return std::nullopt;
    }
    const winsize size{24, columns, 0, 0};
    ioctl(terminal, TIOCSWINSZ, &size);
    run_in_child([&] {
        dup2(terminal, STDERR_FILENO);
        setenv("TERM", "xterm", 1);
        unsetenv("COLUMNS");
        body();
        return 0;
    });
    close(terminal);    // so that the terminal ends, once all of it has been read: what was written arrives a little later
    std::string written;
    char block[4096];
    for (ssize_t count; (count = read(master, block, sizeof block)) > 0;) written.append(block, static_cast<std::size_t>(count));
    close(master);
    return written;
}

void train(int steps) {
    Progress progress("attention", steps);
    for (int step = 0; step < steps; ++step) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        progress.advance(1000, 2.5);
    }
}

}    // namespace

TEST_CASE("the progress line shows label, bar, steps, loss, speed and the time left") {
    const ProgressState state{"attention", 300, 600, 0.41234, 18'200, 72.4};
    CHECK(progress_line(state, 80) == "attention  ███████████░░░░░░░░░░░  300/600  loss 0.412   18k tokens/s  1:12 left");
    CHECK(progress_line(state, 60) == "attention  300/600  loss 0.412   18k tokens/s  1:12 left");
    CHECK(progress_line(state, 45) == "attention  300/600  loss 0.412  1:12 left");
    CHECK(progress_line(state, 30) == "attention  300/600  1:12 left");
    CHECK(progress_line(state, 20) == "attention  300/600 …");
    CHECK(progress_line({"valid", 2, 12, {}, 0, 3723}, 40) == "valid  ██░░░░░░░░░░   2/12  1:02:03 left");
}

TEST_CASE("the progress line is never wider than the screen, whatever the numbers") {
    const double nan = std::nan("");
    for (int width = 1; width < 120; ++width) {
        CHECK(text_width(progress_line({"entraînement", 999999, 10, nan, 1e300, nan}, width)) <= width);
        CHECK(text_width(progress_line({"", 0, 0, -1e30, nan, 1e300}, width)) <= width);
    }
}

TEST_CASE("progress is quiet in a pipe or a file") {
    const Outcome outcome = run_in_child([] {
        setenv("TERM", "xterm", 1);
        train(30);
        return 0;
    });
    CHECK(outcome.error == "");
    CHECK(outcome.out == "");
}

TEST_CASE("progress is quiet on a terminal that cannot redraw a line") {
    CHECK(on_a_terminal(80, [] { setenv("TERM", "dumb", 1), train(30); }).value_or("") == "");
}

TEST_CASE("on a terminal the line is redrawn at most ten times a second, within its width, and erased at the end") {
    const auto begin = std::chrono::steady_clock::now();
    const std::optional<std::string> terminal = on_a_terminal(40, [] { train(60); });
    if (!terminal) return;
    const std::string& written = *terminal;
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    REQUIRE(written.ends_with("\r\x1b[K"));
    int drawn = -1;    // the last redraw is the erasure
    std::size_t at = 0;
    for (std::size_t end; (end = written.find("\x1b[K", at)) != std::string::npos; at = end + 3, ++drawn) {
        CHECK(text_width(written.substr(at + 1, end - at - 1)) < 40);
        CHECK(written[at] == '\r');
    }
    CHECK(at == written.size());
    CHECK(drawn >= 1);
    CHECK(drawn <= seconds * 10);
}

TEST_CASE("speed and the time left are those of the steps that are over and of those that are not") {
    const auto written = on_a_terminal(100, [] {
        Progress progress("a", 4);
        for (int step = 0; step < 4; ++step) {
            std::this_thread::sleep_for(std::chrono::milliseconds(600));
            progress.advance(6'000'000, 2.5);
        }
    });
    if (!written) return;
    INFO(*written);
    CHECK(written->find("1/4  loss 2.500  ") != std::string::npos);
    CHECK(written->find("0:02 left") != std::string::npos);
    const std::string last = written->substr(std::min(written->find("4/4"), written->size()));
    CHECK(last.find("0:00 left") != std::string::npos);
    const std::size_t speed = last.find("loss 2.500");
    const double thousands = std::atof(last.c_str() + std::min(speed, last.size() - 10) + 10);
    CHECK(thousands > 1000);    // on a machine that has much else to do
    CHECK(thousands <= 10'000);
}

TEST_CASE("the speed is that of all tokens so far, and a window that is made narrower has narrower lines") {
    const auto written = on_a_terminal(60, [] {
        Progress progress("a", 3);
        for (int step = 0; step < 3; ++step) {
            std::this_thread::sleep_for(std::chrono::milliseconds(150));
            if (step == 2) {
                const winsize size{24, 30, 0, 0};
                ioctl(STDERR_FILENO, TIOCSWINSZ, &size);
            }
            progress.advance(step == 0 ? 1'000'000 : 0, 2.5);
        }
    });
    if (!written) return;
    INFO(*written);
    const std::size_t second = written->find("2/3"), third = written->find("3/3");
    REQUIRE(second < third);
    CHECK(written->substr(second, third - second).find("tokens/s") != std::string::npos);
    const std::size_t begin = written->rfind('\r', third) + 1;
    CHECK(text_width(written->substr(begin, written->find("\x1b[K", begin) - begin)) < 30);
}

TEST_CASE("the bar is 30 long at most, and full only at the end") {
    CHECK(progress_line({"a", 999, 1000, {}, 0, 1}, 120).find("█░  ") != std::string::npos);
    CHECK(progress_line({"a", 1000, 1000, {}, 0, 0}, 120).find("░") == std::string::npos);
    CHECK(text_width(progress_line({"a", 1000, 1000, {}, 0, 0}, 120)) == text_width("a    1000/1000  0:00 left") + 30);
}
