"""Write `coach/probes/minilm.npz`: what makes of MiniLM a cross-encoder that tells false sentences from true ones.

`python benchmarks/train_cross_encoder.py` trains it on `data/sentences.jsonl` (sentences of candidates, marked true or
false, none of them from an answer that is measured) and on the misconceptions of `knowledge/` with their corrections;
forty minutes on two cores. Run it after many sentences or much of the knowledge have changed.
With `--further ROUND` it goes on from what was trained, with the sentences of that round and as many earlier ones.
`--check` trains without each fifth of the entries, says how well their sentences are told apart, and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from train_probe import marked

from coach.coach import Coach
from coach.config import settings_from
from coach.cross_encoder import AT_ONCE, DIFFERENCES, CrossEncoder, low_rank
from coach.judge import Task
from coach.misstatements import Likeness
from coach.stretches import Stretches

# Chosen on the development half of `errors.jsonl`: with a rate of 2e-4 nothing is learned, after one round over the
# data instead of two AUC is 0.958 instead of 0.971. More than two were not tried.
EPOCHS = 2
RATE, HEAD_RATE = 5e-5, 5e-4
WARM_UP = 0.1
FALSE_WEIGHT = 1.5  # how much more a false sentence counts: there are fewer of them
LONGEST_STEP = 1.0  # norm from which a gradient is clipped
SORTED = 20  # batches whose sentences are sorted by length, so that little is filled up
RANK = 64  # of the differences
FOLDS = 5


@dataclass(frozen=True)
class Example:
    """What is read, and whether the sentence is false."""

    pair: tuple[str, str]
    false: bool
    entry: str

    @property
    def length(self) -> int:
        """In characters."""
        return sum(map(len, self.pair))


def with_misconceptions(coach: Coach) -> list[dict[str, Any]]:
    """All sentences that are marked, and all misconceptions and corrections as if candidates had said them."""
    records = marked()
    for entry in coach.entries:
        said = [(m.claim, True) for m in entry.misconceptions] + [(m.correction, False) for m in entry.misconceptions]
        records.append({"entry": entry.id, "sentences": said})
    return records


def with_earlier(records: Sequence[dict[str, Any]], number: int) -> list[dict[str, Any]]:
    """The records of a round, and by chance earlier ones with as many sentences."""
    chosen = [r for r in records if r.get("round", 0) == number]
    left = sum(len(r["sentences"]) for r in chosen)
    earlier = [r for r in records if r.get("round", 0) < number]
    for record in random.Random(7).sample(earlier, len(earlier)):
        if left <= 0:
            break
        chosen.append(record)
        left -= len(record["sentences"])
    return chosen


def examples(coach: Coach, records: Sequence[dict[str, Any]]) -> list[Example]:
    """What is read of each sentence of the records."""
    found = []
    for record in records:
        task = Task.of_entry(coach.entry(record["entry"]), "")
        stretches = Stretches.of([sentence for sentence, _ in record["sentences"]], coach.index)
        likeness = Likeness.of(stretches, task.misconceptions, task.true, coach.index)
        pairs = [one.texts(task.question) for one in likeness.beside()]
        labels = [bool(label) for _, label in record["sentences"]]
        found += [Example(pair, label, record["entry"]) for pair, label in zip(pairs, labels, strict=True)]
    return found


def batches(chosen: Sequence[Example], chance: random.Random) -> list[list[Example]]:
    """The examples in batches of like length, in an order left to chance."""
    order = chance.sample(chosen, len(chosen))
    found = []
    for begin in range(0, len(order), SORTED * AT_ONCE):
        near = sorted(order[begin : begin + SORTED * AT_ONCE], key=lambda example: example.length)
        found += [near[n : n + AT_ONCE] for n in range(0, len(near), AT_ONCE)]
    chance.shuffle(found)
    return found


def train(chosen: Sequence[Example], epochs: int, begun: CrossEncoder | None = None) -> CrossEncoder:
    """MiniLM, or what was `begun`, trained on examples; its word embeddings stay."""
    import torch

    torch.manual_seed(0)
    chance = random.Random(0)
    found = begun or CrossEncoder.untrained()
    found.model.embeddings.requires_grad_(False)
    trained = [weight for weight in found.model.parameters() if weight.requires_grad]
    head = list(found.head.parameters())
    groups = [{"params": trained, "lr": RATE}, {"params": head, "lr": HEAD_RATE}]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.01)
    planned = [batch for _ in range(epochs) for batch in batches(chosen, chance)]
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [RATE, HEAD_RATE], total_steps=len(planned) + 1, pct_start=WARM_UP
    )
    found.model.train()
    smooth = 0.0
    for step, batch in enumerate(planned, 1):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = found.logits([example.pair for example in batch])
        false = torch.tensor([float(example.false) for example in batch])
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            logits.float(), false, pos_weight=torch.tensor(FALSE_WEIGHT)
        )
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([*trained, *head], LONGEST_STEP)
        optimiser.step()
        schedule.step()
        smooth += (loss.item() - smooth) / min(step, 100)
        if step % 100 == 0:
            print(f"step {step} of {len(planned)}, loss {smooth:.3f}", file=sys.stderr, flush=True)
    found.model.eval()
    return found


def save(trained: CrossEncoder, path: Path) -> None:
    """Write how the weights differ from those of MiniLM, matrices as two factors, all in 16 bits."""
    before = {name: weight.detach().numpy() for name, weight in CrossEncoder.untrained().model.named_parameters()}
    kept: dict[str, Any] = {f"head.{name}": value.detach().numpy() for name, value in trained.head.named_parameters()}
    for name, weight in trained.model.named_parameters():
        difference = weight.detach().numpy() - before[name]
        if not difference.any():
            continue
        if difference.ndim == 2:
            kept[f"{name}.rows"], kept[f"{name}.columns"] = low_rank(difference, RANK)
        else:
            kept[name] = difference
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(path, **{name: value.astype(np.float16) for name, value in kept.items()})


def check(chosen: Sequence[Example], epochs: int) -> dict[str, Any]:
    """How well the sentences of entries are told apart that were not trained on."""
    from sklearn.metrics import roc_auc_score

    names = sorted({example.entry for example in chosen})
    odds: list[float] = []
    false: list[bool] = []
    for fold in range(FOLDS):
        left = [example for example in chosen if names.index(example.entry) % FOLDS == fold]
        reader = train([example for example in chosen if names.index(example.entry) % FOLDS != fold], epochs)
        odds += reader.odds_of([example.pair for example in left])
        false += [example.false for example in left]
        print(json.dumps({"fold": fold, "auc so far": round(float(roc_auc_score(false, odds)), 3)}), flush=True)
    return {"sentences": len(false), "false": sum(false), "auc": round(float(roc_auc_score(false, odds)), 3)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--further", type=int, metavar="ROUND", help="go on with the sentences of a round")
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    coach = Coach.load(settings_from(None, model="none"))
    records = with_misconceptions(coach)
    chosen = examples(coach, with_earlier(records, args.further) if args.further else records)
    print(f"{len(chosen)} sentences", file=sys.stderr, flush=True)
    if args.check:
        print(json.dumps(check(chosen, args.epochs)))
    else:
        save(train(chosen, args.epochs, CrossEncoder.load() if args.further else None), DIFFERENCES)
    return 0


if __name__ == "__main__":
    sys.exit(main())
