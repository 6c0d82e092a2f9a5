#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "lookback/ops/lookup.h"
#include "lookback/tensor/random.h"
#include "lookback/text/corpus.h"

namespace lookback {

// A pair as numbers: x1 .. xm </s> and y1 .. yn.
struct Example {
    std::vector<int> source;    // with </s>, so that a decoder can attend to the end of the sentence
    std::vector<int> target;    // without: a Batch adds what its two views of it need
};

std::vector<Example> encode(const std::vector<Pair>& pairs, const Vocabulary& source, const Vocabulary& target);

// Some examples side by side, one a row, the shorter ones filled up with <pad> at the end.
struct Batch {
    Ids source;                         // (B, S)  x1 .. xm </s>
    Ids target_in;                      // (B, T)  <s> y1 .. yn      what the decoder is given: at each step the token before
    Ids target_out;                     // (B, T)  y1 .. yn </s>     what it should say
    std::vector<int> source_lengths;    // (B)     m + 1, without padding
    std::vector<int> target_lengths;    // (B)     n + 1
    int target_tokens = 0;              // the sum of target_lengths: what the mean loss of the batch divides by
    std::vector<int> examples;          // (B)     each row's index in the data, to put results back in order

    int size() const { return static_cast<int>(examples.size()); }
};

// The examples with these indices, in this order. std::invalid_argument for no rows or an index that is not there.
Batch make_batch(const std::vector<Example>& examples, std::span<const int> rows);

// The batch's rows dealt into `count` contiguous parts that differ by one row at most, the longer ones first; each is
// padded to its own longest row only. A batch of fewer rows than `count` gives one part a row.
std::vector<Batch> shards(const Batch& batch, int count);

// The mask of the tokens that may be attended to: ids (B, S) -> (B, S), 1 for a token, 0 for <pad>.
Tensor key_padding(const Ids& ids, Where where = Where::current());

// Endless batches of like length for training: less padding is less work. An epoch is a random permutation of the
// examples, cut into pools of `pool` batches; each pool is sorted by source length, then target length, and cut into
// batches; all the epoch's batches are shuffled. Each example comes once an epoch, and the last batch of the last pool
// may be a smaller one. The order of an epoch depends on the seed and its number alone: epoch() and position() are all
// that a checkpoint needs. The examples must outlive the stream. std::invalid_argument for no examples, or sizes
// below 1.
class BatchStream {
  public:
    BatchStream(const std::vector<Example>& examples, int batch_size, Random random, int pool = 16);
    BatchStream(std::vector<Example>&&, int, Random, int = 16) = delete;

    Batch next();
    int epoch() const { return current_epoch; }          // epochs completed
    int position() const { return current_position; }    // batches taken of the current one
    void seek(int epoch, int position);                  // next() goes on from there
    std::uint64_t fingerprint() const;    // of the examples, the sizes and the seed: equal ones give the same batches

  private:
    const std::vector<Example>* examples;
    int batch_size, pool;
    Random random;    // never drawn from: each epoch splits its own off
    int current_epoch = 0, current_position = 0;
    std::vector<int> order;                      // the examples in the order of the current epoch
    std::vector<std::vector<int>> epoch_rows;    // the rows of each of its batches
};

// Each example exactly once, short sources first: for evaluation. Batch::examples tells which row is which.
std::vector<Batch> batches_in_order(const std::vector<Example>& examples, int batch_size);

}    // namespace lookback
