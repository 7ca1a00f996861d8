"""How right is retrieval, and does it know what it does not know?

`python benchmarks/retrieval.py` prints, for the development and the held-back half of `data/retrieval.jsonl`: right
entry first and in the first three, the same for the dense and the lexical ranking alone, AUC and errors of
"answerable", and the time of a search. `--fit` prints the weights that the development half chooses.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from coach import retrieval
from coach.config import BUILT_IN_KNOWLEDGE, settings_from
from coach.knowledge import load_entries
from coach.resolution import resolve
from coach.retrieval import Index, SearchResult, SentenceEncoder
from coach.session import Exchange, Session
from coach.weights import encoder_folder

DATA = Path(__file__).parent / "data" / "retrieval.jsonl"


def load(path: Path = DATA) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def look_up(index: Index, record: dict[str, Any]) -> tuple[str, SearchResult | None]:
    """What was looked up for the last turn, and what was found; earlier turns are cited as ask would."""
    turns = record.get("turns") or [record["question"]]
    session = Session()
    for turn in turns[:-1]:
        resolution = resolve(turn, session.exchanges, index)
        cited: tuple[str, ...] = session.exchanges[-1].citations if session.exchanges else ()
        answerable = True
        if resolution.found is not None:
            answerable = resolution.found.answerable
            cited = (resolution.found.hits[0].entry.id,) if answerable else ()
        session = session.asked(Exchange(turn, "", cited, (), answerable))
    resolution = resolve(turns[-1], session.exchanges, index)
    return resolution.query, resolution.found


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
        "answerable_refused": sum(p < retrieval.ANSWERABLE_PROBABILITY for p in positive),
        "unanswerable_answered": sum(p >= retrieval.ANSWERABLE_PROBABILITY for p in negative),
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


def fit_answerable(index: Index, records: list[dict[str, Any]]) -> tuple[float, tuple[float, ...]]:
    """Bias and weights of the logistic regression for "answerable"."""
    from sklearn.linear_model import LogisticRegression

    looked_up = [(look_up(index, r)[0], (r.get("turns") or [r["question"]])[-1]) for r in records]
    rows = np.array([index.features(query, typed) for query, typed in looked_up])
    labels = np.array([record["entry"] is not None for record in records])
    model = LogisticRegression(C=30.0, class_weight="balanced", max_iter=5000).fit(rows, labels)
    return float(model.intercept_[0]), tuple(float(w) for w in model.coef_[0])


def fit_ranking(index: Index, records: list[dict[str, Any]]) -> tuple[float, ...]:
    """Weights that sum to one and give the right entries the highest likelihood (conditional logit)."""
    from scipy.optimize import minimize

    groups = []
    for record in records:
        if record["entry"] is None or "turns" in record:
            continue
        features = index.rank_features(record["question"])
        right = [key in (record["entry"], *record.get("also", [])) for key in features]
        groups.append((np.array(list(features.values())), np.array(right)))

    def loss(weights: np.ndarray) -> float:
        total = 0.0
        for rows, right in groups:
            scores = rows @ weights
            total += np.logaddexp.reduce(scores) - np.logaddexp.reduce(scores[right])
        return total / len(groups) + 1e-3 * float(weights @ weights)

    best = minimize(loss, np.ones(len(retrieval.RANK_WEIGHTS)), bounds=[(0, None)] * 3).x
    return tuple(float(w) for w in best / best.sum())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--wrong", action="store_true", help="list what went wrong on the development half")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    settings = settings_from()
    entries = load_entries(BUILT_IN_KNOWLEDGE)
    name = str(encoder_folder()) if settings.encoder == "default" else settings.encoder
    index = Index.build(entries, SentenceEncoder.load(name, "cpu"), settings.cache_dir)
    records = load()
    development = [r for r in records if r["split"] == "dev"]
    held_back = [r for r in records if r["split"] == "test"]
    if args.fit:
        ranking = fit_ranking(index, development)
        print(f"RANK_WEIGHTS = {tuple(round(w, 2) for w in ranking)}")
        retrieval.RANK_WEIGHTS = ranking
        bias, weights = fit_answerable(index, development)
        print(f"ANSWER_BIAS = {bias:.2f}\nANSWER_WEIGHTS = {tuple(round(w, 2) for w in weights)}")
        return 0
    results: dict[str, Any] = {}
    for label, part in (("development", development), ("held back", held_back)):
        results[label] = measure(index, part)
        wrong = results[label].pop("wrong")
        if args.wrong and label == "development":
            print("\n".join(wrong), file=sys.stderr)
    saved = retrieval.RANK_WEIGHTS
    for label, weights in (("held back, dense alone", (*saved[:2], 0.0)), ("held back, BM25 alone", (0.0, 0.0, 1.0))):
        retrieval.RANK_WEIGHTS = weights
        compared = measure(index, held_back)
        results[label] = {key: compared[key] for key in ("first", "in_three")}
    retrieval.RANK_WEIGHTS = saved
    results["search_seconds_p95"] = round(search_seconds(index, records), 4)
    if args.json:
        print(json.dumps(results))
    else:
        for label, value in results.items():
            print(f"{label}: {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
