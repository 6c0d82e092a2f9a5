#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <utility>

#include "lookback/real.h"

namespace lookback {

// Buffers of reals on 64-byte boundaries, uninitialised. What is given back, by any thread, is kept for the thread that had asked for
// it, so that a training step reuses the memory of the step before and asks the system for nothing.
real* acquire_buffer(std::size_t count);
void release_buffer(real* buffer);

// What an op must remember between forward and backward.
class Buffer {
  public:
    Buffer() = default;
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() { release_buffer(data); }

    real* resize(std::size_t new_count) {
        if (new_count != count) {
            release_buffer(std::exchange(data, nullptr));
            count = 0;    // should there be no memory
            data = acquire_buffer(new_count);
            count = new_count;
        }
        return data;
    }

    real* data = nullptr;

  private:
    std::size_t count = 0;
};

inline constexpr real few_zeros[4096] = {};

// So many zeros, such as the row that a product starts from.
class Zeros {
  public:
    explicit Zeros(std::size_t count) {
        if (count > std::size(few_zeros)) std::fill_n(many.resize(count), count, real(0));
    }
    const real* data() const { return many.data ? many.data : few_zeros; }

  private:
    Buffer many;
};

}    // namespace lookback
