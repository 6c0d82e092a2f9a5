// Tensors in states that a debugger meets: whole, of many kinds, not constructed yet, freed, damaged; and a graph of 5,000 ops.
#include <cmath>
#include <cstring>
#include <vector>

#include "lookback/ops/elementwise.h"
#include "lookback/ops/shape.h"
#include "lookback/tensor/debugger.h"
#include "lookback/tensor/node.h"

using namespace lookback;

namespace {

[[gnu::noinline]] void stop_here() { asm volatile(""); }

struct Holder {
    Tensor inside;
    std::vector<Tensor> several;
};

void all_states() {
    Tensor scalar = Tensor::scalar(2.5), none, empty({0, 3});
    Tensor vector = Tensor({3}, {1, -2, 3}).requires_grad().named("bias");
    Holder holder{Tensor({2, 2}, {1, 2, 3, 4}).requires_grad(), {Tensor({2}), Tensor({2, 1}, {5, 6})}};
    const Tensor wide = Tensor({2, 30}), deep({2, 2, 3}, std::vector<real>(12, 7));
    const Tensor bad({2, 2}, {1, NAN, INFINITY, 4});
    const Tensor &reference = scalar, *pointer = &scalar;

    Tensor damaged({2, 3});
    damaged.node->size = 7;
    alignas(Tensor) unsigned char junk[sizeof(Tensor)];
    std::memset(junk, 0x5a, sizeof junk);
    const Tensor& not_a_tensor = *reinterpret_cast<const Tensor*>(junk);
    Tensor* dead = new Tensor({64}, std::vector<real>(64, 1));
    Node* freed = dead->node;
    delete dead;
    stop_here();
    damaged.node->size = 6;
    (void)reference, (void)pointer, (void)freed, (void)not_a_tensor;
}

void large() {
    Tensor x = Tensor({8, 16}, std::vector<real>(128, real(0.01))).requires_grad().named("x");
    Tensor y = x;
    for (int i = 0; i < 1666; ++i) y = tanh(y * y + x);
    const Tensor loss = sum(y);
    backward(loss);
}

}    // namespace

int main(int argc, char** argv) {
    if (argc > 1 && std::strcmp(argv[1], "large") == 0)
        large();
    else
        all_states();
}
