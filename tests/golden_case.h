#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "lookback/io/safetensors.h"
#include "lookback/ops/elementwise.h"
#include "lookback/ops/lookup.h"
#include "lookback/ops/shape.h"
#include "lookback/program/error.h"

namespace lookback {

// One case of golden: what its file gives, and what the library makes of it. BadInput for whatever the file lacks.
class Case {
  public:
    explicit Case(const std::filesystem::path& path) : file(read_safetensors(path)) {}

    bool has(const std::string& name) const { return file.find(name) != nullptr; }
    bool has_attribute(const std::string& key) const { return file.metadata.contains(key); }

    const StoredTensor& stored(const std::string& name) {
        const StoredTensor* tensor = file.find(name);
        if (!tensor) throw BadInput(fmt::format("the case has no {}", name));
        used.insert(name);
        return *tensor;
    }

    // in.NAME, which wants a gradient, or a constant such as a mask.
    Tensor input(const std::string& name) { return leaves[name] = tensor_of(stored("in." + name)).requires_grad(); }
    Tensor constant(const std::string& name) { return tensor_of(stored("in." + name)); }
    Tensor mask() { return has("in.mask") ? constant("mask") : Tensor(); }

    Ids ids(const std::string& name) {
        const StoredTensor& tensor = stored("in." + name);
        if (tensor.dtype != "I64") throw BadInput(fmt::format("in.{} holds no integers", name));
        Ids ids{tensor.shape, {}};
        for (const std::int64_t id : tensor.integers) {
            if (id != static_cast<int>(id)) throw BadInput(fmt::format("in.{} holds {}, which is no id", name, id));
            ids.values.push_back(static_cast<int>(id));
        }
        return ids;
    }

    // One size of a parameter, from which a module is made.
    int size(const std::string& name, int dim) {
        const Shape& shape = stored("param." + name).shape;
        if (dim >= static_cast<int>(shape.size()))
            throw BadInput(fmt::format("param.{} is {}, which has no size {}", name, to_string(shape), dim));
        return shape[dim];
    }

    // Asked before anything is made of sizes that come from several places: else a small file could ask for a large tensor.
    void expect(const std::string& name, const Shape& shape) {
        const Shape& given = stored(name).shape;
        if (given != shape)
            throw BadInput(fmt::format("{} is {}; the library's is {}", name, to_string(given), to_string(shape)));
    }

    std::vector<std::string> input_names() const {
        std::vector<std::string> names;
        for (const StoredTensor& tensor : file.tensors)
            if (tensor.name.starts_with("in.")) names.push_back(tensor.name.substr(3));
        std::ranges::sort(names);
        return names;
    }

    std::vector<Tensor> inputs() {
        std::vector<Tensor> all;
        for (const std::string& name : input_names()) all.push_back(input(name));
        return all;
    }

    // param.* become the parameters of the module.
    template <class Module>
    Module& fill(Module& module) {
        module.parameters([&](const std::string& name, Tensor& parameter) {
            expect("param." + name, parameter.shape());
            parameter = leaves["param." + name] = tensor_of(stored("param." + name)).requires_grad();
        });
        return module;
    }

    std::string text(const std::string& key, const std::string& otherwise = "") const {
        const auto found = file.metadata.find(key);
        return found == file.metadata.end() ? otherwise : found->second;
    }
    double number(const std::string& key) const { return parse<double>(key, text(key)); }
    double number(const std::string& key, double otherwise) const { return has_attribute(key) ? number(key) : otherwise; }
    int integer(const std::string& key) const { return parse<int>(key, text(key)); }
    int integer(const std::string& key, int otherwise) const { return has_attribute(key) ? integer(key) : otherwise; }
    bool flag(const std::string& key) const { return integer(key, 0) != 0; }
    std::vector<int> integers(const std::string& key) const {    // "10,8"
        std::vector<int> list;
        for (std::string rest = text(key); !rest.empty();) {
            const std::size_t comma = rest.find(',');
            list.push_back(parse<int>(key, rest.substr(0, comma)));
            rest = comma == std::string::npos ? "" : rest.substr(comma + 1);
        }
        return list;
    }

