"""Write `coach/probes/*-points.npz`: what tells points that an answer makes from points that it does not make.

`python benchmarks/train_point_probe.py` reads the states of the embedded model beside answers whose points are marked:
the development halves of `data/grading-*.jsonl`, and `data/points.jsonl`. All are on fifteen of the thirty topics. It
takes half an hour on two cores; with `--keep FOLDER` a run that was cut goes on where it was. It prints how well points
are told apart with entries left out in turn, and the weights of the verdicts' regression (`coach/judge.py`) with the
probe and without. Run it, and `calibrate.py` after it, when the prompt, the model or one of these entries has changed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from grading import FREE, KNOWN, TERSE, records
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler
from train_probe import opened, remembered

from coach.calibration import Calibration, Signs
from coach.coach import Coach
from coach.judge import PARTIAL, UNSURE, Task, best_fit, of_points, replies_for, screened_for, signs_from
from coach.llm import ChoiceStates
from coach.point_probe import PointProbe, points_file
from coach.prompts import points_prompt

MARKED = Path(__file__).parent / "data" / "points.jsonl"
LAYERS = (21,)  # of 14, 18, 21, 24 and 27 the best one; two or three together were no better
# Inverse of the penalty on the weights, of states scaled to a variance of 1, and how much a row of an answer of a
# single short sentence counts. Log loss of the first set, of answers in words of their own and of short ones,
# entries left out: 0.123, 0.213 and 0.087; with 0.003 and 1 0.127, 0.211 and 0.094; with 0.01 and 2 0.122, 0.218
# and 0.086; without short answers, at 0.003, 0.134, 0.220 and 0.112.
STRENGTH, TERSE_WEIGHT = 0.006, 2.0
FOLDS = 5

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Read:
    """What the model makes of an answer: its signs, and its states before yes or no, (points, width)."""

    signs: Signs
    states: Floats


@dataclass(frozen=True)
class Reader:
    """Asks the model about all points of an answer; keeps what it made of it in a folder."""

    llm: ChoiceStates
    keep: Path | None

    def __call__(self, task: Task, text: str) -> Read:
        def ask() -> dict[str, Floats]:
            row, states = self.llm.choice_states(points_prompt(task.question, text), replies_for(task), LAYERS)
            return {"row": np.array(row), "states": of_points(states).astype(np.float16)}

        found = remembered(self.keep, [task.question, [point.text for point in task.points], text], ask)
        return Read(signs_from(found["row"]), found["states"])


@dataclass(frozen=True)
class Marked:
    """The points of all answers, a row each: whether they are made, what is known of them, and the states.

    `null` is the mean of the null answers' states for the same point. `places` says where an answer's rows begin and
    end; `read` has one element an answer, and so has `beside`: what was read of its entry's null and model answers.
    """

    made: NDArray[np.bool_]
    sure: NDArray[np.bool_]  # neither is it half made
    entries: NDArray[np.str_]
    sources: NDArray[np.str_]
    fits: Floats
    states: Floats
    null: Floats
    places: list[slice]
    read: list[Read]
    beside: list[tuple[list[Read], list[Read]]]

    def features(self, probe: PointProbe | None, of: Sequence[int] | None = None) -> Floats:
        """The rows that `Judge` judges points by, of all answers or of some."""
        rows = []
        for n in range(len(self.read)) if of is None else of:
            nulls, models = self.beside[n]
            calibration = Calibration.of([_signs(r, probe) for r in nulls], [_signs(r, probe) for r in models])
            placed = calibration.placed(_signs(self.read[n], probe))
            rows += [[*row, fit] for row, fit in zip(placed, self.fits[self.places[n]], strict=True)]
        return np.array(rows)


def _named(files: Sequence[str]) -> str:
    return " and ".join(files)


def _signs(read: Read, probe: PointProbe | None) -> Signs:
    return read.signs if probe is None else replace(read.signs, reads=probe.odds(read.states.astype(np.float32)))


def marked(coach: Coach, reader: Reader) -> Marked:
    """Read all answers that are marked, and null and model answers of their entries."""
    chosen = [
        (_named(files), r) for files in (KNOWN, FREE, TERSE) for r in records("dev", files) if r["kind"] != "hostile"
    ]
    chosen += [(MARKED.stem, json.loads(line)) for line in MARKED.read_text(encoding="utf-8").splitlines()]
    labels, entries, sources, fits, null = [], [], [], [], []
    places: list[slice] = []
    read: list[Read] = []
    beside: list[tuple[list[Read], list[Read]]] = []
    known: dict[str, tuple[list[Read], list[Read]]] = {}
    for n, (source, r) in enumerate(chosen):
        entry = coach.entry(r["entry"])
        task = Task.of_entry(entry, coach.foil(entry))
        screened = screened_for(task, r["answer"])
        if not screened.sentences:
            continue
        if entry.id not in known:
            known[entry.id] = ([reader(task, t) for t in task.nulls], [reader(task, t) for t in task.models])
        read.append(reader(task, screened.text))
        beside.append(known[entry.id])
        places.append(slice(len(labels), len(labels) + len(task.points)))
        labels += [r["labels"][point.id] for point in task.points]
        entries += [entry.id] * len(task.points)
        sources += [source] * len(task.points)
        fits += best_fit(task, screened, coach.index)
        null.append(np.mean([each.states for each in known[entry.id][0]], axis=0))
        if n % 50 == 0:
            print(f"{n} of {len(chosen)} answers read", file=sys.stderr)
    states = np.concatenate([each.states for each in read]).astype(np.float32)
    made, sure = np.array([v == "covered" for v in labels]), np.array([v != "partial" for v in labels])
    rows = np.array(entries), np.array(sources), np.array(fits), states, np.concatenate(null).astype(np.float32)
    return Marked(made, sure, *rows, places, read, beside)


def trained(data: Marked, rows: NDArray[np.bool_]) -> PointProbe:
    """A probe from some of the rows: what moves a state away from those of null answers where a point is made."""
    rows = rows & data.sure
    moved = data.states[rows] - data.null[rows]
    scaler = StandardScaler().fit(moved)
    counts = np.where(data.sources[rows] == _named(TERSE), TERSE_WEIGHT, 1.0)
    model = LogisticRegression(C=STRENGTH, max_iter=500).fit(scaler.transform(moved), data.made[rows], counts)
    return PointProbe(LAYERS, (model.coef_[0] / scaler.scale_).astype(np.float32))


def left_out(data: Marked) -> Floats:
    """The rows of features with the probe, each from a probe that has not seen its entry."""
    found: dict[int, Floats] = {}
    for train, _ in GroupKFold(FOLDS).split(data.made, groups=data.entries):
        seen = np.zeros(len(data.made), dtype=bool)
        seen[train] = True
        probe = trained(data, seen)
        answers = [n for n, place in enumerate(data.places) if not seen[place.start]]
        rows = data.features(probe, answers)
        for n in answers:
            size = data.places[n].stop - data.places[n].start
            found[n], rows = rows[:size], rows[size:]
    return np.concatenate([found[n] for n in range(len(data.places))])


def regression(data: Marked, features: Floats) -> dict[str, Any]:
    """The verdicts' regression: its weights, and by source how it does on entries left out in turn.

    It is fitted on whole answers of known quality, not on those of `MARKED`, most of which say much that is false, and
    not on those of one short sentence: with them it finds 162 instead of 155 of the 201 points that those make, but
    121 instead of 123 of the 129 points that whole answers leave out (counted by hand; 132 and 122 when the probe knew
    no short ones).
    """
    wanted = data.sure & np.isin(data.sources, (_named(KNOWN), _named(FREE)))
    p = np.zeros(len(data.made))
    for train, left in GroupKFold(FOLDS).split(data.made, groups=data.entries):
        seen = np.isin(np.arange(len(wanted)), train) & wanted
        p[left] = _model().fit(features[seen], data.made[seen]).predict_proba(features[left])[:, 1]
    model = _model().fit(features[wanted], data.made[wanted])
    return {
        "bias": round(float(model.intercept_[0]), 2),
        "weights": [round(float(w), 2) for w in model.coef_[0]],
        "left out": {
            source: {
                "points": int(rows.sum()),
                "auc": round(float(roc_auc_score(data.made[rows], p[rows])), 4),
                "log_loss": round(float(log_loss(data.made[rows], p[rows])), 3),
                "made_found": [int((p[rows & data.made] >= PARTIAL + UNSURE).sum()), int((rows & data.made).sum())],
            }
            for source in sorted(set(data.sources))
            for rows in [data.sure & (data.sources == source)]
        },
    }


def _model() -> LogisticRegression:
    return LogisticRegression(C=10.0, max_iter=500)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=None)
    parser.add_argument("--keep", type=Path)
    args = parser.parse_args()
    coach, llm, name = opened(args.model)
    assert isinstance(llm, ChoiceStates)
    data = marked(coach, Reader(llm, args.keep))
    without, probed = regression(data, data.features(None)), regression(data, left_out(data)[:, 1:])
    print(json.dumps({"without": without, "with the probe in place of yes or no": probed}, indent=1))
    trained(data, np.ones(len(data.made), dtype=bool)).save(points_file(name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
