"""Which false sentences are found? Errors flagged and false alarms in answers written apart (`data/errors.jsonl`).

`python benchmarks/errors.py --split test` counts them as `grade` flags them. `--fit` prints the weights that the
development halves of these and of the answers of known quality choose (logistic regression), for models with a probe or
without, and what thresholds would flag with each entry's answers judged by weights fitted on the others.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from typing import Any

import numpy as np
from grading import DATA, records

from coach.coach import Coach
from coach.config import settings_from
from coach.cross_encoder import CrossEncoder
from coach.judge import Task
from coach.misstatements import Likeness, Readers, read
from coach.prompts import clipped
from coach.screening import screen
from coach.stretches import Stretches


def written_apart(split: str) -> list[dict[str, Any]]:
    """Answers written apart with one error or none."""
    lines = (DATA / "errors.jsonl").read_text(encoding="utf-8").splitlines()
    return [r for r in map(json.loads, lines) if r["split"] == split]


def is_wrong(sentence: str, errors: list[str]) -> bool:
    """Whether a sentence of an answer holds one of its errors, or is part of one."""
    said = " ".join(sentence.lower().split()).rstrip(".")
    return any(said in (e := " ".join(error.lower().split()).rstrip(".")) or e in said for error in errors)


def error_flags(coach: Coach, split: str) -> dict[str, int]:
    """Errors flagged, and false alarms, in the answers written apart."""
    counts: dict[str, int] = defaultdict(int)
    for r in written_apart(split):
        entry = coach.entry(r["entry"])
        flags = coach.grade(Task.of_entry(entry, coach.foil(entry)), r["answer"]).misconceptions
        wrong = [is_wrong(flag.evidence, r["errors"]) for flag in flags]
        if r["errors"]:
            counts["with one error"] += 1
            counts["with one error: flagged"] += any(wrong)
            counts["with one error: a true sentence flagged"] += not all(wrong)
        else:
            counts["without error"] += 1
            counts["without error: flagged"] += bool(flags)
        print(json.dumps({"errors": r["errors"], "flags": [(flag.evidence, flag.claim) for flag in flags]}))
    return dict(counts)


def fit(coach: Coach, use_probe: bool) -> dict[str, Any]:
    """Weights of a misstatement's probability, and what thresholds would flag, entries left out in turn."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold

    assert coach.llm is not None
    readers = Readers.of(coach.llm) if use_probe else Readers(CrossEncoder.load())
    rows: list[tuple[float, ...]] = []
    wrong: list[bool] = []
    answers: list[int] = []
    entries: list[str] = []
    kinds = ("excellent", "concise", "good", "thin", "good_error")
    chosen = written_apart("dev") + [r for r in records("dev") if r["kind"] in kinds]
    for n, r in enumerate(chosen):
        entry = coach.entry(r["entry"])
        screened = screen(clipped(r["answer"])[0], entry.question)
        if not screened.sentences:
            continue
        task = Task.of_entry(entry, coach.foil(entry))
        found = Stretches.of(screened.sentences, coach.index, screened.wholes)
        likeness = Likeness.of(found, task.misconceptions, task.true, coach.index)
        for one, signs in read(likeness, task.question, coach.llm, readers) or ():
            row = signs.row
            rows.append(row)
            wrong.append(is_wrong(one.sentence, r["errors"]))
            answers.append(n)
            entries.append(entry.id)
            print(json.dumps([r["entry"], r["kind"], wrong[-1], one.sentence, one.misconception.claim, rows[-1]]))
    x, y, owner = np.array(rows), np.array(wrong), np.array(answers)
    keep = np.ones(len(y), dtype=bool)
    for _ in range(4):  # of several candidates for one error the likeliest counts, which the weights say
        p = np.zeros(len(y))
        for train, left in GroupKFold(5).split(x, y, entries):
            model = LogisticRegression(C=10.0).fit(x[train][keep[train]], y[train][keep[train]])
            p[left] = model.predict_proba(x[left])[:, 1]
        for n in set(answers):
            own = np.flatnonzero((owner == n) & y)
            keep[own] = own == (own[p[own].argmax()] if len(own) else -1)
    model = LogisticRegression(C=10.0).fit(x[keep], y[keep])
    table = {}
    for threshold in (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8):
        caught = {n for n in set(answers) if (p[(owner == n) & y] >= threshold).any()}
        alarms = {n for n in set(answers) if (p[(owner == n) & ~y] >= threshold).any()}
        for label, apart in (("apart", True), ("known", False)):
            ids = {n for n, r in enumerate(chosen) if ("set" in r) == apart}
            erring = {n for n in ids if chosen[n]["errors"]}
            clean = ids - erring
            table[f"{threshold} {label}"] = (
                f"{len(caught & erring)}/{len(erring)} caught, alarms: {len(alarms & clean)}/{len(clean)} without "
                f"error, {len(alarms & erring)} beside one"
            )
    return {"bias": round(float(model.intercept_[0]), 2), "weights": model.coef_[0].round(2).tolist(), "table": table}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--split", choices=("dev", "test"), default="test")
    parser.add_argument("--fit", action="store_true", help="fit the probability of a misstatement")
    parser.add_argument("--no-probe", action="store_true", help="fit it for models that have no probe")
    parser.add_argument("--model", default=None)
    args = parser.parse_args()
    coach = Coach.load(settings_from(None, model=args.model))
    coach.wait_ready(model=True)
    print(json.dumps(fit(coach, not args.no_probe) if args.fit else error_flags(coach, args.split), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
