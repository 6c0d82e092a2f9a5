#include "lookback/nn/transformer.h"

#include <set>

#include "lookback/tensor/node.h"
#include "ops/expect.h"

using namespace lookback;
using namespace lookback::expect;

namespace {

const Tensor unpadded;

TransformerOptions options(bool norm_first) {
    return {.size = 6, .heads = 3, .feed_forward = 10, .encoder_layers = 2, .decoder_layers = 2, .norm_first = norm_first};
}

Tensor row_of(const Tensor& x, int b) { return slice(x, 0, b, b + 1); }

}    // namespace

TEST_CASE("decoding step by step with kept keys and values equals decoding the whole sentence") {
    for (const bool norm_first : {true, false}) {
        Random random(1);
        const Transformer transformer(options(norm_first), random);
        const Tensor source = random_tensor({2, 5, 6}), target = random_tensor({2, 4, 6}, 3),
                     padding({2, 5}, {1, 1, 1, 0, 0, 1, 1, 1, 1, 1});
        const Tensor memory = transformer.encode(source, padding);
        std::vector<Tensor> looks;
        const Tensor whole = transformer.decode(target, memory, padding, evaluation, &looks);
        auto caches = transformer.start(memory);
        for (int step = 0; step < 4; ++step) {
            std::vector<Tensor> look;
            const Tensor y = transformer.step(slice(target, 1, step, step + 1), caches, padding, &look);
            CHECK(y.values() == slice(whole, 1, step, step + 1).values());
            for (int layer = 0; layer < 2; ++layer)
                CHECK(look[layer].values() == slice(looks[layer], 2, step, step + 1).values());
        }
    }
}

TEST_CASE("a decoder's output does not depend on later tokens, which get exactly no gradient") {
    for (const bool norm_first : {true, false}) {
        Random random(1);
        const Transformer transformer(options(norm_first), random);
        const Tensor memory = random_tensor({1, 3, 6});
        Tensor target = random_tensor({1, 4, 6}, 3).requires_grad(), changed(target.shape(), target.values());
        for (int i = 2 * 6; i < 4 * 6; ++i) changed.data()[i] += 1;
        const Tensor first_two = slice(transformer.decode(target, memory, unpadded), 1, 0, 2);
        CHECK(first_two.values() == slice(transformer.decode(changed, memory, unpadded), 1, 0, 2).values());
        backward_through_projection(first_two, {target});
        const Values dx = gradient(target);
        CHECK(Values(dx.begin() + 12, dx.end()) == Values(12, 0));
        CHECK(std::ranges::count(dx, real(0)) == 12);
    }
}

TEST_CASE("a padded source token receives no attention and exactly no gradient, and has exactly no effect") {
    for (const bool norm_first : {true, false}) {
        Random random(1);
        const Transformer transformer(options(norm_first), random);
        Tensor source = random_tensor({2, 4, 6}).requires_grad();
        const Tensor target = random_tensor({2, 3, 6}, 3), padding({2, 4}, {1, 1, 0, 0, 1, 1, 1, 1});
        Tensor changed(source.shape(), source.values());
        for (int i = 2 * 6; i < 4 * 6; ++i) changed.data()[i] += 1;

        std::vector<Tensor> of_encoder, of_decoder;
        const Tensor memory = transformer.encode(source, padding, evaluation, &of_encoder);
        const Tensor y = transformer.decode(target, memory, padding, evaluation, &of_decoder);
        for (const Tensor& weights : of_encoder) CHECK(slice(row_of(weights, 0), 3, 2, 4).values() == Values(3 * 4 * 2, 0));
        for (const Tensor& weights : of_decoder) CHECK(slice(row_of(weights, 0), 3, 2, 4).values() == Values(3 * 3 * 2, 0));
        CHECK(y.values() == transformer(changed, target, padding).values());

        backward_through_projection(y, {source});
        const Values dx = gradient(source);
        CHECK(Values(dx.begin() + 12, dx.begin() + 24) == Values(12, 0));
        CHECK(std::ranges::count(dx, real(0)) == 12);
    }
}

