#!/usr/bin/python3
"""The models of translate_bench in PyTorch: what a user would write instead. Same sizes, batches, optimiser and fields of JSON.

    torch_translate.py TRAIN.tsv {fixed,attention,transformer} [--seconds 20 | --steps N] [--batch 64] [--threads 1] [--width 128]
"""
import time

START = time.time()

import argparse
import json
import math
import random
import resource

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

PAD, BEGIN, END = 0, 1, 2
EMBEDDING = 64


class FixedVector(nn.Module):
    def __init__(self, source, target, hidden):
        super().__init__()
        self.source_embedding, self.target_embedding = nn.Embedding(source, EMBEDDING), nn.Embedding(target, EMBEDDING)
        self.encoder = nn.GRU(EMBEDDING, hidden, batch_first=True)
        self.decoder = nn.GRU(EMBEDDING + hidden, hidden, batch_first=True)
        self.out = nn.Linear(hidden, target)

    def start(self, x):
        packed = pack_padded_sequence(self.source_embedding(x), (x != PAD).sum(1), batch_first=True, enforce_sorted=False)
        sentence = self.encoder(packed)[1]
        return sentence, sentence[0].unsqueeze(1)

    def read(self, y, state):
        h, sentence = state
        repeated = sentence.expand(-1, y.shape[1], -1)
        output, h = self.decoder(torch.cat([self.target_embedding(y), repeated], -1), h)
        return self.out(output), (h, sentence)

    def forward(self, x, y):
        return self.read(y, self.start(x))[0]

    def step(self, tokens, state):
        logits, state = self.read(tokens[:, None], state)
        return logits[:, 0], state


