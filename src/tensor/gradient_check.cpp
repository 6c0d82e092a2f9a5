#include "lookback/tensor/gradient_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "lookback/tensor/node.h"

namespace lookback {

namespace op {

// y = sum_i projection_i x_i          dx_i = dy projection_i
struct Project final : Node {
    std::vector<real> projection;

    void forward() override {
        double total = 0;
        for (std::size_t i = 0; i < projection.size(); ++i) total += double{projection[i]} * double{inputs[0].data()[i]};
        value = total;
        data[0] = static_cast<real>(total);
    }
    void backward() override {
        real* dx = grad_of(0);
        for (std::size_t i = 0; i < projection.size(); ++i) dx[i] += grad[0] * projection[i];
    }
    double value = 0;    // before it is rounded to real
};

}    // namespace op

GradientCheck check_gradient(const std::function<Tensor()>& f, std::vector<Tensor> leaves) {
    const auto loss_of = [&] {
        const Tensor y = f();
        Random random(20170612);
        auto* node = new op::Project;
        for (std::size_t i = 0; i < y.size(); ++i) node->projection.push_back(static_cast<real>(random.normal()));
        return record(node, "project", {}, {y}, Where::current());
    };
    const auto value_of = [&] { return static_cast<op::Project*>(loss_of().node)->value; };

    for (Tensor& leaf : leaves) leaf.zero_grad();
    backward(loss_of());

    struct Restored {    // should f throw of what it is given
        real& x;
        const real before;
        ~Restored() { x = before; }
    };
    constexpr double step = std::is_same_v<real, double> ? 1e-5 : 1e-2;
    GradientCheck result;
    for (Tensor& leaf : leaves)
        for (std::size_t i = 0; i < leaf.size(); ++i) {
            real& x = leaf.data()[i];
            const real before = x;
            const Restored at_the_end{x, before};
            x = static_cast<real>(before + step);
            const double x_high = x, high = value_of();
            x = static_cast<real>(before - step);
            const double x_low = x, low = value_of();
            const double analytic = leaf.grad()[i], numeric = (high - low) / (x_high - x_low);
            double error = std::abs(analytic - numeric) / std::max({1.0, std::abs(analytic), std::abs(numeric)});
            if (std::isnan(error)) error = std::numeric_limits<double>::infinity();
            if (error <= result.worst) continue;
            result.worst = error;
            result.where =
                fmt::format("element {} of {}: analytic {:.6g}, numeric {:.6g}", i, label(*leaf.node), analytic, numeric);
        }
    return result;
}

}    // namespace lookback