TEST_CASE("a sentence's output does not depend on the others in its batch, nor on its padding, to the bit") {
    Random random(1);
    const Transformer transformer(options(true), random);
    const Tensor source = random_tensor({2, 5, 6}), target = random_tensor({2, 3, 6}, 3),
                 padding({2, 5}, {1, 1, 0, 0, 0, 1, 1, 1, 1, 1});
    const Tensor batch = transformer(source, target, padding);
    const Tensor alone = transformer(slice(row_of(source, 0), 1, 0, 2), row_of(target, 0), unpadded);
    CHECK(row_of(batch, 0).values() == alone.values());
}

TEST_CASE("an encoder without positions gives the words of a permuted sentence the same outputs") {
    Random random(1);
    const TransformerEncoderLayer layer(options(true), random);
    const Tensor x = random_tensor({1, 3, 6});
    const auto token = [](const Tensor& y, int t) { return slice(y, 1, t, t + 1); };
    const Tensor y = layer(x, {}), permuted = layer(concat({token(x, 2), token(x, 0), token(x, 1)}, 1), {});
    CHECK(distance(permuted.values(), concat({token(y, 2), token(y, 0), token(y, 1)}, 1).values()) <= 1e-6);
}

TEST_CASE("post-norm layers end in a norm, pre-norm layers in a sum") {
    Random random(1);
    const TransformerEncoderLayer post(options(false), random);
    const Tensor y = post(random_tensor({1, 4, 6}), {});
    CHECK(distance(mean(y, 2).values(), Values(4, 0)) <= 1e-6);
    CHECK(distance(mean(y * y, 2).values(), Values(4, 1)) <= 1e-4);
    TransformerEncoderLayer pre(options(true), random);    // with nothing added, x comes through untouched
    for (Linear* last : {&pre.self_attn.out_proj, &pre.linear2}) {
        last->weight = Tensor(last->weight.shape());
        last->bias = Tensor(last->bias.shape());
    }
    const Tensor x = random_tensor({1, 4, 6});
    CHECK(pre(x, {}).values() == x.values());
}

TEST_CASE("dropout acts in training alone, and the same generator gives the same output") {
    TransformerOptions with_dropout = options(true);
    with_dropout.dropout = 0.5;
    Random random(1), with(1);
    const Transformer without(options(true), random), transformer(with_dropout, with);
    const Tensor source = random_tensor({1, 3, 6}), target = random_tensor({1, 2, 6}, 3);
    CHECK(transformer(source, target, {}).values() == without(source, target, {}).values());
    Random a(5), b(5), c(6);
    const Values first = transformer(source, target, {}, {&a}).values();
    CHECK(transformer(source, target, {}, {&b}).values() == first);
    CHECK(transformer(source, target, {}, {&c}).values() != first);
}

TEST_CASE("what reads a parameter stands in the scope that its name begins with: all of an attention in its own") {
    Random random(1);
    Transformer transformer(options(true), random);
    std::set<std::string> unread;
    transformer.parameters([&](const std::string& name, Tensor& parameter) {
        parameter.named(name);
        unread.insert(name);
    });
    const Tensor source = random_tensor({1, 5, 6}), target = random_tensor({1, 4, 6}, 3), padding({1, 5}, Values(5, 1));
    const Tensor memory = transformer.encode(source, padding);
    auto caches = transformer.start(memory);
    const Tensor stepped = transformer.step(slice(target, 1, 0, 1), caches, padding);
    for (const Tensor& output : {transformer.decode(target, memory, padding), stepped})
        for (const Node* node : graph_of(output))
            for (const Tensor& input : node->inputs) {
                const std::string &name = input.node->name, scope = node->scope;
                if (name.empty()) continue;
                CAPTURE(name);
                CAPTURE(scope);
                CHECK(name.starts_with(scope + "."));
                CHECK((name.find("_attn.") == name.npos || scope.ends_with("_attn")));
                unread.erase(name);
            }
    CHECK(unread.empty());
}

TEST_CASE("each attention stands in the scope of its name") {
    Random random(1);
    const Transformer transformer({.size = 4, .heads = 2, .feed_forward = 5, .encoder_layers = 1, .decoder_layers = 1}, random);
    const Tensor y = transformer(Tensor({1, 2, 4}), Tensor({1, 2, 4}), {});
    std::vector<std::string> scopes;
    for (const Node* node : graph_of(y))
        if (node->op == std::string("attention_weights")) scopes.push_back(node->scope);
    CHECK(scopes == std::vector<std::string>{"encoder.layers.0.self_attn", "decoder.layers.0.self_attn",
                                             "decoder.layers.0.multihead_attn"});
}
