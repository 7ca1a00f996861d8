"""Write a file of `coach/probes`: networks with attention that tell false sentences from true ones in hidden states.

`python benchmarks/train_attention.py --keep FOLDER` trains them on the states that `train_probe.py` reads, of the
sentences of the third round and later ones and of some earlier answers; half an hour on two cores after as much
reading as is not yet in the folder. They stand beside the networks that `train_probe.py` wrote, and take the states as
these do: run it after that. At the end it says how well all of them do on answers that nothing was trained on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from train_probe import (
    BATCH,
    DECAY,
    DROPPED_STATES,
    DROPPED_UNITS,
    UNITS,
    States,
    marked,
    opened,
    read,
    soft_maximum,
    told_apart,
    values,
    with_replay,
)

from coach.attention import HEADS, Attention, of_encoder_layer, save
from coach.probe import Probe, attention_file, weights_file
from coach.tokenwise import Tokenwise

# Tried on the development half of `errors.jsonl` and on answers like those: two blocks, no part that judges tokens
# alone, twice the units, and more left out by chance find no more.
INNER_UNITS = 128
WIDE_UNITS = 256
LONGEST = 160  # tokens
SEEDS = 4
EPOCHS = 5
RATE = 5e-4
DROPPED = 0.2
LONGEST_STEP = 1.0  # norm from which a gradient is clipped
SORTED = 16  # batches whose sentences are sorted by length, so that little is filled up
FIRST_ROUND = 3


class Network(nn.Module):
    """What `coach.attention.Attention` computes, for batches of filled up sentences."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inward = nn.Linear(width, INNER_UNITS)
        self.places = nn.Embedding(LONGEST, INNER_UNITS)
        nn.init.normal_(self.places.weight, std=0.02)
        self.block = nn.TransformerEncoderLayer(
            INNER_UNITS, HEADS, WIDE_UNITS, DROPPED, activation="relu", batch_first=True, norm_first=True
        )
        self.norm = nn.LayerNorm(INNER_UNITS)
        self.out = nn.Linear(INNER_UNITS, 1)
        self.hidden = nn.Linear(width, UNITS)
        self.alone = nn.Linear(UNITS, 1)
        self.direct = nn.Linear(width, 1)
        nn.init.zeros_(self.direct.weight)

    def forward(self, x: torch.Tensor, empty: torch.Tensor) -> torch.Tensor:
        """The log-odds of sentences (sentences,) from states (sentences, tokens, width) and where there is no token."""
        x = nn.functional.dropout(x, DROPPED_STATES, self.training)
        h = self.inward(x) + self.places(torch.arange(x.shape[1]).clamp(max=LONGEST - 1))
        h = self.norm(self.block(h, src_key_padding_mask=empty))
        units = nn.functional.dropout(torch.relu(self.hidden(x)), DROPPED_UNITS, self.training)
        odds = (self.out(h) + self.alone(units) + self.direct(x))[..., 0]
        return soft_maximum(odds[~empty], (~empty).sum(1))

    def weights(self, like: Tokenwise) -> Attention:
        """What was learnt, for use."""
        alone = Tokenwise(
            layers=like.layers,
            mean=like.mean,
            scale=like.scale,
            hidden=values(self.hidden.weight).T,
            hidden_bias=values(self.hidden.bias),
            direct=values(self.direct.weight)[0],
            out=values(self.alone.weight)[0],
            bias=(self.alone.bias + self.direct.bias + self.out.bias).item(),
        )
        return Attention(
            alone=alone,
            inward=values(self.inward.weight).T,
            inward_bias=values(self.inward.bias),
            places=values(self.places.weight),
            norm_after=np.stack([values(self.norm.weight), values(self.norm.bias)]),
            out=values(self.out.weight)[0],
            **of_encoder_layer({key: values(value) for key, value in self.block.state_dict().items()}),
        )


def filled_up(states: Sequence[NDArray[np.float16]], like: Tokenwise) -> tuple[torch.Tensor, torch.Tensor]:
    """States of sentences as one array (sentences, tokens, width), and where there is no token."""
    longest = max(map(len, states))
    x = np.zeros((len(states), longest, len(like.mean)), dtype=np.float32)
    empty = np.ones((len(states), longest), dtype=bool)
    for n, each in enumerate(states):
        x[n, : len(each)] = like.scaled(each.astype(np.float32))
        empty[n, : len(each)] = False
    return torch.tensor(x), torch.tensor(empty)


def batches(lengths: NDArray[np.int64], chance: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """The sentences in an order by chance, in full batches of like lengths."""
    order = chance.permutation(len(lengths))
    found = []
    for begin in range(0, len(order), BATCH * SORTED):
        some = order[begin : begin + BATCH * SORTED]
        some = some[np.argsort(lengths[some], kind="stable")]
        found += [some[n : n + BATCH] for n in range(0, len(some) - BATCH + 1, BATCH)]
    for n in chance.permutation(len(found)):
        yield found[n]


def train_one(states: States, false: Sequence[bool], like: Tokenwise, seed: int) -> Attention:
    """One network; true and false are balanced."""
    torch.manual_seed(seed)
    chance = np.random.default_rng(seed)
    net = Network(len(like.mean))
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY)
    steps = EPOCHS * (len(states) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps + 1, pct_start=0.1)
    balance = torch.tensor((len(false) - sum(false)) / sum(false))
    lengths = np.array([len(each) for each in states])
    for epoch in range(EPOCHS):
        total = 0.0
        for rows in batches(lengths, chance):
            label = torch.tensor([float(false[n]) for n in rows])
            found = net(*filled_up([states[n] for n in rows], like))
            loss = nn.functional.binary_cross_entropy_with_logits(found, label, pos_weight=balance)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), LONGEST_STEP)
            optimiser.step()
            schedule.step()
            total += loss.item()
        print(f"network {seed + 1} of {SEEDS}, round {epoch + 1}: {total * BATCH / len(states):.3f}", file=sys.stderr)
    net.eval()
    return net.weights(like)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=None)
    parser.add_argument("--keep", type=Path, help="a folder, one for each model, where what was read is kept")
    args = parser.parse_args()
    coach, llm, name = opened(args.model)
    like = Tokenwise.load(weights_file(name))
    records = with_replay(marked(), FIRST_ROUND)
    states, false, _ = read(coach, llm, records, like.layers, args.keep)
    networks = tuple(train_one(states, false, like, seed) for seed in range(SEEDS))
    save(networks, attention_file(name))
    states, false, _ = read(coach, llm, marked(left_out=True), like.layers, args.keep)
    probe = Probe(llm, like, networks)
    print(json.dumps(told_apart([probe.odds_of(each.astype(np.float32)) for each in states], false)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
