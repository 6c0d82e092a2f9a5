#!/usr/bin/python3
"""make_golden.py DIR [SEED [ROUNDS]]: writes new cases for `golden DIR`, of all operations of ../golden, in sizes drawn at random.

PyTorch computes each case in float64. Its tolerance is four times the error that PyTorch makes in float32, or that numbers
rounded to float32 once more would make (a few cases are so steep that PyTorch's own error is luck), and at least 1e-5.
"""

import copy
import math
import pathlib
import random
import sys

import torch
import torch.nn.functional as F
from torch import nn

import tensor_file

def normal(*shape, scale=1.0):
    """Numbers that float32 holds, so that both programs start from the same."""
    return (torch.randn(shape) * scale).double()


def distance(got, expected):
    return ((got - expected).abs() / expected.abs().clamp(min=1)).max().item()


class Attributes(dict):
    """What stands in __metadata__, as text."""

    def __init__(self, **values):
        super().__init__({key: str(value) for key, value in values.items()})


def evaluate(run, module, inputs, upstream, dtype, noise=0):
    """Outputs, and gradients of inputs and parameters, computed in one number type; with noise, of numbers that are shaken."""
    shaken = lambda x: x.detach().to(dtype, copy=True) * (1 + noise * torch.randn(x.shape)).to(dtype)
    module = copy.deepcopy(module).to(dtype)
    for weight in module.parameters():
        weight.data = shaken(weight)
    leaves = {name: shaken(x).requires_grad_() if x.is_floating_point() else x for name, x in inputs.items()}
    outputs = run(module, **leaves)
    if upstream is None:
        upstream = {name: normal(*y.shape) for name, y in outputs.items()}
    loss = sum((y * upstream[name].to(dtype)).sum() for name, y in outputs.items())
    if loss.requires_grad:
        loss.backward()
    results = {f"out.{name}": y.detach().double() for name, y in outputs.items()}
    for name, x in leaves.items():
        if x.requires_grad:
            results[f"grad.{name}"] = (torch.zeros_like(x) if x.grad is None else x.grad).double()
    for name, weight in module.named_parameters():
        results[f"grad.param.{name}"] = (torch.zeros_like(weight) if weight.grad is None else weight.grad).double()
    return results, upstream


class Writer:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.count = 0

    def write(self, op, tensors, tolerance, attributes):
        self.count += 1
        stored = {name: x.float() if x.is_floating_point() else x for name, x in tensors.items()}
        metadata = {"op": op, "tolerance": f"{tolerance:.2g}", **attributes}
        tensor_file.write(self.folder / f"{op}_{self.count:04}.safetensors", stored, metadata)

    def case(self, op, run, inputs, module=None, constants=(), **attributes):
        """`constants` are inputs without a gradient: masks."""
        module = nn.Module() if module is None else module.double()
        with torch.no_grad():
            for weight in module.parameters():
                weight.copy_((weight + normal(*weight.shape, scale=0.2)).float())  # no bias is 0, no norm's weight 1
        fixed = {name: x for name, x in inputs.items() if name in constants}
        free = {name: x for name, x in inputs.items() if name not in constants}

        def with_constants(m, **leaves):
            dtype = next((x.dtype for x in leaves.values() if x.is_floating_point()), torch.float64)
            return run(m, **leaves, **{name: x.to(dtype) for name, x in fixed.items()})

        exact, upstream = evaluate(with_constants, module, free, None, torch.float64)
        rough, _ = evaluate(with_constants, module, free, upstream, torch.float32)
        shaken, _ = evaluate(with_constants, module, free, upstream, torch.float64, noise=2**-24)
        error = max(max(distance(rough[name], x), distance(shaken[name], x)) for name, x in exact.items())
        tensors = {f"in.{name}": x for name, x in inputs.items()}
        tensors |= {f"param.{name}": weight for name, weight in module.named_parameters()}
        tensors |= {f"gout.{name}": x for name, x in upstream.items()}
        self.write(op, tensors | exact, max(1e-5, 4 * error), Attributes(**attributes))


class Masked:
    """softmax over the allowed places; where none is allowed, zeros."""

    @staticmethod
    def softmax(scores, mask, dim=-1):
        allowed = (mask != 0).expand(scores.shape)
        weights = torch.softmax(scores.masked_fill(~allowed, -math.inf), dim)
        return torch.where(allowed.any(dim, keepdim=True), weights, torch.zeros_like(weights))


