#include "tensor/memory.h"

#include <bit>
#include <new>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#define LOOKBACK_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LOOKBACK_ADDRESS_SANITIZER 1
#endif
#endif

namespace lookback {

namespace {

constexpr std::align_val_t cache_line{64};

// Sizes are rounded up to one of four steps a power of two: at most a quarter is wasted.
struct SizeClass {
    std::size_t index, count;
};

SizeClass size_class(std::size_t count) {
    constexpr std::size_t smallest = 16;
    if (count <= smallest) return {0, smallest};
    const int exponent = static_cast<int>(std::bit_width(count - 1)) - 1;    // 2^exponent < count <= 2^(exponent + 1)
    const std::size_t base = std::size_t{1} << exponent, step = base / 4;
    const std::size_t quarter = (count - base + step - 1) / step;    // 1 .. 4
    return {static_cast<std::size_t>(exponent - 4) * 4 + quarter, base + quarter * step};
}

struct FreeLists {
    std::vector<std::vector<real*>> lists;

    std::vector<real*>& at(std::size_t index) {
        if (index >= lists.size()) lists.resize(index + 1);
        return lists[index];
    }
    ~FreeLists() {
        for (std::vector<real*>& list : lists)
            for (real* buffer : list) ::operator delete(buffer, cache_line);
        alive = false;
    }
    static thread_local bool alive;    // tensors in static storage may be freed after this thread's lists
};

thread_local bool FreeLists::alive = true;
thread_local FreeLists free_lists;

}  // namespace

real* acquire_buffer(std::size_t count) {
    const SizeClass size = size_class(count);
    if (FreeLists::alive) {
        std::vector<real*>& list = free_lists.at(size.index);
        if (!list.empty()) {
            real* buffer = list.back();
            list.pop_back();
            return buffer;
        }
    }
    return static_cast<real*>(::operator new(size.count * sizeof(real), cache_line));
}

void release_buffer(real* buffer, std::size_t count) {
    if (!buffer) return;
#ifndef LOOKBACK_ADDRESS_SANITIZER    // which can only see a use after free if buffers are freed
    if (FreeLists::alive) {
        free_lists.at(size_class(count).index).push_back(buffer);
        return;
    }
#endif
    static_cast<void>(count);
    ::operator delete(buffer, cache_line);
}

}  // namespace lookback
