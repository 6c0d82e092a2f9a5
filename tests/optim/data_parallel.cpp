#include "lookback/optim/data_parallel.h"

#include <sys/resource.h>

#include <atomic>
#include <filesystem>
#include <fstream>

#include "lookback/models/translator.h"
#include "lookback/ops/matmul.h"
#include "lookback/optim/optimizer.h"
#include "lookback/tensor/debugger.h"
#include "lookback/tensor/node.h"
#include "ops/expect.h"
#include "program/child.h"

using namespace lookback;
using namespace lookback::expect;

namespace {

const std::vector<Example> examples = {
    {{4, 5, 2}, {4, 5}}, {{7, 2}, {6, 7, 4}}, {{8, 4, 2}, {}}, {{5, 5, 5, 2}, {4}}, {{2}, {7, 7}}};
const std::vector<int> all_rows = {0, 1, 2, 3, 4};

AttentionTranslator make_model() {
    Random random(1);
    return AttentionTranslator(9, 8, random, 5, 6, 4);
}

Tensor loss_of(const AttentionTranslator& model, const Batch& part, const Batch& batch) {
    return cross_entropy(model(part), part.target_out,
                         {.ignore_index = Vocabulary::pad, .divisor = static_cast<double>(batch.target_tokens)});
}

// Losses and weights of three training steps, as one list.
std::vector<double> train(int threads, int shard_count, bool workers_update = true) {
    AttentionTranslator model = make_model();
    Workers workers(threads);
    DataParallel<AttentionTranslator> parallel(model, shard_count, workers);
    Adam adam(model, {.lr = 0.01}, workers_update ? &workers : nullptr);
    std::vector<double> bits;
    for (int step = 0; step < 3; ++step) {
        const Batch batch = make_batch(examples, all_rows);
        const std::vector<Batch> parts = shards(batch, shard_count);
        zero_grad(model);
        bits.push_back(parallel.backward(static_cast<int>(parts.size()), [&](AttentionTranslator& replica, int part) {
            return loss_of(replica, parts[part], batch);
        }));
        adam.step();
    }
    for (const Tensor& parameter : parameters_of(model))
        bits.insert(bits.end(), parameter.data(), parameter.data() + parameter.size());
    return bits;
}

// loss = sum(w * x) of one weight
struct Weight {
    Tensor w = Tensor({1}, {3}).requires_grad();
    void parameters(const Visit& visit) { visit("w", w); }
};

}    // namespace

TEST_CASE("1, 2, 3 and 4 threads give equal bits") {
    for (const int shard_count : {1, 2, 4}) {
        const std::vector<double> one = train(1, shard_count, false);
        for (int threads = 2; threads <= 4; ++threads) CHECK(train(threads, shard_count) == one);
    }
}

TEST_CASE("the losses and gradients of the shards add up to those of the batch") {
    AttentionTranslator whole = make_model(), model = make_model();
    const Batch batch = make_batch(examples, all_rows);
    zero_grad(whole);
    const Tensor loss = loss_of(whole, batch, batch);
    backward(loss);
    Workers workers(2);
    for (int shard_count = 1; shard_count <= 5; ++shard_count) {
        INFO(shard_count);
        DataParallel<AttentionTranslator> parallel(model, shard_count, workers);
        const std::vector<Batch> parts = shards(batch, shard_count);
        zero_grad(model);
        const double total = parallel.backward(static_cast<int>(parts.size()), [&](AttentionTranslator& replica, int part) {
            return loss_of(replica, parts[part], batch);
        });
        CHECK(total == doctest::Approx(double{loss.item()}).epsilon(1e-6));
        for (std::size_t i = 0; i < parameters_of(model).size(); ++i)
            CHECK(distance(gradient(parameters_of(model)[i]), gradient(parameters_of(whole)[i])) <= 1e-6);
    }
}

TEST_CASE("gradients of the model grow; those of a shard start afresh at each step") {
    Weight model;
    zero_grad(model);
    Workers workers(1);
    DataParallel<Weight> parallel(model, 2, workers);
    const auto loss_of_part = [](Weight& replica, int part) { return sum(replica.w * (part + 1)); };
    CHECK(parallel.backward(2, loss_of_part) == 3 * 1 + 3 * 2);
    CHECK(gradient(model.w) == Values{3});
    CHECK(parallel.backward(1, loss_of_part) == 3);    // what the second shard left does not count again
    CHECK(gradient(model.w) == Values{4});
    CHECK(parallel.backward(0, loss_of_part) == 0);
    CHECK(gradient(model.w) == Values{4});
}

TEST_CASE("a shard that throws leaves nothing for the next step") {
    Weight model;
    Workers workers(1);
    DataParallel<Weight> parallel(model, 2, workers);
    bool fails = true;
    const auto loss_of_part = [&](Weight& replica, int part) {
        if (fails && part == 0) throw std::runtime_error("interrupted");    // the other one is done, and waits for it
        return sum(replica.w * (part + 1));
    };
    CHECK_THROWS_WITH_AS(parallel.backward(2, loss_of_part), "interrupted", std::runtime_error);
    fails = false;
    zero_grad(model);
    parallel.backward(2, loss_of_part);
    CHECK(gradient(model.w) == Values{3});
}

