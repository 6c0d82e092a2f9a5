#include "lookback/nn/positions.h"

#include <algorithm>
#include <cmath>

#include "ops/expect.h"

using namespace lookback;

TEST_CASE("sinusoidal positions are those of the paper, for an odd width too") {
    for (const int size : {6, 5, 1}) {
        const Tensor positions = sinusoidal_positions(200, size);
        REQUIRE(positions.shape() == Shape{200, size});
        double worst = 0;
        for (int t = 0; t < 200; ++t)
            for (int i = 0; i < size; ++i) {
                const double angle = t / std::pow(10000.0, static_cast<double>(i - i % 2) / size);
                const double expected = i % 2 == 0 ? std::sin(angle) : std::cos(angle);
                worst = std::max(worst, std::abs(positions.data()[t * size + i] - expected));
            }
        INFO(size);
        CHECK(worst <= 1e-7);
    }
}

TEST_CASE("positions from a start on are a part of the positions from 0 on") {
    CHECK(sinusoidal_positions(3, 5, 7).values() == slice(sinusoidal_positions(10, 5), 0, 7, 10).values());
}

TEST_CASE("learned positions are rows of a table, and end where it ends") {
    Random random(1);
    const LearnedPositions positions(4, 3, random);
    CHECK(positions(2, 1).values() == slice(positions.weight, 0, 1, 3).values());
    CHECK(positions(4).values() == positions.weight.values());
    std::string message = "(no exception)";
    try {
        positions(2, 3);
    } catch (const std::invalid_argument& error) {
        message = error.what();
    }
    CHECK(message.starts_with("learned positions: position 4 was never learned; the table ends at 3 ["));
}
