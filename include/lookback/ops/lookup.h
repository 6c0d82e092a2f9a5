#pragma once

#include "lookback/tensor/tensor.h"

namespace lookback {

// Token numbers, such as a batch of sentences (B, T), row-major.
struct Ids {
    Shape shape;
    std::vector<int> values;
};

// Row ids of a table: ids (...), weight (V, E) -> (..., E). y_i = W_{id_i}; dW_v = sum of dy_i over all i with id_i = v.
// std::invalid_argument, with the place, for an id outside 0 .. V-1.
Tensor embedding(const Ids& ids, const Tensor& weight, Where where = Where::current());

// The rows with these indices along the first dimension, in this order; one may come twice: (B, ...) -> (rows, ...).
// std::invalid_argument for an index that is not there. As torch.index_select with dim = 0.
Tensor index_select(const Tensor& x, const std::vector<int>& rows, Where where = Where::current());

// Training or evaluation, passed to what behaves differently in the two: in training it carries the random numbers.
//     model(batch, {&random})      dropout drops          model(batch, evaluation)      dropout does nothing
struct Mode {
    Random* random = nullptr;
    bool training() const { return random != nullptr; }
};
inline constexpr Mode evaluation{};

// In training each element becomes 0 with probability p, and the others are divided by 1 - p so that the mean stays; in
// evaluation x itself is returned. std::invalid_argument for a p outside [0, 1). Srivastava et al. 2014, section 4 (in its
// "inverted" form).
Tensor dropout(const Tensor& x, double p, Mode mode, Where where = Where::current());

struct CrossEntropyOptions {
    int ignore_index = -100;       // targets with this id do not count: padding
    double label_smoothing = 0;    // this much of the target is spread evenly over all classes (Szegedy et al. 2016, s. 7)
    double divisor = 0;            // the sum is divided by this; 0: by the number of targets that count
};

// Mean of -ln softmax(logits)_target over the targets that count: logits (..., V), targets (...) -> scalar, 0 if none counts.
// With l = ln softmax(logits) and s = label_smoothing: loss = -((1 - s) l_target + s / V sum_v l_v). std::invalid_argument for a
// target that is none of the V classes and not to be ignored, and for an s outside [0, 1].
// The rows are added one by one: of more than some 100,000 at once the loss is known to three digits or less. Evaluate in batches.
Tensor cross_entropy(const Tensor& logits, const Ids& targets, const CrossEntropyOptions& options = {},
                     Where where = Where::current());

}    // namespace lookback
