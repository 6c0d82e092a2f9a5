#pragma once

#include "lookback/nn/module.h"
#include "lookback/tensor/workers.h"

namespace lookback {

// w -= lr v with v = momentum v + dw, as torch.optim.SGD. Polyak 1964.
struct SgdOptions {
    double lr = 0.1;
    double momentum = 0;
};

class Sgd {
  public:
    Sgd(std::vector<Tensor> parameters, const SgdOptions& with);
    template <Module Model>
    Sgd(Model& model, const SgdOptions& with) : Sgd(parameters_of(model), with) {}
    void step();

    SgdOptions options;
    std::vector<Tensor> parameters, velocity;
};

// m = beta1 m + (1 - beta1) dw,  v = beta2 v + (1 - beta2) dw^2,  w -= lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps).
// Kingma & Ba 2015, arXiv:1412.6980, algorithm 1. With weight_decay, w also loses lr weight_decay w, outside the moments: that
// is AdamW, Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2 (there without lr; with it as in torch.optim.AdamW).
struct AdamOptions {
    double lr = 1e-3;
    double beta1 = 0.9, beta2 = 0.999;
    double eps = 1e-8;
    double weight_decay = 0;
};

// The workers, if given, share the parameters of a step: threads change the time, never a bit.
class Adam {
  public:
    Adam(std::vector<Tensor> parameters, const AdamOptions& with, Workers* shared_by = nullptr);
    template <Module Model>
    Adam(Model& model, const AdamOptions& with, Workers* shared_by = nullptr) : Adam(parameters_of(model), with, shared_by) {}
    void step();

    AdamOptions options;
    int steps = 0;
    std::vector<Tensor> parameters, first_moment, second_moment;

  private:
    Workers* workers;
};

// Scales all gradients by max_norm / norm if their common Euclidean norm is larger; returns the norm before. A zero gradient
// stays as it is. Pascanu et al. 2013, arXiv:1211.5063, algorithm 1.
double clip_grad_norm(const std::vector<Tensor>& parameters, double max_norm);
template <Module Model>
double clip_grad_norm(Model& model, double max_norm) {
    return clip_grad_norm(parameters_of(model), max_norm);
}

// Factors for the learning rate, for step = 0, 1, ..., total - 1.
// Rises in a line to 1 over `warmup` steps, then follows half a cosine down to 0. Loshchilov & Hutter 2017, arXiv:1608.03983, eq. 5.
double warmup_cosine(int step, int warmup, int total);
// Rises in a line over `warmup` steps, then falls as 1 / sqrt(step); 1 at its peak. Vaswani et al. 2017, section 5.3.
double warmup_inverse_sqrt(int step, int warmup);

}    // namespace lookback