TEST_CASE("where the system grants no more threads, those that there are do all of the work") {
    const Outcome outcome = run_in_child([] {
        long pages = 0;
        std::ifstream("/proc/self/statm") >> pages;
        rlimit limit{};
        getrlimit(RLIMIT_AS, &limit);
        const rlim_t before = limit.rlim_cur;
        limit.rlim_cur = static_cast<rlim_t>(pages * sysconf(_SC_PAGESIZE) + (100 << 20));
        setrlimit(RLIMIT_AS, &limit);
        Workers workers(100);    // with 8 MiB of stack each
        limit.rlim_cur = before;
        setrlimit(RLIMIT_AS, &limit);
        std::atomic<int> done = 0;
        workers.run(500, [&](int) { ++done; });
        const auto threads = std::distance(std::filesystem::directory_iterator("/proc/self/task"), {});
        return done == 500 && threads < 100 ? 0 : 1;
    });
    CHECK(outcome.status == 0);
}

TEST_CASE("a task that gives its own workers tasks is refused, and they go on") {
    for (const int threads : {1, 2}) {
        Workers workers(threads);
        CHECK_THROWS_AS(workers.run(2, [&](int) { workers.run(2, [](int) {}); }), std::logic_error);
        std::atomic<int> done = 0;
        workers.run(3, [&](int) { ++done; });
        CHECK(done == 3);
    }
    Workers few(-1);
    few.run(-1, [](int) { CHECK(false); });
}

TEST_CASE("more shards than replicas are refused") {
    Weight model;
    Workers workers(1);
    DataParallel<Weight> parallel(model, 2, workers);
    CHECK_THROWS_WITH_AS(parallel.backward(3, [](Weight& replica, int) { return sum(replica.w); }),
                         "data parallel: more shards than replicas; make fewer shards", std::invalid_argument);
}

TEST_CASE("a loss that becomes NaN or inf names the op that made the first one, and its line") {
    const Unchecked unchecked;
    Weight model;
    zero_grad(model);
    for (int threads = 1; threads <= 2; ++threads) {
        Workers workers(threads);
        DataParallel<Weight> parallel(model, 2, workers);
        unsigned line = 0;
        std::string message = "(no exception)";
        try {
            parallel.backward(2, [&](Weight& replica, int part) {
                const Tensor shifted = replica.w - (part == 1 ? 4 : 0);
                if (part == 1) line = __LINE__ + 1;
                const Tensor root = sqrt(shifted);
                return sum(root * 2);
            });
        } catch (const std::runtime_error& error) {
            message = error.what();
        }
        INFO(message);
        CHECK(message.starts_with("the loss is not finite: the first NaN is element (0) of #3 sqrt (1), made at "));
        CHECK(message.ends_with("tests/optim/data_parallel.cpp:" + std::to_string(line)));
    }
    Workers workers(1);
    DataParallel<Weight> parallel(model, 1, workers);
    model.w.data()[0] = not_a_number;
    try {
        parallel.backward(1, [](Weight& replica, int) { return sum(replica.w * 2); });
        CHECK(false);
    } catch (const std::runtime_error& error) {
        CHECK(std::string(error.what()).starts_with("the loss is not finite: the first NaN is element (0) of w (1), made at "));
    }
}

TEST_CASE("a loss that is inf is as bad as one that is NaN") {
    const Unchecked unchecked;
    Weight model;
    Workers workers(1);
    DataParallel<Weight> parallel(model, 1, workers);
    CHECK_THROWS_WITH_AS(parallel.backward(1, [](Weight& replica, int) { return sum(replica.w / 0); }),
                         doctest::Contains("the loss is not finite: the first inf is element (0) of #"), std::runtime_error);
}

TEST_CASE("a step leaves neither the shards' gradients nor their graphs") {
    Weight model;
    Workers workers(1);
    DataParallel<Weight> parallel(model, 2, workers);
    std::vector<Weight*> replicas(2);
    Tensor kept;
    parallel.backward(2, [&](Weight& replica, int shard) {
        replicas[shard] = &replica;
        kept = replica.w * 2;
        return sum(kept);
    });
    for (const Weight* replica : replicas) CHECK(replica->w.grad() == nullptr);
    CHECK(kept.node->inputs.empty());
}

TEST_CASE("of several exceptions that of the lowest task is thrown, and all tasks are done") {
    Workers workers(1);
    std::vector<int> done;
    CHECK_THROWS_WITH_AS(workers.run(4,
                                     [&](int task) {
                                         done.push_back(task);
                                         if (task % 2 == 1) throw std::runtime_error(std::to_string(task));
                                     }),
                         "1", std::runtime_error);
    CHECK(done == std::vector{0, 1, 2, 3});
}

TEST_CASE("a gradient moves only between tensors of one shape") {
    Tensor a({3}), b({2});
    a.requires_grad().zero_grad();
    a.grad()[0] = 5;
    CHECK_THROWS_WITH_AS(move_gradient(a, b), "move_gradient: from (3) to (2): shapes differ", std::invalid_argument);
    move_gradient(a, a);
    CHECK(a.grad()[0] == 5);
}
