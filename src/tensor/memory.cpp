#include "tensor/memory.h"

#include <atomic>
#include <bit>
#include <cstdint>
#include <mutex>
#include <new>
#include <utility>
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

constexpr std::size_t cache_line = 64;

class Heap;

// What stands before each buffer. Blocks lie side by side in a region, which came from the system in one piece; a block that
// is given back grows together with its free neighbours, so sentences of all lengths can use the same memory.
struct alignas(cache_line) Block {
    Heap* heap;
    std::size_t size;                              // in bytes, with this header
    Block* lower = nullptr;                        // neighbour at the lower address, null at a region's start
    bool is_free = false, is_last = true;          // is_last: the region ends here
    Block *next = nullptr, *previous = nullptr;    // in its list of free blocks of like size, or of blocks that others gave back

    Block* upper() { return reinterpret_cast<Block*>(reinterpret_cast<std::byte*>(this) + size); }
};
static_assert(sizeof(Block) == cache_line);

// One thread's own, so that it needs no lock, and what the thread gives back is in its core's cache when it asks again.
class Heap {
  public:
    real* acquire(std::size_t bytes) {
        if (given_back.load(std::memory_order_relaxed)) [[unlikely]]
            for (Block* block = given_back.exchange(nullptr, std::memory_order_acquire); block;)
                release(std::exchange(block, block->next));
        const std::size_t wanted = sizeof(Block) + (bytes + cache_line - 1) / cache_line * cache_line;
        Block* block = find(wanted);
        if (!block) block = add_region((wanted + region_bytes - 1) / region_bytes * region_bytes);
        take_out(block);
        block->is_free = false;
        if (block->size >= wanted + 2 * cache_line) split(block, wanted);
        return reinterpret_cast<real*>(block + 1);
    }

    void release(Block* block) {
        if (!block->is_last && block->upper()->is_free) {
            take_out(block->upper());
            merge(block, block->upper());
        }
        if (block->lower && block->lower->is_free) {
            block = block->lower;
            take_out(block);
            merge(block, block->upper());
        }
        put_in(block);
    }

    // What another thread does instead.
    void release_from_afar(Block* block) {
        block->next = given_back.load(std::memory_order_relaxed);
        while (!given_back.compare_exchange_weak(block->next, block, std::memory_order_release, std::memory_order_relaxed)) {
        }
    }

  private:
    static constexpr std::size_t region_bytes = std::size_t{8} << 20;
    static constexpr int list_count = 192, lists_a_word = 64;
    std::atomic<Block*> given_back = nullptr;
    Block* lists[list_count] = {};                           // free blocks by size, four lists for each power of two
    std::uint64_t filled[list_count / lists_a_word] = {};    // a bit for each list that is not empty

    // Sizes of one list: at least 2^e (1 + quarter / 4).
    static int list_of(std::size_t size) {
        const int exponent = static_cast<int>(std::bit_width(size)) - 1;
        return (exponent - 6) * 4 + static_cast<int>(size >> (exponent - 2) & 3);
    }

    // A free block of at least this size: of the list above the size's own all are, of its own perhaps one.
    Block* find(std::size_t size) {
        const int own = list_of(size);
        for (Block* block = lists[own]; block; block = block->next)
            if (block->size >= size) return block;
        for (int word = (own + 1) / lists_a_word; word < list_count / lists_a_word; ++word) {
            std::uint64_t bits = filled[word];
            if (word == (own + 1) / lists_a_word) bits &= ~std::uint64_t{0} << (own + 1) % lists_a_word;
            if (bits) return lists[word * lists_a_word + std::countr_zero(bits)];
        }
        return nullptr;
    }

    Block* add_region(std::size_t size) {
        auto* block = static_cast<Block*>(::operator new (size, std::align_val_t{cache_line}));
        *block = {.heap = this, .size = size};
        put_in(block);
        return block;
    }

    void split(Block* block, std::size_t size) {
        const std::size_t rest = block->size - size;
        const bool was_last = block->is_last;
        block->size = size;
        block->is_last = false;
        Block* upper = block->upper();
        *upper = {.heap = this, .size = rest, .lower = block, .is_last = was_last};
        if (!was_last) upper->upper()->lower = upper;
        put_in(upper);
    }

    void merge(Block* block, Block* upper) {
        block->size += upper->size;
        block->is_last = upper->is_last;
        if (!block->is_last) block->upper()->lower = block;
    }

    void put_in(Block* block) {
        const int list = list_of(block->size);
        block->is_free = true;
        block->previous = nullptr;
        block->next = lists[list];
        if (block->next) block->next->previous = block;
        lists[list] = block;
        filled[list / lists_a_word] |= std::uint64_t{1} << list % lists_a_word;
    }

    void take_out(Block* block) {
        const int list = list_of(block->size);
        (block->previous ? block->previous->next : lists[list]) = block->next;
        if (block->next) block->next->previous = block->previous;
        if (!lists[list]) filled[list / lists_a_word] &= ~(std::uint64_t{1} << list % lists_a_word);
    }
};

thread_local Heap* own_heap = nullptr;    // null again at the thread's end, when other objects of its may still give memory back

// Heaps of threads that have ended, for the next ones. Never destroyed: tensors in static storage are freed later than that.
struct IdleHeaps {
    std::mutex mutex;
    std::vector<Heap*> heaps;
};
IdleHeaps& idle_heaps() {
    static IdleHeaps& instance = *new IdleHeaps;
    return instance;
}

struct LeavesItsHeap {
    ~LeavesItsHeap() {
        const std::lock_guard lock(idle_heaps().mutex);
        idle_heaps().heaps.push_back(std::exchange(own_heap, nullptr));
    }
};

}    // namespace

// The address sanitizer can only see a use after free if each buffer is one allocation of its own.
#ifdef LOOKBACK_ADDRESS_SANITIZER
real* acquire_buffer(std::size_t count) {
    return static_cast<real*>(::operator new (count * sizeof(real), std::align_val_t{cache_line}));
}
void release_buffer(real* buffer) { ::operator delete (buffer, std::align_val_t{cache_line}); }
#else
real* acquire_buffer(std::size_t count) {
    if (!own_heap) [[unlikely]] {
        const std::lock_guard lock(idle_heaps().mutex);
        std::vector<Heap*>& heaps = idle_heaps().heaps;
        if (heaps.empty()) heaps.push_back(new Heap);
        own_heap = heaps.back();
        heaps.pop_back();
        static thread_local const LeavesItsHeap at_the_end;
    }
    return own_heap->acquire(count * sizeof(real));
}
void release_buffer(real* buffer) {
    if (!buffer) return;
    Block* block = reinterpret_cast<Block*>(buffer) - 1;
    block->heap == own_heap ? block->heap->release(block) : block->heap->release_from_afar(block);
}
#endif

}    // namespace lookback