class Attention(nn.Module):
    def __init__(self, source, target, hidden):
        super().__init__()
        self.source_embedding, self.target_embedding = nn.Embedding(source, EMBEDDING), nn.Embedding(target, EMBEDDING)
        self.encoder = nn.GRU(EMBEDDING, hidden // 2, batch_first=True, bidirectional=True)
        self.query, self.key = nn.Linear(hidden, hidden, bias=False), nn.Linear(hidden, hidden, bias=False)
        self.energy = nn.Linear(hidden, 1, bias=False)
        self.decoder = nn.GRUCell(EMBEDDING + hidden, hidden)
        self.out = nn.Linear(2 * hidden + EMBEDDING, target)

    def start(self, x):
        packed = pack_padded_sequence(self.source_embedding(x), (x != PAD).sum(1), batch_first=True, enforce_sorted=False)
        output, h = self.encoder(packed)
        memory = pad_packed_sequence(output, batch_first=True)[0]
        return torch.cat([h[0], h[1]], -1), memory, self.key(memory), x == PAD

    def look_and_move(self, embedded, state):
        h, memory, keys, padding = state
        score = self.energy(torch.tanh(keys + self.query(h).unsqueeze(1))).squeeze(2)
        weights = score.masked_fill(padding, -math.inf).softmax(-1)
        context = torch.bmm(weights.unsqueeze(1), memory).squeeze(1)
        h = self.decoder(torch.cat([embedded, context], -1), h)
        return torch.cat([h, context, embedded], -1), (h, memory, keys, padding)

    def forward(self, x, y):
        state, embedded, outputs = self.start(x), self.target_embedding(y), []
        for t in range(y.shape[1]):
            output, state = self.look_and_move(embedded[:, t], state)
            outputs.append(output)
        return self.out(torch.stack(outputs, 1))

    def step(self, tokens, state):
        output, state = self.look_and_move(self.target_embedding(tokens), state)
        return self.out(output), state


class Transformer(nn.Module):
    def __init__(self, source, target, width):
        super().__init__()
        self.width = width
        self.source_embedding, self.target_embedding = nn.Embedding(source, width), nn.Embedding(target, width)
        for embedding in (self.source_embedding, self.target_embedding):
            nn.init.normal_(embedding.weight, 0, width**-0.5)
        angles = torch.arange(512).unsqueeze(1) * torch.exp(torch.arange(0, width, 2) * (-math.log(10000) / width))
        self.positions = torch.stack([angles.sin(), angles.cos()], -1).flatten(1)
        self.transformer = nn.Transformer(width, 4, 2, 2, 4 * width, 0.0, batch_first=True, norm_first=True)
        self.out = nn.Linear(width, target)

    def embed(self, embedding, ids):
        return embedding(ids) * math.sqrt(self.width) + self.positions[: ids.shape[1]]

    def decode(self, y, memory, padding):
        causal = nn.Transformer.generate_square_subsequent_mask(y.shape[1])
        embedded = self.embed(self.target_embedding, y)
        return self.transformer.decoder(embedded, memory, tgt_mask=causal, memory_key_padding_mask=padding)

    def forward(self, x, y):
        memory = self.transformer.encoder(self.embed(self.source_embedding, x), src_key_padding_mask=x == PAD)
        return self.out(self.decode(y, memory, x == PAD))

    def start(self, x):
        memory = self.transformer.encoder(self.embed(self.source_embedding, x), src_key_padding_mask=x == PAD)
        return torch.empty(len(x), 0, dtype=torch.long), memory, x == PAD

    def step(self, tokens, state):  # torch.nn.Transformer keeps no keys and values: all tokens are computed again
        y, memory, padding = torch.cat([state[0], tokens[:, None]], 1), state[1], state[2]
        return self.out(self.decode(y, memory, padding)[:, -1]), (y, memory, padding)


def greedy(model, x, longest):
    state, tokens = model.start(x), torch.full((len(x),), BEGIN)
    done = torch.zeros(len(x), dtype=torch.bool)
    words = 0
    for _ in range(longest):
        words += (~done).sum().item()
        logits, state = model.step(tokens, state)
        tokens = logits.argmax(-1)
        done |= tokens == END
        if done.all():
            break
    return words


def read(path):
    with open(path, encoding="utf-8") as file:
        pairs = [[side.split() for side in line.rstrip("\n").split("\t")[:2]] for line in file if "\t" in line]
    vocabularies = []
    for side in (0, 1):
        ids = {"<pad>": PAD, "<s>": BEGIN, "</s>": END}
        for pair in pairs:
            for token in pair[side]:
                ids.setdefault(token, len(ids))
        vocabularies.append(ids)
    source, target = vocabularies
    numbers = [([source[t] for t in s] + [END], [BEGIN] + [target[t] for t in u] + [END]) for s, u in pairs]
    return numbers, len(source), len(target)


def batches(pairs, size):
    while True:
        pool = sorted(random.choices(pairs, k=8 * size), key=lambda pair: len(pair[0]))
        parts = [pool[i : i + size] for i in range(0, len(pool), size)]
        random.shuffle(parts)
        for part in parts:
            yield [pad_sequence([torch.tensor(pair[side]) for pair in part], batch_first=True) for side in (0, 1)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("train")
    parser.add_argument("model", choices=["fixed", "attention", "transformer"])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--width", type=int, default=128)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    random.seed(1)

    pairs, source, target = read(options.train)
    kind = {"fixed": FixedVector, "attention": Attention, "transformer": Transformer}[options.model]
    model = kind(source, target, options.width)
    adam = torch.optim.Adam(model.parameters(), lr=1e-3 if options.model == "transformer" else 2e-3)
    busy, tokens, steps, first = 0.0, 0, 0, 0.0
    for x, y in batches(pairs, options.batch):
        begin = time.perf_counter()
        adam.zero_grad()
        logits = model(x, y[:, :-1])
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), y[:, 1:].flatten(), ignore_index=PAD)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
        busy += time.perf_counter() - begin
        tokens += (y[:, 1:] != PAD).sum().item()
        steps += 1
        first = first or time.time() - START
        if steps == options.steps or (not options.steps and busy >= options.seconds):
            break

    model.eval()
    speed, words_speed = {}, {}
    with torch.no_grad():
        for size, count in ((1, 64), (64, 512)):
            sources = [torch.tensor(random.choice(pairs)[0]) for _ in range(count)]
            words, begin = 0, time.perf_counter()
            for i in range(0, count, size):
                x = pad_sequence(sources[i : i + size], batch_first=True)
                words += greedy(model, x, 2 * x.shape[1])
            seconds = time.perf_counter() - begin
            speed[f"batch_{size}"] = round(count / seconds, 1)
            words_speed[f"words_{size}"] = round(words / seconds)
    print(
        json.dumps(
            {
                "model": options.model,
                "parameters": sum(p.numel() for p in model.parameters()),
                "steps": steps,
                "tokens_per_second": round(tokens / busy),
                "loss": round(loss.item(), 4),
                "greedy_sentences_per_second": speed,
                "greedy_words_per_second": words_speed,
                "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
                "seconds_to_first_step": round(first, 3),
            }
        )
    )


main()
