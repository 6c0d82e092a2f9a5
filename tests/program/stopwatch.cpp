#include "lookback/program/stopwatch.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>

using namespace lookback;

TEST_CASE("times and speeds are rounded to what is worth reading, and a dash where there were none") {
    unsetenv("LOOKBACK_TRANSCRIPT");
    CHECK(seconds_text(12.34) == "12.3 s");
    CHECK(seconds_text(0) == "-");
    CHECK(rate_text(48'123) == "48,100/s");
    CHECK(rate_text(0) == "-");
    CHECK(rate_text(std::nan("")) == "-");
    for (const char* asked : {"0", "1"}) {
        setenv("LOOKBACK_TRANSCRIPT", asked, 1);
        CHECK(seconds_text(12.34) == (*asked == '1' ? "-" : "12.3 s"));
        CHECK(rate_text(48'123) == (*asked == '1' ? "-" : "48,100/s"));
    }
    unsetenv("LOOKBACK_TRANSCRIPT");
}

TEST_CASE("numbers have their thousands apart") {
    CHECK(count_text(999) == "999");
    CHECK(count_text(1000) == "1,000");
    CHECK(count_text(253'549) == "253,549");
}

TEST_CASE("a watch goes on from the seconds it is given") {
    const double seconds = Stopwatch(100).seconds();
    CHECK(seconds >= 100);
    CHECK(seconds < 130);
}

TEST_CASE("numbers below zero have their thousands apart, too, and a speed is rounded down") {
    CHECK(count_text(-100) == "-100");
    CHECK(count_text(-1000) == "-1,000");
    CHECK(count_text(1'234'567) == "1,234,567");
    CHECK(rate_text(48'199) == "48,100/s");
}
