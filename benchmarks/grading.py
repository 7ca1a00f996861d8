"""How right are the grades? Our own answers of known quality, and `--mohler FILE` for agreement with people.

`python benchmarks/grading.py --split test` grades every answer of the entries held back (even numbers); `dev` holds
those that thresholds were chosen on. Compared in the same run: TF-IDF cosine, MiniLM cosine, and the share of the
reference's words, each of the answer against the entry's answer; and a single digit asked of the same model.

`--free` takes answers instead that were to use words of their own, `--dense` those that put several points into each of
a few long sentences, `--terse` those of a single short sentence, `--own` answers to questions that six users might add
(`data/own`), on which nothing was trained and no threshold chosen. `--feedback N` has the model word the feedback to N
answers and counts how often the check refused it. `--speed N` grades N development answers against all points of their
entries and against the first five, and takes the time.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import pearsonr, spearmanr

from coach.coach import Coach
from coach.config import settings_from
from coach.errors import CoachError
from coach.feedback import feedback, next_follow_up
from coach.grading import FLAG_PENALTY, MAX_SCORE
from coach.judge import Task
from coach.llm import Message
from coach.prompts import clipped
from coach.retrieval import terms

DATA = Path(__file__).parent / "data"
# Files of answers of known quality: to what, says the head of the file.
KNOWN, FREE, DENSE, TERSE, OWN = ("a", "b"), ("c",), ("d",), ("e",), ("own",)
ONE_ERROR, WITH_GAPS = ("good_error", "error"), ("good", "gaps")
FEW_POINTS = 5  # as many as the time is wanted for; every entry has more


def records(split: str, files: Sequence[str] = KNOWN) -> list[dict[str, Any]]:
    lines = [line for f in files for line in (DATA / f"grading-{f}.jsonl").read_text(encoding="utf-8").splitlines()]
    found = [json.loads(line) for line in lines if line.strip()]
    return [r for r in found if r["split"] == split and r["kind"] != "follow_up"]


def recall(answer: str, reference: str) -> float:
    own = set(terms(reference))
    return len(own & set(terms(answer))) / max(1, len(own))


def tfidf(answers: list[str], references: list[str]) -> list[float]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectors = TfidfVectorizer(stop_words="english").fit(references + answers)
    a, b = vectors.transform(answers), vectors.transform(references)
    return [float(x) for x in np.asarray(a.multiply(b).sum(axis=1)).ravel()]


def digit(coach: Coach, question: str, reference: str, answer: str) -> float:
    """The rival that many tools use: the model asked for a digit, its mean over the digits' probabilities."""
    assert coach.llm is not None
    asked = (
        f"Question: {question}\nReference answer: {reference}\nStudent's answer: {clipped(answer)[0]}\n\n"
        "How good is the student's answer, from 0 (worthless) to 9 (perfect)? Reply with one digit."
    )
    [row] = coach.llm.choice_logprobs([(Message("user", asked),)], [str(n) for n in range(10)])
    weights = np.exp(np.array(row) - max(row))
    return float((weights * np.arange(10)).sum() / weights.sum())


def expected_score(task: Task, labels: dict[str, str], errors: int) -> float:
    """The score that people's labels give: what the interval should hold."""
    share = {"covered": 1.0, "partial": 0.5, "missed": 0.0}
    made = sum(p.weight * share[labels[p.id]] for p in task.points) / sum(p.weight for p in task.points)
    return min(MAX_SCORE, max(0.0, MAX_SCORE * made - FLAG_PENALTY * errors))


def reliability(p: NDArray[np.float64], y: NDArray[np.int64]) -> dict[str, str]:
    """For each tenth of probability: mean probability, share that people call covered, number of verdicts."""
    bins = np.clip((p * 10).astype(int), 0, 9)
    return {
        f"{b / 10:.1f}-{(b + 1) / 10:.1f}": f"{p[bins == b].mean():.2f} {y[bins == b].mean():.2f} {(bins == b).sum()}"
        for b in range(10)
        if (bins == b).any()
    }


def worded_feedback(coach: Coach, chosen: list[dict[str, Any]], most: int) -> dict[str, Any]:
    """How often the model's feedback needed the check, and whether praise or a claim without ground got through."""
    rng = np.random.default_rng(0)
    graded = [r for r in chosen if r["kind"] not in ("hostile", "off_topic")]
    counts: dict[str, int] = defaultdict(int)
    lines = []
    for n in rng.permutation(len(graded))[:most]:
        r = graded[int(n)]
        entry = coach.entry(r["entry"])
        card = coach.grade(Task.of_entry(entry, coach.foil(entry)), r["answer"])
        begin = time.monotonic()
        counts["feedbacks"] += 1
        for line in coach.wording.feedback(card, entry.question, threading.Event()):
            kind, key = line.sentence.kind, line.sentence.rests_on
            counts["sentences"] += 1
            counts["by the model"] += line.by_model
            counts["refused"] += bool(line.refused)
            counts["praise"] += kind == "made"
            counts["praise of a point that people call missed"] += kind == "made" and r["labels"][key] == "missed"
            if line.by_model or line.refused:
                lines.append({"kind": kind, "point": key, "said": line.sentence.text, "refused": line.refused})
        follow_up = next_follow_up(entry, card, ())
        if follow_up:
            asked = coach.wording.follow_up(follow_up, card, (entry.question,), threading.Event())
            counts["follow-ups in the model's words"] += asked != follow_up.question
            lines.append({"kind": "follow-up", "point": follow_up.probes, "said": asked, "refused": ""})
        counts["seconds"] += round(time.monotonic() - begin)
    return {"counts": dict(counts), "lines": lines}


