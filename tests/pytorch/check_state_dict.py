#!/usr/bin/python3
"""check_state_dict.py DIR SAY_LOGITS: the models that `12_contrast --save DIR` has saved, in PyTorch.

Each file is loaded into a twin made of torch.nn's own modules with load_state_dict(strict=True). The twin must give the same
logits, within 1e-4, and the same greedy translations as the library (the program SAY_LOGITS). Then the way back: the twin is
trained a little and saved, and the library must say the same as the twin again.
"""

import math
import pathlib
import shutil
import subprocess
import sys
import tempfile

import torch
import torch.nn.functional as F
from torch import nn

import tensor_file

BEGIN, END, PAD = 1, 2, 0
NAMES = ("fixed", "attention", "transformer")


def encode(gru, embedded, lengths):
    """A GRU over sentences of different lengths: its outputs, 0 at padding, and its last state, both directions side by side."""
    packed = nn.utils.rnn.pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
    outputs, state = gru(packed)
    outputs, _ = nn.utils.rnn.pad_packed_sequence(outputs, batch_first=True, total_length=embedded.shape[1])
    return outputs, torch.cat(list(state), -1)


class FixedVector(nn.Module):
    def __init__(self, shapes, options):
        super().__init__()
        (source, size), (target, hidden) = shapes["source_embedding.weight"], shapes["out.weight"]
        self.source_embedding = nn.Embedding(source, size)
        self.target_embedding = nn.Embedding(target, size)
        self.encoder = nn.GRU(size, hidden, batch_first=True)
        self.decoder = nn.GRUCell(size + hidden, hidden)
        self.out = nn.Linear(hidden, target)

    def forward(self, source, lengths, target_in):
        _, sentence = encode(self.encoder, self.source_embedding(source), lengths)
        h, logits = sentence, []
        for y in self.target_embedding(target_in).unbind(1):
            h = self.decoder(torch.cat([y, sentence], -1), h)
            logits.append(self.out(h))
        return torch.stack(logits, 1)


class AdditiveAttention(nn.Module):
    def __init__(self, hidden, size):
        super().__init__()
        self.query = nn.Linear(hidden, size, bias=False)
        self.key = nn.Linear(hidden, size, bias=False)
        self.energy = nn.Linear(size, 1, bias=False)

    def forward(self, state, memory, padding):
        scores = self.energy(torch.tanh(self.query(state)[:, None] + self.key(memory)))[..., 0]
        weights = torch.softmax(scores.masked_fill(padding, -math.inf), -1)
        return (weights[:, None] @ memory)[:, 0]