def random_lengths(batch, length):
    lengths = [length] + [random.randint(1, length) for _ in range(batch - 1)]
    return random.sample(lengths, batch)


def padding_mask(batch, length):
    """(B, S): words, then padding; or both in any order, the first a word."""
    if random.random() < 0.7:
        return torch.tensor([[float(s < n) for s in range(length)] for n in random_lengths(batch, length)]).double()
    mask = (torch.rand(batch, length) < 0.6).double()
    mask[:, 0] = 1
    return mask


def causal(length):
    return torch.triu(torch.ones(length, length, dtype=torch.bool), 1)


def size(most=9):
    return random.choice([1, 2, 3, random.randint(1, most)])


def shape(rank=None):
    return [size() for _ in range(random.randint(1, 4) if rank is None else rank)]


# ---- Ops ------------------------------------------------------------------------------------------------------------------


def elementwise(w):
    both = {"add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div}
    for op, f in both.items():
        full = shape()
        a, b = ([1 if random.random() < 0.3 else n for n in full] for _ in range(2))
        b = b[random.randint(0, len(b) - 1) :]
        if random.random() < 0.3:
            a, b = b, a
        y = normal(*b)
        if op == "div":
            y = y.sign() * (y.abs() + 0.5)
        w.case(op, lambda m, a, b: {"y": f(a, b)}, {"a": normal(*a), "b": y})
    one = {"neg": torch.neg, "exp": torch.exp, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "relu": torch.relu}
    for op, f in one.items():
        w.case(op, lambda m, x: {"y": f(x)}, {"x": normal(*shape(), scale=random.choice([0.1, 1, 10]))})
    for op, f in {"log": torch.log, "sqrt": torch.sqrt}.items():
        w.case(op, lambda m, x: {"y": f(x)}, {"x": normal(*shape()).abs().float().double() + 0.125})
    for form in ("none", "tanh"):
        w.case("gelu", lambda m, x: {"y": F.gelu(x, approximate=form)}, {"x": normal(*shape(), scale=2)}, approximate=form)


def matmul(w):
    m, k, n, batch = size(), size(20), size(20), shape(random.randint(0, 2))
    f = lambda _, a, b: {"y": a @ b}
    w.case("matmul", f, {"a": normal(*batch, m, k), "b": normal(*batch, k, n)})
    w.case("matmul", f, {"a": normal(*batch, m, k), "b": normal(k, n)})


def shapes(w):
    x = normal(*shape())
    rank = x.dim()
    dim = random.randint(-rank, rank - 1)
    for op, f in {"sum": torch.sum, "mean": torch.mean}.items():
        w.case(op, lambda m, x: {"y": f(x)}, {"x": x}, dim="all")
        w.case(op, lambda m, x: {"y": f(x, dim)}, {"x": x}, dim=dim)
    other = random.randint(-rank, rank - 1)
    w.case("transpose", lambda m, x: {"y": x.transpose(dim, other)}, {"x": x}, dim0=dim, dim1=other)
    n = x.shape[dim]
    start = random.randint(0, n - 1)
    stop = random.randint(start + 1, n)
    part = lambda m, x: {"y": x.narrow(dim, start, stop - start)}
    w.case("slice", part, {"x": x}, dim=dim, start=start, stop=stop)
    cut = list(x.shape)
    random.shuffle(cut)
    if random.random() < 0.5:
        cut = [-1] + cut[1:]
    if random.random() < 0.3:
        cut.append(1)
    w.case("reshape", lambda m, x: {"y": x.reshape(cut)}, {"x": x}, shape=",".join(map(str, cut)))
    parts = {}
    for name in "abcd"[: random.randint(1, 4)]:
        sizes = list(x.shape)
        sizes[dim] = size()
        parts[name] = normal(*sizes)
    w.case("concat", lambda m, **x: {"y": torch.cat([x[name] for name in sorted(x)], dim)}, parts, dim=dim)
    parts = {name: normal(*x.shape) for name in "abcd"[: random.randint(1, 4)]}
    new = random.randint(-rank - 1, rank)
    w.case("stack", lambda m, **x: {"y": torch.stack([x[name] for name in sorted(x)], new)}, parts, dim=new)


def softmaxes(w):
    x = normal(*shape(), scale=random.choice([1, 30, 1e4]))
    dim = random.randint(-x.dim(), x.dim() - 1)
    w.case("softmax", lambda m, x: {"y": torch.softmax(x, dim)}, {"x": x}, dim=dim)
    w.case("log_softmax", lambda m, x: {"y": torch.log_softmax(x, dim)}, {"x": x}, dim=dim)
    x = normal(*shape())
    dim = random.randint(-x.dim(), x.dim() - 1)
    mask = (torch.rand([1 if random.random() < 0.3 else n for n in x.shape]) < 0.6).double()
    inputs = {"x": x, "mask": mask}
    w.case("masked_softmax", lambda m, x, mask: {"y": Masked.softmax(x, mask, dim)}, inputs, constants=["mask"], dim=dim)


# ---- Layers ---------------------------------------------------------------------------------------------------------------


def layers(w):
    inside, out = size(20), size(20)
    bias = random.random() < 0.6
    w.case("linear", lambda m, x: {"y": m(x)}, {"x": normal(*shape(), inside)}, nn.Linear(inside, out, bias=bias))
    offset = random.choice([0, 0, 1000])
    eps = random.choice([1e-5, 1e-3])
    width = random.randint(2, 20)
    x = (normal(*shape(2), width) + offset).float().double()
    w.case("layer_norm", lambda m, x: {"y": m(x)}, {"x": x}, nn.LayerNorm(width, eps=eps), eps=eps)
    words = size(20)
    ids = torch.randint(words, shape(random.randint(1, 2)))
    w.case("embedding", lambda m, ids: {"y": m(ids)}, {"ids": ids}, nn.Embedding(words, size(20)))


def cross_entropy(w):
    rows, classes = random.randint(1, 30), random.randint(2, 20)
    target = torch.randint(classes, (rows,))
    for ignored in (-100, 0, classes - 1):
        target[0] = (ignored + 1) % classes if ignored >= 0 else 0  # the mean over no target is not defined
        smoothing = random.choice([0, 0, 0.1, 0.3])
        f = lambda m, logits, target: {
            "y": F.cross_entropy(logits, target, ignore_index=ignored, label_smoothing=smoothing)
        }
        inputs = {"logits": normal(rows, classes, scale=3), "target": target.clone()}
        w.case("cross_entropy", f, inputs, label_smoothing=smoothing, ignore_index=ignored)


def recurrent(w):
    for name, cell, layer in (("rnn", nn.RNNCell, nn.RNN), ("gru", nn.GRUCell, nn.GRU), ("lstm", nn.LSTMCell, nn.LSTM)):
        batch, length, inside, hidden = size(), size(), size(20), size(20)
        x, h, c = normal(batch, inside), normal(batch, hidden), normal(batch, hidden)
        if name == "lstm":
            f = lambda m, x, h, c: dict(zip("hc", m(x, (h, c))))
            w.case("lstm_cell", f, {"x": x, "h": h, "c": c}, cell(inside, hidden))
        else:
            w.case(f"{name}_cell", lambda m, x, h: {"y": m(x, h)}, {"x": x, "h": h}, cell(inside, hidden))
        for both_ways in (False, True):
            inputs = {"x": normal(batch, length, inside)}
            if random.random() < 0.8:
                inputs["lengths"] = torch.tensor(random_lengths(batch, length))

            def run(m, x, lengths=None):
                if lengths is None:
                    y, state = m(x)
                else:
                    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
                    y, state = m(packed)
                    y, _ = nn.utils.rnn.pad_packed_sequence(y, batch_first=True, total_length=length)
                return {"y": y, "h": state[0], "c": state[1]} if name == "lstm" else {"y": y, "h": state}

            module = layer(inside, hidden, batch_first=True, bidirectional=both_ways)
            w.case(name, run, inputs, module, bidirectional=int(both_ways), hidden=hidden)


class Scores(nn.Module):
    """Bahdanau's score and Luong's three, with their weights named as in the library."""

    def __init__(self, score, query, memory, hidden):
        super().__init__()
        self.score = score
        if score == "additive":
            self.query, self.key = nn.Linear(query, hidden, bias=False), nn.Linear(memory, hidden, bias=False)
        if score == "general":
            self.key = nn.Linear(memory, query, bias=False)
        if score == "concat":
            self.hidden = nn.Linear(query + memory, hidden, bias=False)
        if score in ("additive", "concat"):
            self.energy = nn.Linear(hidden, 1, bias=False)

    def forward(self, query, memory, mask=None):
        q, k = query[:, :, None], memory[:, None]  # (B, T, 1, Q), (B, 1, S, M)
        if self.score == "additive":
            scores = self.energy(torch.tanh(self.query(q) + self.key(k)))[..., 0]
        elif self.score == "concat":
            pairs = [q.expand(-1, -1, k.shape[2], -1), k.expand(-1, q.shape[1], -1, -1)]
            scores = self.energy(torch.tanh(self.hidden(torch.cat(pairs, -1))))[..., 0]
        else:
            scores = query @ (self.key(memory) if self.score == "general" else memory).transpose(1, 2)
        weights = torch.softmax(scores, -1) if mask is None else Masked.softmax(scores, mask[:, None])
        return {"context": weights @ memory, "weights": weights}


def attention(w):
    for score in ("additive", "dot", "general", "concat"):
        batch, queries, keys, memory = size(), size(), size(), size(12)
        query = memory if score == "dot" else size(12)
        inputs = {"query": normal(batch, queries, query), "memory": normal(batch, keys, memory)}
        if random.random() < 0.8:
            inputs["mask"] = padding_mask(batch, keys)
        run = lambda m, **x: m(**x)
        w.case("score_attention", run, inputs, Scores(score, query, memory, size(12)), constants=["mask"], score=score)

    batch, heads, queries, keys, width = size(), size(5), size(), size(), size()
    inputs = {
        "q": normal(batch, heads, queries, width),
        "k": normal(batch, heads, keys, width),
        "v": normal(batch, heads, keys, size()),
    }
    masks = [None, padding_mask(batch, keys)[:, None, None], (torch.rand(batch, 1, queries, keys) < 0.6).double()]
    mask = random.choice(masks)
    if mask is not None:
        inputs["mask"] = mask

    def run(m, q, k, v, mask=None):
        scores = q @ k.transpose(-1, -2) / math.sqrt(width)
        weights = torch.softmax(scores, -1) if mask is None else Masked.softmax(scores, mask)
        return {"y": weights @ v, "weights": weights}

    w.case("scaled_dot_product_attention", run, inputs, constants=["mask"])

    for is_causal in (False, True):
        heads, width = random.choice([(5, 2), (1, 7), (2, 3), (3, 1), (4, 4)])
        module = nn.MultiheadAttention(heads * width, heads, batch_first=True)
        length = queries if is_causal else keys
        inputs = {"x" if is_causal else "query": normal(batch, queries, heads * width)}
        if not is_causal:
            inputs["memory"] = normal(batch, keys, heads * width)
        if random.random() < 0.7:
            inputs["mask"] = padding_mask(batch, length)

        def run(m, x=None, query=None, memory=None, mask=None):
            q = x if query is None else query
            k = q if memory is None else memory
            ignored = None if mask is None else mask == 0
            later = causal(q.shape[1]) if is_causal else None
            y, weights = m(q, k, k, key_padding_mask=ignored, attn_mask=later, average_attn_weights=False)
            return {"y": y, "weights": weights}

        more = {"causal": 1} if is_causal else {}
        w.case("multihead_attention", run, inputs, module, constants=["mask"], heads=heads, **more)


def transformers(w):
    for norm_first in (False, True):
        for activation in ("relu", "gelu"):
            batch, source, target = size(), size(), size()
            heads, width = random.choice([(5, 2), (1, 7), (2, 3), (3, 1), (4, 4)])
            width *= heads
            options = dict(dropout=0.0, activation=activation, batch_first=True, norm_first=norm_first)
            attributes = dict(heads=heads, norm_first=int(norm_first), activation=activation)
            masked = random.random() < 0.8
            mask = {"mask": padding_mask(batch, source)} if masked else {}

            def encode(m, x, mask=None):
                ignored = None if mask is None else mask == 0
                y = m(x, src_key_padding_mask=ignored)
                return {"y": y if mask is None else y * mask[:, :, None]}

            def decode(m, x, memory, mask=None):
                ignored = None if mask is None else mask == 0
                return {"y": m(x, memory, tgt_mask=causal(target), memory_key_padding_mask=ignored)}

            def translate(m, src, tgt, mask=None):
                ignored = None if mask is None else mask == 0
                masks = dict(src_key_padding_mask=ignored, memory_key_padding_mask=ignored)
                return {"y": m(src, tgt, tgt_mask=causal(target), **masks)}

            x, memory, tgt = normal(batch, source, width), normal(batch, source, width), normal(batch, target, width)
            layer = nn.TransformerEncoderLayer(width, heads, size(20), **options)
            w.case("transformer_encoder_layer", encode, {"x": x, **mask}, layer, constants=["mask"], **attributes)
            layer = nn.TransformerDecoderLayer(width, heads, size(20), **options)
            inputs = {"x": tgt, "memory": memory, **mask}
            w.case("transformer_decoder_layer", decode, inputs, layer, constants=["mask"], **attributes)
            layers = random.randint(1, 3)
            model = nn.Transformer(width, heads, layers, layers, size(20), **options)
            inputs = {"src": x, "tgt": tgt, **mask}
            w.case("transformer", translate, inputs, model, constants=["mask"], layers=layers, **attributes)


def positions(w):
    length, width = size(30), size(15)
    angles = torch.arange(length).double()[:, None] / 10000 ** (2 * (torch.arange(width) // 2).double() / width)
    table = torch.where(torch.arange(width) % 2 == 0, angles.sin(), angles.cos())
    w.write("sinusoidal_positions", {"out.y": table}, 1e-5, Attributes(length=length, dim=width))


# ---- Optimisers -----------------------------------------------------------------------------------------------------------


def optimizers(w):
    adam = dict(lr=random.choice([0.01, 0.1]), betas=(0.9, random.choice([0.98, 0.999])), eps=random.choice([1e-8, 1e-3]))
    makers = {
        "sgd": (torch.optim.SGD, dict(lr=0.1)),
        "sgd_momentum": (torch.optim.SGD, dict(lr=0.1, momentum=0.8)),
        "adam": (torch.optim.Adam, adam),
        "adamw": (torch.optim.AdamW, dict(adam, weight_decay=random.choice([0.1, 0.01]))),
    }
    for name, (maker, options) in makers.items():
        start, gradients = normal(*shape()), []
        gradients = [normal(*start.shape, scale=random.choice([1, 1e-4])) for _ in range(5)]
        results = {}
        for dtype in (torch.float64, torch.float32):
            weight = start.to(dtype).clone().requires_grad_()
            optimizer = maker([weight], **options)
            for step, gradient in enumerate(gradients):
                weight.grad = gradient.to(dtype).clone()
                optimizer.step()
                results[dtype, step] = weight.detach().double().clone()
        error = max((results[torch.float64, s] - results[torch.float32, s]).abs().max().item() for s in range(5))
        tensors = {"in.w": start}
        for step in range(5):
            tensors |= {f"in.grad{step}": gradients[step], f"out.w{step}": results[torch.float64, step]}
        text = dict(options)
        if "betas" in text:
            text["beta1"], text["beta2"] = text.pop("betas")
        w.write("optimizer", tensors, max(1e-5, 4 * error), Attributes(name=name, **text))

    gradients = {name: normal(*shape(), scale=random.choice([0, 0.01, 5])) for name in "abc"[: random.randint(1, 3)]}
    weights = [torch.zeros_like(g).requires_grad_() for g in gradients.values()]
    for weight, gradient in zip(weights, gradients.values()):
        weight.grad = gradient.clone()
    norm = nn.utils.clip_grad_norm_(weights, 1.0)
    tensors = {f"in.{name}": g for name, g in gradients.items()} | {"out.norm": norm.double()}
    tensors |= {f"out.{name}": weight.grad for name, weight in zip(gradients, weights)}
    w.write("clip_grad_norm", tensors, 1e-5, Attributes(max_norm=1.0))


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    random.seed(seed)
    torch.manual_seed(seed)
    writer = Writer(sys.argv[1])
    families = [elementwise, matmul, shapes, softmaxes, layers, cross_entropy, recurrent, attention, transformers, positions]
    for _ in range(rounds):
        for family in families + [optimizers]:
            family(writer)
    print(f"{writer.count} cases of seed {seed}: {writer.folder}")


main()