def speed(coach: Coach, count: int) -> dict[str, Any]:
    """Seconds that a scorecard takes, calibrated: with all points of the entries and with the first few, in turn.

    Each answer is graded once, because what the model computed of it is kept.
    """
    answered = [r for r in records("dev") if r["kind"] not in ("hostile", "off_topic")]
    taken: dict[str, list[float]] = defaultdict(list)
    for n, place in enumerate(np.random.default_rng(0).permutation(len(answered))[:count]):
        entry = coach.entry(answered[place]["entry"])
        task = Task.of_entry(entry, coach.foil(entry))
        if n % 2:
            task = replace(task, points=task.points[:FEW_POINTS])
        coach.judge().calibrate(task)
        begin = time.monotonic()
        coach.grade(task, answered[place]["answer"])
        taken[f"{FEW_POINTS} points" if n % 2 else "all points"].append(time.monotonic() - begin)
    return {
        name: {"answers": len(t), "median": round(float(np.median(t)), 2), "p95": round(float(np.percentile(t, 95)), 2)}
        for name, t in taken.items()
    }


def in_order(rows: list[tuple[str, int, float]]) -> tuple[float, int]:
    """Share of pairs of one entry with different quality that the score puts right; ties at no quality left out."""
    by_entry: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for entry, quality, score in rows:
        by_entry[entry].append((quality, score))
    right = pairs = 0
    for graded in by_entry.values():
        for high, better in graded:
            for low, worse in graded:
                if high > low and high > 1:
                    pairs += 1
                    right += better > worse
    return right / max(pairs, 1), pairs


def of_known_quality(coach: Coach, chosen: list[dict[str, Any]], limit: int) -> dict[str, Any]:
    if limit:
        ids = sorted({r["entry"] for r in chosen})[:limit]
        chosen = [r for r in chosen if r["entry"] in ids]
    rows: dict[str, list[tuple[str, int, float]]] = defaultdict(list)
    counts: dict[tuple[str, str], int] = defaultdict(int)
    inside: list[bool] = []
    widths: list[float] = []
    probabilities: list[tuple[float, int]] = []
    taken: list[float] = []
    praised = flagged = errors = alarms = clean = hostile_above = hostile = unfounded = feedbacks = 0
    missing = missing_found = failed = pointed = pointed_right = 0
    answers, references = [r["answer"] for r in chosen], [coach.entry(r["entry"]).answer for r in chosen]
    encoder = coach.index.encoder
    cosine = (encoder.encode(answers) * encoder.encode(references)).sum(axis=1)
    for r, like, near in zip(chosen, tfidf(answers, references), cosine, strict=True):
        entry = coach.entry(r["entry"])
        task = Task.of_entry(entry, coach.foil(entry))
        coach.prepare(entry)
        begin = time.monotonic()
        try:
            card = coach.grade(task, r["answer"])
        except CoachError:
            failed += 1
            rows["ours"].append((entry.id, r["quality"], 0.0))
            continue
        taken.append(time.monotonic() - begin)
        for name, score in (
            ("ours", card.score),
            ("TF-IDF cosine", like),
            ("MiniLM cosine", float(near)),
            ("reference words", recall(r["answer"], entry.answer)),
            ("digit", digit(coach, entry.question, entry.answer, r["answer"])),
        ):
            rows[name].append((entry.id, r["quality"], score))
        feedbacks += 1
        labels = r["labels"]
        rests = {f.claim for f in card.misconceptions} | set(labels)
        for sentence in feedback(card):
            praised += sentence.kind == "made"
            wrongly = sentence.kind == "made" and labels[sentence.rests_on] == "missed"
            unfounded += wrongly or sentence.rests_on not in rests
        if r["kind"] == "hostile":
            hostile += 1
            hostile_above += card.score > 2
            continue
        low, high = card.interval
        inside.append(low <= expected_score(task, r["labels"], len(r["errors"])) <= high)
        widths.append(high - low)
        for verdict in card.verdicts:
            label = r["labels"][verdict.key_point.id]
            counts[label, verdict.status] += 1
            if label != "partial":
                probabilities.append((verdict.probability, int(label == "covered")))
            said = r.get("evidence", {}).get(verdict.key_point.id) if label != "missed" else None
            if said is not None and verdict.evidence:
                pointed += 1
                pointed_right += any(verdict.evidence in s or s in verdict.evidence for s in said)
            if r["kind"] in WITH_GAPS and label == "missed":
                missing += 1
                missing_found += verdict.status in ("missed", "partial")
        if r["errors"]:
            errors += r["kind"] in ONE_ERROR
            flagged += r["kind"] in ONE_ERROR and bool(card.misconceptions)
        else:
            clean += 1
            alarms += bool(card.misconceptions)
    covered = sum(n for (label, _), n in counts.items() if label == "covered")
    made = sum(n for (label, status), n in counts.items() if label == "covered" and status in ("covered", "partial"))
    p, y = np.array([a for a, _ in probabilities]), np.array([b for _, b in probabilities])
    bins = np.clip((p * 10).astype(int), 0, 9)
    ece = sum(
        abs(p[bins == b].mean() - y[bins == b].mean()) * (bins == b).mean() for b in range(10) if (bins == b).any()
    )
    return {
        "answers": len(chosen),
        "entries": len({r["entry"] for r in chosen}),
        "pairs_in_order": {k: round(in_order(v)[0], 3) for k, v in rows.items()},
        "pairs": in_order(rows["ours"])[1],
        "spearman": {
            k: round(float(spearmanr([q for _, q, _ in v], [s for *_, s in v])[0]), 3) for k, v in rows.items()
        },
        "named_missing_reported_missed_or_partial": [missing_found, missing],
        "made_reported_covered_or_partial": [made, covered],
        "evidence_is_what_makes_the_point": [pointed_right, pointed],
        "errors_flagged": [flagged, errors],
        "false_alarms": [alarms, clean],
        "hostile_above_2": [hostile_above, hostile],
        "praise_of_missed_points_or_no_source": [unfounded, feedbacks],
        "praise": praised,
        "expected_calibration_error": round(float(ece), 3),
        "reliability": reliability(p, y),
        "interval_holds_score_of_labels": round(float(np.mean(inside)), 3),
        "interval_width_median": round(float(np.median(widths)), 2),
        "confusion": {f"{a} -> {b}": n for (a, b), n in sorted(counts.items())},
        "not_graded": failed,
        "seconds_median": round(float(np.median(taken)), 2),
        "seconds_p95": round(float(np.percentile(taken, 95)), 2),
    }