class Attention(nn.Module):
    def __init__(self, shapes, options):
        super().__init__()
        (source, size), (attention, hidden) = shapes["source_embedding.weight"], shapes["attention.query.weight"]
        target = shapes["out.weight"][0]
        self.source_embedding = nn.Embedding(source, size)
        self.target_embedding = nn.Embedding(target, size)
        self.encoder = nn.GRU(size, hidden // 2, batch_first=True, bidirectional=True)
        self.attention = AdditiveAttention(hidden, attention)
        self.decoder = nn.GRUCell(size + hidden, hidden)
        self.out = nn.Linear(2 * hidden + size, target)

    def forward(self, source, lengths, target_in):
        memory, h = encode(self.encoder, self.source_embedding(source), lengths)
        logits = []
        for y in self.target_embedding(target_in).unbind(1):
            context = self.attention(h, memory, source == PAD)
            h = self.decoder(torch.cat([y, context], -1), h)
            logits.append(self.out(torch.cat([h, context, y], -1)))
        return torch.stack(logits, 1)


class Transformer(nn.Module):
    def __init__(self, shapes, options):
        super().__init__()
        (source, self.size), target = shapes["source_embedding.weight"], shapes["out.weight"][0]
        layers = [sum(name.startswith(f"transformer.{stack}.layers.") and name.endswith(".linear1.bias") for name in shapes)
                  for stack in ("encoder", "decoder")]
        self.source_embedding = nn.Embedding(source, self.size)
        self.target_embedding = nn.Embedding(target, self.size)
        self.transformer = nn.Transformer(
            self.size, int(options["heads"]), *layers, shapes["transformer.encoder.layers.0.linear1.bias"][0], dropout=0.0,
            activation=options["activation"], batch_first=True, norm_first=options["norm_first"] == "1",
        )
        self.out = nn.Linear(self.size, target)

    def embed(self, embedding, ids):
        position = torch.arange(ids.shape[1])[:, None] / 10000 ** (torch.arange(0, self.size, 2) / self.size)
        waves = torch.stack([position.sin(), position.cos()], -1).flatten(1)[:, : self.size]
        return embedding(ids) * math.sqrt(self.size) + waves

    def forward(self, source, lengths, target_in):
        padding = source == PAD
        later = torch.ones(target_in.shape[1], target_in.shape[1], dtype=torch.bool).triu(1)
        hidden = self.transformer(
            self.embed(self.source_embedding, source), self.embed(self.target_embedding, target_in), tgt_mask=later,
            src_key_padding_mask=padding, memory_key_padding_mask=padding,
        )
        return self.out(hidden)


TWINS = {"fixed": FixedVector, "attention": Attention, "transformer": Transformer}


def load(folder, name):
    weights, options = tensor_file.read(folder / f"{name}.safetensors")
    twin = TWINS[name]({key: weight.shape for key, weight in weights.items()}, options)
    twin.load_state_dict(weights, strict=True)
    return twin


def greedy(twin, source, lengths, longest):
    said = torch.full((len(source), 1), BEGIN)
    for _ in range(longest):
        said = torch.cat([said, twin(source, lengths, said)[:, -1].argmax(-1, keepdim=True)], 1)
    said = said[:, 1:]
    return said.masked_fill((said == END).cumsum(1) > 0, PAD)


def compare(say_logits, folder, title):
    """Whether library and twins agree on the models of a folder; the twins and the sentences."""
    file = folder / "said.safetensors"
    subprocess.run([say_logits, folder, file], check=True)
    said, _ = tensor_file.read(file)
    agree, twins = [], {}
    for name in NAMES:
        twin = twins[name] = load(folder, name)
        with torch.no_grad():
            logits = twin(said["source"], said["source_lengths"], said["target_in"])
            tokens = greedy(twin, said["source"], said["source_lengths"], said[f"{name}.tokens"].shape[1])
        worst = (logits - said[f"{name}.logits"]).abs().max().item()
        same = (tokens == said[f"{name}.tokens"]).all(1)
        agree.append(worst <= 1e-4 and bool(same.all()))
        words = int((tokens != PAD).sum())
        print(f"{title}, {name}: logits differ by {worst:.1e} at most, {int(same.sum())} of {len(same)} translations "
              f"({words} words) are the same{'' if agree[-1] else ': TOO FAR'}")
    return agree, twins, said


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    torch.manual_seed(1)
    folder, say_logits = pathlib.Path(sys.argv[1]), sys.argv[2]
    with tempfile.TemporaryDirectory() as name:
        mine, back = pathlib.Path(name) / "mine", pathlib.Path(name) / "back"
        shutil.copytree(folder, mine)
        agree, twins, said = compare(say_logits, mine, "from the library")

        shutil.copytree(folder, back)
        for name, twin in twins.items():
            optimizer = torch.optim.Adam(twin.parameters(), lr=1e-3)
            target_out = torch.cat([said["target_in"][:, 1:], torch.full((len(said["source"]), 1), PAD)], 1)
            for _ in range(3):
                optimizer.zero_grad()
                logits = twin(said["source"], said["source_lengths"], said["target_in"])
                F.cross_entropy(logits.transpose(1, 2), target_out, ignore_index=PAD).backward()
                optimizer.step()
            _, options = tensor_file.read(back / f"{name}.safetensors")
            tensor_file.write(back / f"{name}.safetensors", twin.state_dict(), options)
        agree += compare(say_logits, back, "from PyTorch")[0]
    print(f"{sum(agree)} passed, {len(agree) - sum(agree)} failed")
    sys.exit(0 if all(agree) else 1)


main()
