#include "lookback/optim/optimizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "kernels/kernels.h"

namespace lookback {

namespace {

std::vector<Tensor> zeros_like(const std::vector<Tensor>& parameters) {
    std::vector<Tensor> zeros;
    for (const Tensor& parameter : parameters)
        zeros.push_back(Tensor(parameter.shape()));    // emplace_back would give them a line of the standard library
    return zeros;
}

void check(const char* option, double value, double below = std::numeric_limits<double>::infinity()) {
    if (!(value >= 0 && value < below))
        throw std::invalid_argument(fmt::format("{} of {}: it must be at least 0 and below {}", option, value, below));
}

double sum_of_squares(std::size_t n, const real* x) {
    const real squares = kernels::dot(n, x, x);
    if (std::isnormal(squares)) return static_cast<double>(squares);
    double sum = 0;    // beyond what a float holds, at either end
    for (std::size_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    return sum;
}

double power(double base, int exponent) {    // std::pow differs between C libraries
    double result = 1;
    for (; exponent > 0; exponent /= 2, base *= base)
        if (exponent % 2) result *= base;
    return result;
}

}    // namespace

Sgd::Sgd(std::vector<Tensor> list, const SgdOptions& o) : options(o), parameters(std::move(list)) {
    check("Sgd: lr", o.lr);
    check("Sgd: momentum", o.momentum);
}

void Sgd::step() {
    if (options.momentum != 0 && velocity.empty()) velocity = zeros_like(parameters);
    for (std::size_t p = 0; p < parameters.size(); ++p) {
        const Tensor& w = parameters[p];
        const real* update = w.grad();
        if (!update) continue;
        if (options.momentum != 0) {
            real* v = velocity[p].data();
            kernels::scale(w.size(), static_cast<real>(options.momentum), v, v);
            kernels::accumulate(w.size(), w.grad(), v);
            update = v;
        }
        kernels::axpy(w.size(), static_cast<real>(-options.lr), update, w.data());
    }
}

Adam::Adam(std::vector<Tensor> list, const AdamOptions& o, Workers* shared_by)
    : options(o),
      parameters(std::move(list)),
      first_moment(zeros_like(parameters)),
      second_moment(zeros_like(parameters)),
      workers(shared_by) {
    check("Adam: lr", o.lr);
    check("Adam: beta1", o.beta1, 1);
    check("Adam: beta2", o.beta2, 1);
    check("Adam: eps", o.eps);
    check("Adam: weight_decay", o.weight_decay);
}

void Adam::step() {
    ++steps;
    const kernels::AdamStep step{
        .learning_rate = static_cast<real>(options.lr),
        .beta1 = static_cast<real>(options.beta1),
        .beta2 = static_cast<real>(options.beta2),
        .epsilon = static_cast<real>(options.eps),
        .weight_decay = static_cast<real>(options.weight_decay),
        .correction1 = static_cast<real>(1 / (1 - power(options.beta1, steps))),
        .correction2 = static_cast<real>(1 / (1 - power(options.beta2, steps))),
    };
    const auto update = [&](int p) {
        const Tensor& w = parameters[p];
        if (w.grad()) kernels::adam(w.size(), w.data(), w.grad(), first_moment[p].data(), second_moment[p].data(), step);
    };
    const int count = static_cast<int>(parameters.size());
    if (workers) return workers->run(count, update);
    for (int p = 0; p < count; ++p) update(p);
}

double clip_grad_norm(const std::vector<Tensor>& parameters, double max_norm) {
    if (!(max_norm >= 0)) throw std::invalid_argument(fmt::format("clip_grad_norm: a norm of at most {}", max_norm));
    double squares = 0;
    for (const Tensor& w : parameters)
        if (w.grad()) squares += sum_of_squares(w.size(), w.grad());
    const double norm = std::sqrt(squares);
    if (norm > max_norm) {
        const auto factor = static_cast<real>(max_norm / norm);
        for (const Tensor& w : parameters)
            if (w.grad()) kernels::scale(w.size(), factor, w.grad(), w.grad());
    }
    return norm;
}

double warmup_cosine(int step, int warmup, int total) {
    if (step < warmup) return static_cast<double>(step + 1) / warmup;
    const double progress = static_cast<double>(step - warmup) / std::max(1, total - warmup);
    return (1 + kernels::cos(3.14159265358979324 * std::min(progress, 1.0))) / 2;
}

double warmup_inverse_sqrt(int step, int warmup) {
    const double now = step + 1, peak = std::max(1, warmup);
    return now < peak ? now / peak : std::sqrt(peak / now);
}

}    // namespace lookback
