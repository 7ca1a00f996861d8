"""Write a file of `coach/probes`: adapters that make a model a reader of what candidates say, and what reads them.

`python benchmarks/train_adapters.py --keep FOLDER` trains them on the sentences of the third round and later ones and
of some earlier answers, each seen once, beside the true statements that are nearest; an hour and a quarter on two cores
with AMX, without which it would be a night. What the lower layers make, which stay as they are, is kept in the folder
(4 GB), so that a run that was cut is quicker the next time. It needs the model in bf16, which is built in
the cache at the first run (3 GB).
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.nn import functional as F
from train_probe import UNITS, marked, remembered, soft_maximum, values, with_replay

from coach.adapters import Adapters
from coach.coach import Coach
from coach.config import settings_from
from coach.judge import Task
from coach.llm import Message
from coach.loading import Loaded, load
from coach.packing import Pack, pack_chats, shared_length
from coach.probe import Adapted, reference_for
from coach.prompts import truth_prompt
from coach.tokenwise import Tokenwise

FIRST, LAST = 12, 20  # layers; the probe without adapters reads after 19 and 21, and each layer more costs five minutes
INNER_UNITS = 64
TOGETHER = 48  # sentences that share a reference: its part in the cost is small, and each still finds its own in it
ALL = 600  # groups of sentences; the other 84 would be another ten minutes
RATE = 1e-3
WARM_UP = 0.08  # of all steps
LONGEST_STEP = 1.0  # norm from which a gradient is clipped
FIRST_ROUND = 3
FALSE_WEIGHT = 3.5  # true sentences for each false one


@dataclass(frozen=True)
class Group:
    """Sentences beside a reference that they share, as one row, and which of them are false."""

    pack: Pack
    beginning: int  # tokens of the row before the first sentence
    lengths: tuple[int, ...]  # tokens of each sentence and what follows it
    false: tuple[bool, ...]


class Reader(nn.Module):
    """Adapters for a model, and the network that reads the stream after them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        layers = LAST - FIRST
        self.down = nn.Parameter(torch.randn(layers, width, INNER_UNITS) / width**0.5)
        self.bias = nn.Parameter(torch.zeros(layers, INNER_UNITS))
        self.up = nn.Parameter(torch.zeros(layers, INNER_UNITS, width))
        self.hidden = nn.Linear(width, UNITS)
        self.out = nn.Linear(UNITS, 1)
        self.direct = nn.Linear(width, 1)
        nn.init.zeros_(self.direct.weight)

    def changed(self, number: int, stream: torch.Tensor) -> torch.Tensor:
        """A stream (tokens, width) as one of the adapters leaves it."""
        size = stream.pow(2).mean(-1, keepdim=True).sqrt()
        return stream + size * (torch.relu(stream / size @ self.down[number] + self.bias[number]) @ self.up[number])

    def odds(self, stream: torch.Tensor) -> torch.Tensor:
        """The log-odds of each token (tokens,)."""
        x = stream * torch.rsqrt(stream.pow(2).mean(-1, keepdim=True))
        odds: torch.Tensor = (self.out(torch.relu(self.hidden(x))) + self.direct(x))[:, 0]
        return odds

    def weights(self) -> Adapted:
        """What was learnt, for use."""
        head = Tokenwise(
            layers=(LAST,),
            mean=np.zeros(self.hidden.in_features, np.float32),
            scale=np.ones(self.hidden.in_features, np.float32),
            hidden=values(self.hidden.weight).T,
            hidden_bias=values(self.hidden.bias),
            direct=values(self.direct.weight)[0],
            out=values(self.out.weight)[0],
            bias=(self.out.bias + self.direct.bias).item(),
        )
        return Adapted(Adapters(FIRST, values(self.down), values(self.bias), values(self.up)), head)


