#pragma once

#include <cmath>
#include <functional>
#include <mutex>
#include <stdexcept>

#include "lookback/nn/module.h"
#include "lookback/tensor/workers.h"

namespace lookback {

// Adds the gradient of one leaf to that of another of the same shape, and frees it.
void move_gradient(const Tensor& source, const Tensor& target);
void free_gradients(const std::vector<Tensor>& leaves);

// Trains one model on several shards of a batch at once. Each shard has a replica of the model (the same weights, gradients of
// its own) and a graph of its own; the gradients are added in the order of the shards, and freed, so that there are about as many as
// threads. The number of shards belongs to the run, the number of threads to the machine: threads change the time, never a bit.
// Li et al. 2020, arXiv:2006.15704 (PyTorch DDP).
template <Module Model>
class DataParallel {
  public:
    DataParallel(Model& model, int shard_count, Workers& with) : parameters(parameters_of(model)), workers(with) {
        for (int shard = 0; shard < shard_count; ++shard) {
            replicas.push_back(replicate(model));
            replica_parameters.push_back(parameters_of(replicas.back()));
        }
    }

    // Sum of the shards' losses; the gradients of `model` grow by theirs. loss_of(replica, shard) gives the loss of one of `count`
    // shards, divided by what the whole batch is to be divided by. std::runtime_error if the loss is not finite: it names the op
    // that made the first NaN or inf. Other shards may have been added by then. std::invalid_argument for more than shard_count.
    double backward(int count, const std::function<Tensor(Model&, int shard)>& loss_of) {
        if (count > static_cast<int>(replicas.size()))
            throw std::invalid_argument("data parallel: more shards than replicas; make fewer shards");
        std::vector<double> losses(count);
        std::vector<bool> done(count);
        int added = 0;
        std::mutex adding;
        workers.run(count, [&](int shard) {
            restart_node_ids();
            free_gradients(replica_parameters[shard]);    // what an exception has left there
            {
                const Tensor loss = loss_of(replicas[shard], shard);
                losses[shard] = static_cast<double>(loss.item());
                if (!std::isfinite(losses[shard]))
                    throw std::runtime_error("the loss is not finite: " + explain_not_finite(loss));
                lookback::backward(loss, Graph::release);
            }
            const std::lock_guard lock(adding);
            done[shard] = true;
            for (; added < count && done[added]; ++added)
                for (std::size_t p = 0; p < parameters.size(); ++p) move_gradient(replica_parameters[added][p], parameters[p]);
        });
        double total = 0;
        for (const double loss : losses) total += loss;
        return total;
    }

  private:
    std::vector<Tensor> parameters;
    std::vector<Model> replicas;
    std::vector<std::vector<Tensor>> replica_parameters;
    Workers& workers;
};

}    // namespace lookback
