#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "lookback/tensor/tensor.h"

namespace lookback {

// A module is a plain struct: its parameters are public Tensors, operator() is its equation, and parameters(visit) shows each
// parameter once, under its name in torch.nn's state_dict. There is no base class and no registry:
//
//     struct Mlp {
//         Linear hidden, out;
//         Tensor operator()(const Tensor& x) const { return out(relu(hidden(x))); }
//         void parameters(const Visit& visit) {
//             hidden.parameters(within("hidden", visit));
//             out.parameters(within("out", visit));
//         }
//     };
using Visit = std::function<void(const std::string& name, Tensor& parameter)>;

// Whatever has parameters to show is a module.
template <class Model>
concept Module = requires(Model& model, const Visit& visit) {
    model.parameters(visit);
};

// Shows a member's parameters as "prefix.name".
Visit within(std::string prefix, const Visit& visit);

// A leaf that wants a gradient, uniform in [-bound, bound].
Tensor uniform_parameter(Shape shape, double bound, Random& random);
Tensor constant_parameter(Shape shape, double value);

// Its gradient to zero. A parameter that does not require one gets none, and so no optimiser changes it.
void zero_grad_of(const std::string& name, Tensor& parameter);

// First beat of a training step: all gradients to zero, node ids to #1.
template <Module Model>
void zero_grad(Model& model) {
    restart_node_ids();
    model.parameters(zero_grad_of);
}

// All parameters, named: a tensor that appears twice (tied weights) is listed once.
template <Module Model>
std::vector<Tensor> parameters_of(Model& model) {
    std::map<const Node*, bool> seen;
    std::vector<Tensor> list;
    model.parameters([&](const std::string& name, Tensor& parameter) {
        if (!seen.emplace(parameter.node, true).second) return;
        list.push_back(parameter.named(name));
    });
    return list;
}

template <Module Model>
std::size_t parameter_count(Model& model) {
    std::size_t count = 0;
    for (const Tensor& parameter : parameters_of(model)) count += parameter.size();
    return count;
}

// A second model on the same weights with gradients of its own: what one shard of a batch trains on.
template <Module Model>
Model replicate(const Model& model) {
    Model replica = model;    // copies handles: the same weights, and for now the same gradients
    std::map<const Node*, Tensor> twins;
    replica.parameters([&](const std::string&, Tensor& parameter) {
        Tensor& twin = twins[parameter.node];
        if (!twin) twin = shared_weights(parameter);
        parameter = twin;
    });
    return replica;
}

}    // namespace lookback
