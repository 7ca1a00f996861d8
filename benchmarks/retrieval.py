"""How right is retrieval, and does it know what it does not know?

`python benchmarks/retrieval.py` prints, for the development and the held-back half of `data/retrieval.jsonl`: right
entry first and in the first three, the same for the dense and the lexical ranking alone, AUC and errors of
"answerable", how the last turns of `data/turns.jsonl` were taken, and the time of a search. `--fit` prints the weights
that the development questions choose.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from coach import ranking
from coach.config import BUILT_IN_KNOWLEDGE, settings_from
from coach.knowledge import Entry, load_entries
from coach.resolution import Resolution, resolve
from coach.retrieval import Index, SearchResult, SentenceEncoder
from coach.session import Exchange, Session
from coach.weights import encoder_folder

DATA = Path(__file__).parent / "data" / "retrieval.jsonl"
TURNS = Path(__file__).parent / "data" / "turns.jsonl"
FOLDS = 5
LEXICAL = ("terms", "terms, one passage", "spelling")
PENALTY = 1e-4  # on the squares of the ranking weights


def load(path: Path = DATA) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def look_up(index: Index, record: dict[str, Any]) -> tuple[str, SearchResult | None]:
    """What was looked up for the last turn, and what was found."""
    resolution, _ = conversation(index, record.get("turns") or [record["question"]])
    return resolution.query, None if resolution.kind == "lost" else resolution.found


def conversation(index: Index, turns: list[str]) -> tuple[Resolution, Session]:
    """How the last turn was resolved, and the conversation with it; answers are cited as ask would."""
    session = Session()
    for turn in turns:
        resolution = resolve(turn, session.exchanges, index)
        cited: tuple[str, ...] = ()
        if resolution.kind == "acknowledgement":
            cited = session.exchanges[-1].citations
        elif resolution.answerable and resolution.found is not None:
            cited = (resolution.found.hits[0].entry.id,)
        session = session.asked(Exchange(turn, "", cited, (), bool(cited)))
    return resolution, session


def measure_turns(index: Index, records: list[dict[str, Any]]) -> dict[str, str]:
    """For each kind of last turn, how many were answered from the right entry, declined, acknowledged or greeted."""
    right: dict[str, list[bool]] = {}
    for record in records:
        resolution, session = conversation(index, record["turns"])
        cited = session.exchanges[-1].citations
        expected = bool(cited) and cited[0] in (record["entry"], *record["also"])
        if record["kind"] == "ack":
            good = resolution.kind == "acknowledgement" and expected
        elif record["kind"] == "first_small_talk":
            good = resolution.kind == "greeting"
        else:
            good = expected if record["entry"] else not cited
        kind = f"{record['kind']}, {record['split']}" if "split" in record else record["kind"]
        right.setdefault(kind, []).append(good)
    return {kind: f"{sum(found)}/{len(found)}" for kind, found in right.items()}


def auc(positive: list[float], negative: list[float]) -> float:
    """Area under the ROC curve: the share of pairs in the right order, ties as half."""
    p, n = np.array(positive)[:, None], np.array(negative)[None, :]
    return float(((p > n) + 0.5 * (p == n)).mean())


def measure(index: Index, records: list[dict[str, Any]]) -> dict[str, Any]:
    first = three = asked = 0
    positive: list[float] = []
    negative: list[float] = []
    wrong: list[str] = []
    seconds: list[float] = []
    for record in records:
        begin = time.perf_counter()
        _, found = look_up(index, record)
        seconds.append(time.perf_counter() - begin)
        shown = " / ".join(record.get("turns") or [record["question"]])
        probability = found.probability if found else 0.0
        if record["entry"] is None:
            negative.append(probability)
            if found and found.answerable:
                wrong.append(f"not answerable, but {found.hits[0].entry.id} ({probability:.2f}): {shown}")
            continue
        positive.append(probability)
        right = {record["entry"], *record.get("also", [])}
        ids = [hit.entry.id for hit in found.hits] if found else []
        asked += 1
        first += bool(ids) and ids[0] in right
        three += bool(right & set(ids[:3]))
        if not ids or ids[0] not in right:
            wrong.append(f"{record['entry']} but {ids[:3]}: {shown}")
        if not (found and found.answerable):
            wrong.append(f"answerable, but refused ({probability:.2f}): {shown}")
    return {
        "questions": len(records),
        "first": round(first / asked, 4),
        "in_three": round(three / asked, 4),
        "auc": round(auc(positive, negative), 4),
        "answerable_refused": sum(p < ranking.ANSWERABLE_PROBABILITY for p in positive),
        "unanswerable_answered": sum(p >= ranking.ANSWERABLE_PROBABILITY for p in negative),
        "answerable": len(positive),
        "unanswerable": len(negative),
        "seconds_p95": round(float(np.percentile(seconds, 95)), 4),
        "wrong": wrong,
    }


def search_seconds(index: Index, records: list[dict[str, Any]]) -> float:
    """95th percentile of a single search."""
    taken = []
    for record in records:
        begin = time.perf_counter()
        index.search((record.get("turns") or [record["question"]])[-1])
        taken.append(time.perf_counter() - begin)
    return float(np.percentile(taken, 95))


def thinned(entries: Sequence[Entry]) -> tuple[tuple[Entry, ...], ...]:
    """The knowledge twice, each time with every second alias left out.

    Most aliases were written by people who had seen development questions. With half of them gone, those questions
    are as far from the entries as a stranger's are.
    """
    return tuple(tuple(replace(e, aliases=e.aliases[half::2]) for e in entries) for half in (0, 1))


Row = tuple[np.ndarray, np.ndarray, tuple[float, ...], int]  # ranking features, right entries, answer features, fold


def rows_of(index: Index, records: list[dict[str, Any]]) -> list[Row]:
    """Features and labels of the questions that stand alone; the fold is that of the entry asked for."""
    rows = []
    keys = [entry.id for entry in index.entries]
    for n, record in enumerate(records):
        if "turns" in record:
            continue
        table, answer = index.features(record["question"])
        right = np.array([key in (record["entry"], *record.get("also", [])) for key in keys])
        rows.append((table, right, answer, keys.index(record["entry"]) if record["entry"] else n))
    return rows


def fit_ranking(rows: list[Row]) -> np.ndarray:
    """Weights that give the right entries the highest likelihood (conditional logit)."""
    from scipy.optimize import minimize

    asked = [(table, right) for table, right, _, _ in rows if right.any()]
    tables, rights = np.stack([table for table, _ in asked]), np.stack([right for _, right in asked])

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        scores = tables @ weights
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        shares = powers / powers.sum(axis=1, keepdims=True)
        wanted = powers * rights
        own = wanted.sum(axis=1, keepdims=True)
        total = -np.log(own / powers.sum(axis=1, keepdims=True)).mean() + PENALTY * weights @ weights
        slope = np.einsum("nek,ne->k", tables, shares - wanted / own) / len(tables) + 2 * PENALTY * weights
        return float(total), slope

    return np.asarray(minimize(loss, np.ones(tables.shape[2]), jac=True).x)


def fit_answerable(rows: list[Row]) -> tuple[float, np.ndarray]:
    """Bias and weights of the logistic regression for "answerable"."""
    from sklearn.linear_model import LogisticRegression

    features = np.array([answer for _, _, answer, _ in rows])
    model = LogisticRegression(C=30.0, class_weight="balanced", max_iter=5000)
    model.fit(features, np.array([right.any() for _, right, _, _ in rows]))
    return float(model.intercept_[0]), model.coef_[0]


def cross_validated(rows: list[Row]) -> dict[str, float]:
    """Right entry first, in the first three, and AUC, each question judged by weights of the other folds."""
    first, three, positive, negative = [], [], [], []
    for fold in range(FOLDS):
        learned = [row for row in rows if row[3] % FOLDS != fold]
        weights = fit_ranking(learned)
        bias, answer_weights = fit_answerable(learned)
        for table, right, answer, number in rows:
            if number % FOLDS != fold:
                continue
            (positive if right.any() else negative).append(bias + float(np.dot(answer_weights, answer)))
            if right.any():
                order = np.argsort(-(table @ weights))
                first.append(right[order[0]])
                three.append(right[order[:3]].any())
    found = {"first": float(np.mean(first)), "in_three": float(np.mean(three)), "auc": auc(positive, negative)}
    return {key: round(value, 4) for key, value in found.items()}


def fit(entries: Sequence[Entry], encoder: SentenceEncoder, cache: Path, records: list[dict[str, Any]]) -> None:
    """Print the weights that the development questions choose, and how good such weights are on left-out folds."""
    rows: list[Row] = []
    for part in thinned(entries):
        index = Index.build(part, encoder, cache)
        rows += rows_of(index, records)
    print(f"cross-validated, half of the aliases: {cross_validated(rows)}")
    ranks = fit_ranking(rows)
    ranking.RANK_WEIGHTS = tuple(round(float(w), 3) for w in ranks / ranks.sum())  # type: ignore[assignment]
    print(f"RANK_WEIGHTS = {ranking.RANK_WEIGHTS}")
    rows = [row for part in thinned(entries) for row in rows_of(Index.build(part, encoder, cache), records)]
    bias, weights = fit_answerable(rows)
    print(f"ANSWER_BIAS = {bias:.2f}\nANSWER_WEIGHTS = {tuple(round(float(w), 2) for w in weights)}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--wrong", action="store_true", help="list what went wrong on the development half")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    settings = settings_from()
    entries = load_entries(BUILT_IN_KNOWLEDGE)
    name = str(encoder_folder()) if settings.encoder == "default" else settings.encoder
    encoder = SentenceEncoder.load(name, "cpu")
    index = Index.build(entries, encoder, settings.cache_dir)
    records = load()
    development = [r for r in records if r["split"] == "dev"]
    held_back = [r for r in records if r["split"] == "test"]
    if args.fit:
        fit(entries, encoder, settings.cache_dir, development)
        return 0
    results: dict[str, Any] = {}
    sets = [
        ("development", development),
        ("held back, first set", [r for r in held_back if "set" not in r]),
        ("held back, second set", [r for r in held_back if r.get("set") == "2"]),
        ("held back, third set", [r for r in held_back if r.get("set") == "3"]),
        ("held back", held_back),
    ]
    for label, part in sets:
        results[label] = measure(index, part)
        wrong = results[label].pop("wrong")
        if args.wrong and label == "development":
            print("\n".join(wrong), file=sys.stderr)
    saved = ranking.RANK_WEIGHTS
    named = list(zip(ranking.RANK_FEATURES, saved, strict=True))
    for label, weights in (
        ("held back, dense alone", tuple(0.0 if name in LEXICAL else w for name, w in named)),
        ("held back, BM25 alone", tuple(w if name in LEXICAL[:2] else 0.0 for name, w in named)),
    ):
        ranking.RANK_WEIGHTS = weights
        compared = measure(index, held_back)
        results[label] = {key: compared[key] for key in ("first", "in_three")}
    ranking.RANK_WEIGHTS = saved
    results["turns"] = measure_turns(index, load(TURNS))
    results["search_seconds_p95"] = round(search_seconds(index, records), 4)
    if args.json:
        print(json.dumps(results))
    else:
        for label, value in results.items():
            print(f"{label}: {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