    void output(const std::string& name, const Tensor& tensor) { outputs[name] = tensor; }

    // Sum over all outputs of sum(out * gout), and back from there.
    void run_backward() {
        Tensor loss;
        for (const auto& [name, tensor] : outputs) {
            if (!has("gout." + name)) continue;
            const Tensor upstream = tensor_of(stored("gout." + name));
            if (upstream.shape() != tensor.shape())
                throw BadInput(
                    fmt::format("gout.{} is {}, the output {}", name, to_string(upstream.shape()), to_string(tensor.shape())));
            const Tensor term = sum(tensor * upstream);
            loss = loss ? loss + term : term;
        }
        if (loss) backward(loss);
    }

    // Empty if every out.* and grad.* is within the tolerance; else the worst of them.
    std::string compare() {
        const auto is_expected = [](const StoredTensor& tensor) { return tensor.name.starts_with("out."); };
        if (std::ranges::none_of(file.tensors, is_expected)) return "the case expects no output";
        std::string worst;
        double worst_error = number("tolerance");
        if (!(worst_error >= 0)) throw BadInput(fmt::format("the tolerance is {}", worst_error));
        for (const StoredTensor& expected : file.tensors) {
            const bool is_output = expected.name.starts_with("out."), is_gradient = expected.name.starts_with("grad.");
            if (!is_output && !is_gradient) {
                if (!used.contains(expected.name)) return expected.name + " was not used";
                continue;
            }
            const std::map<std::string, Tensor>& made = is_output ? outputs : leaves;
            const auto found = made.find(expected.name.substr(is_output ? 4 : 5));
            if (found == made.end()) return expected.name + " was not computed";
            const Tensor& tensor = found->second;
            if (tensor.shape() != expected.shape)
                return fmt::format("{} is {}, expected {}", expected.name, to_string(tensor.shape()), to_string(expected.shape));
            const real* numbers = is_output ? tensor.data() : tensor.grad();    // no gradient: 0
            for (std::size_t i = 0; i < expected.values.size(); ++i) {
                const double got = numbers ? double{numbers[i]} : 0, wanted = expected.values[i];
                double error = got == wanted ? 0 : std::abs(got - wanted) / std::max(1.0, std::abs(wanted));
                if (std::isnan(error)) error = std::numeric_limits<double>::infinity();
                if (error <= worst_error) continue;
                worst_error = error;
                worst = fmt::format("{}[{}]: got {:.9g}, expected {:.9g}, error {:.3g} > {}", expected.name,
                                    fmt::join(place(i, expected.shape), ", "), got, wanted, error, text("tolerance"));
            }
        }
        return worst;
    }

  private:
    template <class Number>
    static Number parse(const std::string& key, const std::string& text) {
        Number number{};
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
        if (error != std::errc() || end != text.data() + text.size())
            throw BadInput(fmt::format("{} is \"{}\", no number", key, text));
        return number;
    }

    static Tensor tensor_of(const StoredTensor& stored) {
        if (stored.dtype == "I64") throw BadInput(fmt::format("{} holds integers", stored.name));
        return Tensor(stored.shape, std::vector<real>(stored.values.begin(), stored.values.end()));
    }

    static std::vector<std::size_t> place(std::size_t index, const Shape& shape) {
        std::vector<std::size_t> indices(shape.size());
        for (std::size_t dim = shape.size(); dim-- > 0; index /= static_cast<std::size_t>(shape[dim]))
            indices[dim] = index % static_cast<std::size_t>(shape[dim]);
        return indices;
    }

    Safetensors file;
    std::set<std::string> used;              // names in the file
    std::map<std::string, Tensor> leaves;    // "x" has grad.x, "param.weight" has grad.param.weight
    std::map<std::string, Tensor> outputs;
};

}    // namespace lookback