def mohler(coach: Coach, path: Path, limit: int, left_out: int) -> dict[str, Any]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if limit:
        rows = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))[left_out : left_out + limit]]
    people = [float(r["score"]) for r in rows]
    encoder = coach.index.encoder
    near = [float(encoder.encode([r["answer"] or "-"])[0] @ encoder.encode([r["reference"]])[0]) for r in rows]
    ours = []
    for r in rows:
        try:
            ours.append(
                coach.grade(Task.of_reference(r["question"], r["reference"], coach.foil(None)), r["answer"]).score
            )
        except CoachError:
            ours.append(0.0)
    scores = {"ours": ours, "MiniLM cosine": near}
    scores["TF-IDF cosine"] = tfidf([r["answer"] for r in rows], [r["reference"] for r in rows])
    scores["reference words"] = [recall(r["answer"], r["reference"]) for r in rows]
    scores["digit"] = [digit(coach, r["question"], r["reference"], r["answer"]) for r in rows]
    return {"answers": len(rows), "pearson": {k: round(float(pearsonr(people, v)[0]), 3) for k, v in scores.items()}}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--split", choices=("dev", "test"), default="test")
    for option, files, what in (
        ("--free", FREE, "the answers in words of their own"),
        ("--dense", DENSE, "answers with several points in a sentence"),
        ("--terse", TERSE, "answers of a single short sentence"),
        ("--own", OWN, "answers to questions that users might add"),
    ):
        parser.add_argument(option, dest="files", action="store_const", const=files, help=f"grade {what}")
    parser.set_defaults(files=KNOWN)
    parser.add_argument("--limit", type=int, default=0, help="entries, or rows of --mohler, to take")
    parser.add_argument("--mohler", type=Path)
    parser.add_argument("--left-out", type=int, default=0, help="rows of --mohler to pass over, in their random order")
    parser.add_argument("--feedback", type=int, default=0, help="answers to word feedback for")
    parser.add_argument("--speed", type=int, default=0, help="answers to take the time of")
    parser.add_argument("--model", default=None)
    args = parser.parse_args()
    chosen = records(args.split, args.files)
    if not chosen:
        parser.error(f"there are no such answers for --split {args.split}; all of them are held back: --split test")
    coach = Coach.load(settings_from(None, model=args.model, knowledge=(DATA / "own",) if args.files == OWN else None))
    coach.wait_ready(model=True)
    if args.mohler:
        result = mohler(coach, args.mohler, args.limit, args.left_out)
    elif args.speed:
        result = speed(coach, args.speed)
    elif args.feedback:
        result = worded_feedback(coach, chosen, args.feedback)
    else:
        result = of_known_quality(coach, chosen, args.limit)
    print(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