class Layers:
    """The decoder layers of a model of the Llama kind, its stream in 32 bits, differentiable by what goes in."""

    def __init__(self, loaded: Loaded) -> None:
        self.inner = loaded.model.model
        self.inner.requires_grad_(False)
        config = loaded.model.config
        self.heads, self.kv_heads, self.eps = (
            config.num_attention_heads,
            config.num_key_value_heads,
            config.rms_norm_eps,
        )
        self.type = loaded.model.dtype

    def turns(self, pack: Pack) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines of the tokens' positions, (tokens, 1, half a head)."""
        cos, sin = self.inner.rotary_emb(torch.zeros(1), torch.tensor([pack.positions]))
        half = cos.shape[-1] // 2
        return cos[0, :, None, :half], sin[0, :, None, :half]

    def seen(
        self, index: int, x: torch.Tensor, turns: tuple[torch.Tensor, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, keys and values of tokens, each (tokens, heads, head size)."""
        layer = self.inner.layers[index]
        h = self._normed(x, layer.input_layernorm.weight)
        q, k, v = (
            project(h).view(len(x), heads, -1)
            for project, heads in (
                (layer.self_attn.q_proj, self.heads),
                (layer.self_attn.k_proj, self.kv_heads),
                (layer.self_attn.v_proj, self.kv_heads),
            )
        )
        return self._turned(q, turns), self._turned(k, turns), v

    def after(
        self,
        index: int,
        x: torch.Tensor,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor,
    ) -> torch.Tensor:
        """The stream after a layer, (tokens, width), for tokens that see keys as `mask` (tokens, keys) says."""
        layer = self.inner.layers[index]
        each = self.heads // self.kv_heads
        key, value = key.repeat_interleave(each, 1), value.repeat_interleave(each, 1)
        q, k, v = (part.transpose(0, 1)[None] for part in (query, key, value))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[None, None])[0].transpose(0, 1)
        x = x + layer.self_attn.o_proj(mixed.reshape(len(x), -1)).float()
        h = self._normed(x, layer.post_attention_layernorm.weight)
        return x + layer.mlp.down_proj(F.silu(layer.mlp.gate_proj(h)) * layer.mlp.up_proj(h)).float()

    def lower(self, pack: Pack) -> torch.Tensor:
        """The stream of a row after the lower layers, (tokens, width) in 16 bits."""
        with torch.no_grad():
            x, turns, mask = self.inner.embed_tokens(torch.tensor(pack.ids)).float(), self.turns(pack), pack.mask()
            for index in range(FIRST):
                x = self.after(index, x, *self.seen(index, x, turns), mask)
        return x.to(torch.bfloat16)

    def _normed(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * weight.float()).to(self.type)

    def _turned(self, x: torch.Tensor, turns: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        (cos, sin), (first, second) = turns, x.float().chunk(2, dim=-1)
        return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1).to(self.type)


def odds(layers: Layers, reader: Reader, group: Group, lower: torch.Tensor) -> torch.Tensor:
    """The log-odds of a group's sentences with the adapters in place, (sentences,)."""
    (cos, sin), mask, n = layers.turns(group.pack), group.pack.mask(), group.beginning
    before, own = lower[:n].float(), lower[n:].float()
    for number, index in enumerate(range(FIRST, LAST)):
        with torch.no_grad():  # nothing that is learnt changes the beginning
            query, key, value = layers.seen(index, before, (cos[:n], sin[:n]))
            before = layers.after(index, before, query, key, value, mask[:n, :n])
        own = reader.changed(number, own)
        query, own_key, own_value = layers.seen(index, own, (cos[n:], sin[n:]))
        own = layers.after(index, own, query, torch.cat([key, own_key]), torch.cat([value, own_value]), mask[n:])
    return soft_maximum(reader.odds(own), torch.tensor(group.lengths))


def groups(coach: Coach, loaded: Loaded, records: Sequence[dict[str, Any]]) -> Iterator[Group]:
    """The sentences of each entry in groups, those together that are nearest to the same true statement."""
    chance = random.Random(0)
    by_entry: dict[str, list[tuple[str, bool]]] = defaultdict(list)
    for record in records:
        by_entry[record["entry"]] += [(sentence, bool(false)) for sentence, false in record["sentences"]]
    for entry, marks in sorted(by_entry.items()):
        task = Task.of_entry(coach.entry(entry), "")
        true = tuple(dict.fromkeys((*task.true, *(m.correction for m in task.misconceptions))))
        nearness = coach.index.encode([sentence for sentence, _ in marks]) @ coach.index.encode(true).T
        order = sorted(range(len(marks)), key=lambda n: (int(nearness[n].argmax()), chance.random()))
        for begin in range(0, len(order), TOGETHER):
            rows = order[begin : begin + TOGETHER]
            reference = reference_for(nearness[rows], true)
            chats = [truth_prompt(task.question, reference, said) for said in ("x", *(marks[n][0] for n in rows))]
            yield group(loaded, chats, [marks[n][1] for n in rows])


def group(loaded: Loaded, chats: Sequence[Sequence[Message]], false: Sequence[bool]) -> Group:
    """Chats with the sentences as one row; the first shows where they part, and is left out."""
    ids = [loaded.tokens.prompt(chat, loaded.description.context).ids for chat in chats]
    shared = shared_length(ids)
    own = [each[shared:] for each in ids[1:]]
    (pack,) = pack_chats(own, [(0,)], ids[0][:shared], 0, sum(map(len, own)) + len(own))
    return Group(pack, shared, tuple(map(len, own)), tuple(false))


def kept(layers: Layers, one: Group, keep: Path) -> torch.Tensor:
    """The stream of a group after the lower layers, from the folder `keep` where it was computed before."""

    def compute() -> dict[str, NDArray[Any]]:
        return {"stream": layers.lower(one.pack).view(torch.int16).numpy()}  # numpy has no such floats

    found = remembered(keep, [FIRST, one.beginning, one.lengths, one.pack.ids], compute)
    return torch.from_numpy(found["stream"]).view(torch.bfloat16)


def train(layers: Layers, made: Sequence[Group], keep: Path) -> Adapted:
    """Adapters and what reads them; says on the way how well sentences are told apart before they are learnt from."""
    torch.manual_seed(0)
    reader = Reader(layers.inner.config.hidden_size)
    optimiser = torch.optim.AdamW(reader.parameters(), lr=RATE, weight_decay=0.0, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, RATE, total_steps=len(made) + 1, pct_start=WARM_UP, anneal_strategy="linear"
    )
    said: list[tuple[bool, float]] = []
    for number, one in enumerate(made, 1):
        found = odds(layers, reader, one, kept(layers, one, keep))
        label = torch.tensor(one.false, dtype=torch.float32)
        loss = F.binary_cross_entropy_with_logits(found, label, pos_weight=torch.tensor(FALSE_WEIGHT))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(reader.parameters(), LONGEST_STEP)
        optimiser.step()
        schedule.step()
        said = [*said, *zip(one.false, found.tolist(), strict=True)][-50 * TOGETHER :]
        if number % 10 == 0:
            auc = roc_auc_score([false for false, _ in said], [odd for _, odd in said])
            print(f"{number} of {len(made)}: AUC of the last {len(said)} {auc:.3f}", file=sys.stderr)
    return reader.weights()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=None)
    parser.add_argument("--keep", type=Path, required=True, help="a folder where what the lower layers make is kept")
    args = parser.parse_args()
    loaded = load(settings_from(None, model=args.model, quantise="none"))
    coach = Coach.load(settings_from(None, model="none"))
    made = list(groups(coach, loaded, with_replay(marked(), FIRST_ROUND)))
    random.Random(0).shuffle(made)
    train(Layers(loaded), made[:ALL], args.keep).save(loaded.description.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
