#include "lookback/text/batch.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <stdexcept>

#include "lookback/tensor/node.h"

namespace lookback {

namespace {

// Ids of the given size, filled with <pad>.
Ids padding(int rows, int columns) {
    Ids ids{{rows, columns}, {}};
    ids.values.assign(element_count(ids.shape), Vocabulary::pad);
    return ids;
}

int* row_of(Ids& ids, int row) { return ids.values.data() + row * ids.shape[1]; }
const int* row_of(const Ids& ids, int row) { return ids.values.data() + row * ids.shape[1]; }

// The first `count` rows of a batch after `first`.
Batch part_of(const Batch& batch, int first, int count) {
    Batch part;
    const auto cut = [&](const std::vector<int>& all) {
        return std::vector<int>(all.begin() + first, all.begin() + first + count);
    };
    part.source_lengths = cut(batch.source_lengths);
    part.target_lengths = cut(batch.target_lengths);
    part.examples = cut(batch.examples);
    part.target_tokens = std::accumulate(part.target_lengths.begin(), part.target_lengths.end(), 0);
    const auto narrow = [&](const Ids& all, const std::vector<int>& lengths) {
        Ids ids = padding(count, *std::max_element(lengths.begin(), lengths.end()));
        for (int row = 0; row < count; ++row) std::copy_n(row_of(all, first + row), ids.shape[1], row_of(ids, row));
        return ids;
    };
    part.source = narrow(batch.source, part.source_lengths);
    part.target_in = narrow(batch.target_in, part.target_lengths);
    part.target_out = narrow(batch.target_out, part.target_lengths);
    return part;
}

void sort_by_length(const std::vector<Example>& examples, std::span<int> rows) {
    std::stable_sort(rows.begin(), rows.end(), [&](int a, int b) {
        const Example &x = examples[a], &y = examples[b];
        if (x.source.size() != y.source.size()) return x.source.size() < y.source.size();
        return x.target.size() < y.target.size();
    });
}

std::vector<std::vector<int>> cut(std::span<const int> rows, std::size_t size) {
    std::vector<std::vector<int>> parts;
    for (; !rows.empty(); rows = rows.subspan(parts.back().size())) {
        const auto part = rows.first(std::min(rows.size(), size));
        parts.emplace_back(part.begin(), part.end());
    }
    return parts;
}

void check_size(const char* op, const char* what, int size) {
    if (size < 1) throw std::invalid_argument(fmt::format("{}: {} is {}: it must be 1 or more", op, what, size));
}

}    // namespace

std::vector<Example> encode(const std::vector<Pair>& pairs, const Vocabulary& source, const Vocabulary& target) {
    std::vector<Example> examples;
    examples.reserve(pairs.size());
    for (const Pair& pair : pairs) {
        Example& example = examples.emplace_back(Example{source.encode(pair.source), target.encode(pair.target)});
        example.source.push_back(Vocabulary::end);
    }
    return examples;
}

Batch make_batch(const std::vector<Example>& examples, std::span<const int> rows) {
    if (rows.empty()) throw std::invalid_argument("make_batch: no rows: a batch has one or more");
    Batch batch;
    for (const int row : rows) {
        if (row < 0 || static_cast<std::size_t>(row) >= examples.size()) {
            throw std::invalid_argument(fmt::format("make_batch: row {} is not one of {} examples", row, examples.size()));
        }
        batch.examples.push_back(row);
        batch.source_lengths.push_back(static_cast<int>(examples[row].source.size()));
        batch.target_lengths.push_back(static_cast<int>(examples[row].target.size()) + 1);
        batch.target_tokens += batch.target_lengths.back();
    }
    const int B = batch.size();
    const int S = *std::max_element(batch.source_lengths.begin(), batch.source_lengths.end());
    const int T = *std::max_element(batch.target_lengths.begin(), batch.target_lengths.end());
    batch.source = padding(B, S);
    batch.target_in = padding(B, T);
    batch.target_out = padding(B, T);
    for (int b = 0; b < B; ++b) {
        const Example& example = examples[rows[b]];
        std::copy(example.source.begin(), example.source.end(), row_of(batch.source, b));
        row_of(batch.target_in, b)[0] = Vocabulary::begin;
        std::copy(example.target.begin(), example.target.end(), row_of(batch.target_in, b) + 1);
        std::copy(example.target.begin(), example.target.end(), row_of(batch.target_out, b));
        row_of(batch.target_out, b)[example.target.size()] = Vocabulary::end;
    }
    return batch;
}

std::vector<Batch> shards(const Batch& batch, int count) {
    check_size("shards", "count", count);
    const int parts = std::min(count, batch.size());
    std::vector<Batch> result;
    for (int part = 0, first = 0; part < parts; ++part) {
        const int rows = batch.size() / parts + (part < batch.size() % parts ? 1 : 0);
        result.push_back(part_of(batch, first, rows));
        first += rows;
    }
    return result;
}

Tensor key_padding(const Ids& ids, Where where) {
    std::vector<real> mask;
    mask.reserve(ids.values.size());
    for (const int id : ids.values) mask.push_back(id == Vocabulary::pad ? real(0) : real(1));
    return Tensor(ids.shape, std::move(mask), where);
}

BatchStream::BatchStream(const std::vector<Example>& data, int rows_a_batch, Random generator, int batches_a_pool)
    : examples(&data), batch_size(rows_a_batch), pool(batches_a_pool), random(generator) {
    check_size("BatchStream", "batch_size", batch_size);
    check_size("BatchStream", "pool", pool);
    if (data.empty()) throw std::invalid_argument("BatchStream: no examples: is the training file empty?");
    seek(0, 0);
}

void BatchStream::seek(int epoch, int position) {
    Random shuffler = random.split(static_cast<std::uint64_t>(epoch));
    order.resize(examples->size());    // kept, for its memory
    std::iota(order.begin(), order.end(), 0);
    shuffler.shuffle(order);
    std::vector<std::vector<int>> batches;
    for (std::vector<int>& rows : cut(order, static_cast<std::size_t>(batch_size) * pool)) {
        sort_by_length(*examples, rows);
        for (std::vector<int>& batch : cut(rows, batch_size)) batches.push_back(std::move(batch));
    }
    if (epoch < 0 || position < 0 || static_cast<std::size_t>(position) >= batches.size()) {
        throw std::invalid_argument(fmt::format("BatchStream: no batch {} in epoch {}: an epoch has batches 0 .. {}", position,
                                                epoch, batches.size() - 1));
    }
    epoch_rows.clear();
    for (const int batch : shuffler.permutation(static_cast<int>(batches.size()))) {
        epoch_rows.push_back(std::move(batches[batch]));
    }
    current_epoch = epoch;
    current_position = position;
}

Batch BatchStream::next() {
    Batch batch = make_batch(*examples, epoch_rows[current_position]);
    if (++current_position == static_cast<int>(epoch_rows.size())) seek(current_epoch + 1, 0);
    return batch;
}

// FNV-1a (Fowler, Noll & Vo), a word at a time.
std::uint64_t BatchStream::fingerprint() const {
    std::uint64_t hash = 0xcbf29ce484222325;
    const auto add = [&](std::uint64_t word) { hash = (hash ^ word) * 0x100000001b3; };
    add(static_cast<std::uint64_t>(batch_size));
    add(static_cast<std::uint64_t>(pool));
    for (const std::uint64_t word : random.state) add(word);
    for (const Example& example : *examples)
        for (const std::vector<int>* sentence : {&example.source, &example.target}) {
            add(sentence->size());
            for (const int id : *sentence) add(static_cast<std::uint64_t>(id));
        }
    return hash;
}

std::vector<Batch> batches_in_order(const std::vector<Example>& examples, int batch_size) {
    check_size("batches_in_order", "batch_size", batch_size);
    std::vector<int> order(examples.size());
    std::iota(order.begin(), order.end(), 0);
    sort_by_length(examples, order);
    std::vector<Batch> batches;
    for (const std::vector<int>& rows : cut(order, batch_size)) batches.push_back(make_batch(examples, rows));
    return batches;
}

}    // namespace lookback
