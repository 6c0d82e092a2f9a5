// This program counts what it asks of malloc: its own operator new stands in for the standard library's.
#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <cstdlib>
#include <fstream>
#include <new>
#include <thread>

#include "lookback/models/translator.h"
#include "lookback/optim/data_parallel.h"
#include "lookback/optim/optimizer.h"

using namespace lookback;

namespace {

constexpr std::size_t large = 64 * 1024;
#ifdef __SANITIZE_ADDRESS__
constexpr bool one_allocation_a_buffer = true;    // so that the sanitizer sees each (src/tensor/memory.cpp)
#else
constexpr bool one_allocation_a_buffer = false;
#endif
std::atomic<int> large_requests = 0;

void* counted(void* memory, std::size_t size) {
    if (size > large) ++large_requests;
    if (!memory) throw std::bad_alloc();
    return memory;
}

}    // namespace

void* operator new(std::size_t size) { return counted(std::malloc(std::max<std::size_t>(size, 1)), size); }
void* operator new(std::size_t size, std::align_val_t alignment) {
    const auto unit = static_cast<std::size_t>(alignment);
    return counted(std::aligned_alloc(unit, (size + unit - 1) / unit * unit), size);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace {

std::vector<Example> examples_of(const Corpus& corpus) { return encode(corpus.train, corpus.source, corpus.target); }

// The five beats, on two threads, each with a heap of its own. The first two batches are the longest sentences: what is longer than all
// before needs more memory.
template <class Model>
class Training {
  public:
    Training(Model with, const std::vector<Example>& all, int batch_size)
        : model(std::move(with)), examples(all), stream(all, batch_size, Random(1)) {
        std::vector<int> rows(all.size());
        for (int row = 0; row < static_cast<int>(rows.size()); ++row) rows[row] = row;
        std::ranges::stable_sort(rows, std::greater(), [&](int row) { return all[row].source.size() + all[row].target.size(); });
        rows.resize(batch_size);
        longest = make_batch(all, rows);
    }
    void step() {
        const Batch batch = steps++ < 2 ? longest : stream.next();
        const std::vector<Batch> parts = shards(batch, shard_count);
        zero_grad(model);
        parallel.backward(static_cast<int>(parts.size()), [&](Model& replica, int part) {
            if (steps <= 2 && begun++ % shard_count < 2) both.arrive_and_wait();    // each thread takes one of the longest
            return cross_entropy(replica(parts[part]), parts[part].target_out,
                                 {.ignore_index = Vocabulary::pad, .divisor = static_cast<double>(batch.target_tokens)});
        });
        clip_grad_norm(model, 1.0);
        adam.step();
    }

  private:
    static constexpr int shard_count = 4;
    Model model;
    const std::vector<Example>& examples;
    BatchStream stream;
    Batch longest;
    Workers workers{2};
    Adam adam{model, {}};
    DataParallel<Model> parallel{model, shard_count, workers};
    int steps = 0;
    std::atomic<int> begun = 0;
    std::barrier<> both{2};
};

template <class Model>
int large_requests_after_two_steps(Model model, const std::vector<Example>& examples, int batch_size, int steps) {
    Training<Model> training(std::move(model), examples, batch_size);
    training.step();
    training.step();
    large_requests = 0;
    for (int step = 2; step < steps; ++step) training.step();
    return large_requests;
}

// Resident memory in KiB (Linux; 0 elsewhere).
long resident() {
    std::ifstream file("/proc/self/statm");
    long total = 0, pages = 0;
    file >> total >> pages;
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

}    // namespace

TEST_CASE("from the third step on, training asks malloc for nothing larger than 64 KiB" *
          doctest::skip(one_allocation_a_buffer)) {
    const Corpus corpus = read_corpus(LOOKBACK_DATASETS "/english-french");
    const std::vector<Example> examples = examples_of(corpus);
    Random random(1);
    const int source = corpus.source.size(), target = corpus.target.size();
    std::vector<char> watched(large + 1);
    REQUIRE(large_requests > 0);    // the count counts
    CHECK(large_requests_after_two_steps(FixedVector(source, target, random), examples, 48, 30) == 0);
    CHECK(large_requests_after_two_steps(AttentionTranslator(source, target, random), examples, 48, 30) == 0);
    CHECK(large_requests_after_two_steps(TransformerTranslator(source, target, random), examples, 48, 30) == 0);
    // Over the end of an epoch: 20,000 examples are 417 batches of 48.
    CHECK(large_requests_after_two_steps(FixedVector(source, target, random, 4, 4), examples, 48, 450) == 0);
}

TEST_CASE("a tensor that grows by a little at each step, such as the keys of a long translation, seldom needs new memory" *
          doctest::skip(one_allocation_a_buffer)) {
    const int before = large_requests;
    Tensor keys;
    for (int size = 2'500'000; size < 3'500'000; size += 10'000) keys = Tensor({size});    // 10 to 14 MB
    CHECK(large_requests - before <= 4);
}

TEST_CASE("what one thread asks for and another gives back is there for the first one again" *
          doctest::skip(one_allocation_a_buffer)) {
    const int before = large_requests;
    std::barrier<> both{2};
    Tensor passed;
    std::thread maker([&] {
        for (int i = 0; i < 100; ++i) {
            passed = Tensor({500'000});    // 2 MB
            both.arrive_and_wait();
            both.arrive_and_wait();
        }
    });
    for (int i = 0; i < 100; ++i) {
        both.arrive_and_wait();
        passed = {};
        both.arrive_and_wait();
    }
    maker.join();
    CHECK(large_requests - before <= 1);
}

TEST_CASE("a thread that ends leaves its memory to the next one" * doctest::skip(one_allocation_a_buffer)) {
    std::thread([] { Tensor({500'000}); }).join();
    const int before = large_requests;
    for (int i = 0; i < 100; ++i) std::thread([] { Tensor({500'000}); }).join();
    CHECK(large_requests == before);
}

TEST_CASE("memory stays flat over 10,000 steps" * doctest::skip(one_allocation_a_buffer)) {
    const Corpus corpus = read_corpus(LOOKBACK_DATASETS "/english-french");
    std::vector<Example> examples = examples_of(corpus);
    std::erase_if(examples, [](const Example& example) { return example.source.size() > 7; });    // short: quick steps
    Random random(1);
    Training training(AttentionTranslator(corpus.source.size(), corpus.target.size(), random, 4, 8, 4), examples, 4);
    for (int step = 0; step < 500; ++step) training.step();
    const long before = resident();
    for (int step = 500; step < 10'000; ++step) training.step();
    CHECK(resident() - before <= 256);    // KiB; a step makes some 200 KiB of tensors
}
