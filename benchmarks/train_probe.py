"""Write `coach/probes.json`: what tells false sentences from true ones in the hidden states of a model.

`python benchmarks/train_probe.py` reads the embedded model beside `data/sentences.jsonl` (sentences of candidates,
marked true or false, none of them from an answer that is measured) and takes half an hour on two cores. `--check` first
trains without each fifth of the entries in turn and says how well their sentences are told apart. `--model` trains one
for another model; run it after the prompt, the knowledge or the model has changed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coach.coach import Coach
from coach.config import settings_from
from coach.judge import Task
from coach.llm import HiddenStates
from coach.misstatements import Likeness
from coach.probe import BUILT_IN, SHARPNESS, Probe, states_of
from coach.stretches import Stretches

DATA = Path(__file__).parent / "data" / "sentences.jsonl"
LAYERS = (19, 21)  # of 14, 17, 19 and 21 those that together found most in the development half of `errors.jsonl`
STEPS = 120  # of L-BFGS
SHRINK = 2e-2  # weight of the squared weights in the loss, of 0.005, 0.01 and 0.02 chosen there too
FOLDS = 5

States = list[NDArray[np.float16]]


def read(
    coach: Coach, llm: HiddenStates, records: Sequence[dict[str, Any]], layers: Sequence[int]
) -> tuple[States, list[bool], list[str]]:
    """The states of all sentences, whether each is false, and its entry."""
    states: States = []
    false: list[bool] = []
    entries: list[str] = []
    for n, record in enumerate(records):
        entry = coach.entry(record["entry"])
        task = Task.of_entry(entry, "")
        sentences = [sentence for sentence, _ in record["sentences"]]
        found = Stretches.of(sentences, coach.index)
        reference = Likeness.of(found, task.misconceptions, task.true, coach.index).reference()
        states += [s.astype(np.float16) for s in states_of(llm, layers, task.question, reference, sentences)]
        false += [bool(label) for _, label in record["sentences"]]
        entries += [entry.id] * len(sentences)
        if n % 50 == 0:
            print(f"{n} of {len(records)} answers read", file=sys.stderr)
    return states, false, entries


def soft_maximum(
    odds: NDArray[np.float32], lengths: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What `Probe.odds_of` makes of the tokens' odds, (sentences), and each token's share in it, (tokens)."""
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    sharp = SHARPNESS * odds
    highest = np.maximum.reduceat(sharp, starts)
    weight = np.exp(sharp - np.repeat(highest, lengths))
    total = np.add.reduceat(weight, starts)
    return (np.log(total / lengths) + highest) / SHARPNESS, weight / np.repeat(total, lengths)


def train(states: States, false: Sequence[bool]) -> tuple[float, NDArray[np.float32]]:
    """Bias and weights by logistic regression on the soft maximum over a sentence's tokens, true and false balanced."""
    from scipy.optimize import minimize

    x = np.concatenate(states).astype(np.float32)
    lengths = np.array([len(s) for s in states])
    mean, scale = x[::7].mean(0), x[::7].std(0) + 1e-3
    x = (x - mean) / scale
    y = np.array(false, dtype=np.float64)
    counts = np.where(y > 0, len(y) / (2 * y.sum()), len(y) / (2 * (1 - y).sum()))

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights, bias = parameters[:-1], parameters[-1]
        odds, shares = soft_maximum(x @ weights.astype(np.float32) + np.float32(bias), lengths)
        value = (counts * (np.logaddexp(0, odds) - y * odds)).mean() + SHRINK * (weights**2).sum()
        slope = counts * (1 / (1 + np.exp(-odds)) - y) / len(y)
        token_slope = np.repeat(slope, lengths) * shares
        back = (x.T @ token_slope.astype(np.float32)).astype(np.float64)
        return float(value), np.concatenate([back + 2 * SHRINK * weights, [token_slope.sum()]])

    start = np.zeros(x.shape[1] + 1)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": STEPS}).x
    unscaled = found[:-1] / scale
    return float(found[-1] - (mean * unscaled).sum()), unscaled.astype(np.float32)


def check(llm: HiddenStates, states: States, false: Sequence[bool], entries: Sequence[str]) -> dict[str, Any]:
    """How well sentences of entries left out are told apart."""
    from sklearn.metrics import roc_auc_score

    names = sorted(set(entries))
    odds = np.zeros(len(false))
    for fold in range(FOLDS):
        left = [n for n, entry in enumerate(entries) if names.index(entry) % FOLDS == fold]
        used = sorted(set(range(len(false))) - set(left))
        probe = Probe(llm, LAYERS, *train([states[n] for n in used], [false[n] for n in used]))
        odds[left] = [probe.odds_of(states[n].astype(np.float32)) for n in left]
    return {"sentences": len(false), "false": sum(false), "auc": round(float(roc_auc_score(false, odds)), 3)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=None)
    parser.add_argument("--layers", type=int, nargs="+", default=LAYERS, help="after which layers to read it")
    parser.add_argument("--check", action="store_true", help="entries left out in turn, before training on all")
    args = parser.parse_args()
    coach = Coach.load(settings_from(None, model=args.model))
    coach.wait_ready(model=True)
    assert coach.llm is not None
    assert isinstance(coach.llm, HiddenStates)
    records = [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()]
    states, false, entries = read(coach, coach.llm, records, args.layers)
    if args.check:
        print(json.dumps(check(coach.llm, states, false, entries)))
    bias, weights = train(states, false)
    kept = json.loads(BUILT_IN.read_text(encoding="utf-8")) if BUILT_IN.exists() else {}
    kept[coach.llm.name] = {
        "layers": args.layers,
        "bias": round(bias, 4),
        "weights": [float(f"{weight:.3g}") for weight in weights],
    }
    BUILT_IN.write_text(json.dumps(kept, separators=(",", ":")).replace("},", "},\n") + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
