"""The calibrated judge: which key points an answer makes, and which false statements.

Three signs are combined: the language model's yes or no for each point, set between what null answers and the entry's
own answers get; the cosine of the nearest stretch of the answer; and the share of the point's words that occur. The
combination is a logistic regression fitted on development data; what it is fed is calibrated per entry and model, so
that it carries over to other models.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import re
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from coach.errors import GradingError
from coach.grading import Flag, Scorecard, Status, Verdict
from coach.grounding import yes_over_no
from coach.knowledge import Entry, KeyPoint, Misconception, key_points_from
from coach.llm import LLM
from coach.prompts import YES_NO, claim_prompt, clipped, point_prompt
from coach.retrieval import Encoder, terms
from coach.screening import Screened, screen
from coach.sentences import split_sentences

if TYPE_CHECKING:
    from coach.retrieval import Vectors

log = logging.getLogger(__name__)

CALIBRATION_FORMAT = 1  # part of the cache key: raise it when prompts or null answers change

# Logistic regressions fitted on the development half of `benchmarks/grading.py` (112 answers of ten entries).
POINT_BIAS, POINT_WEIGHTS = -4.29, (3.36, 3.59, 4.17)
CLAIM_BIAS, CLAIM_WEIGHTS = -6.3, (0.97, 4.43, 2.43, 1.71, 2.41)
COVERED = 0.6
PARTIAL = 0.35
UNSURE = 0.08  # distance from the border of partial within which a verdict is called unsure
FLAGGED = 0.32  # probability of a claim from which it is flagged: one false alarm in twenty error-free answers
MAX_CONTESTS = 5  # disputes about a point that its calibration takes in, the latest ones
MIN_EVIDENCE = 0.42  # cosine that a span needs to be shown as evidence

_GENERIC = (
    "It is a very important topic that many people use in practice. It really depends on the data and on the model, "
    "there are several variants, and you should always try a few things and see what works best for your problem."
)
_CLAUSE = re.compile(r"[,;:]| and | so | because | but ")


@dataclass(frozen=True)
class Task:
    """What an answer is graded against; `models` are answers that make every point, `foil` one that makes none."""

    question: str
    points: tuple[KeyPoint, ...]
    misconceptions: tuple[Misconception, ...]
    models: tuple[str, ...]
    foil: str

    @classmethod
    def of_entry(cls, entry: Entry, foil: str, only_point: str = "") -> Task:
        """The task of an entry's own question, or of one of its key points."""
        points = tuple(p for p in entry.key_points if not only_point or p.id == only_point)
        models = tuple(text for text in (entry.answer, entry.spoken) if text)
        return cls(entry.question, points, entry.misconceptions, models, foil)

    @classmethod
    def of_reference(cls, question: str, reference: str, foil: str) -> Task:
        """The task of a bare question with a reference answer; its sentences are the points."""
        return cls(question, key_points_from(reference), (), (reference,), foil)

    @classmethod
    def of_follow_up(cls, entry: Entry, question: str, foil: str) -> Task:
        """The task of a follow-up, with the entry's question as context; raises `GradingError` for an unknown one."""
        for follow_up in entry.follow_ups:
            if follow_up.question == question:
                points = tuple(KeyPoint(f"expected-{n}", text, 2) for n, text in enumerate(follow_up.expects, 1))
                asked = f"{entry.question} Follow-up: {question}"
                return cls(asked, points, entry.misconceptions, (" ".join(follow_up.expects),), foil)
        raise GradingError(f"{question!r} is not a follow-up of {entry.id!r}; take one that the coach asked.")


@dataclass(frozen=True)
class Contest:
    """A verdict that a candidate disputed: the sentence they pointed to, and whether it was found to make the point."""

    question: str
    point: str
    sentence: str
    made: bool


@dataclass(frozen=True)
class Calibration:
    """For each key point the log-odds of the strongest null answer and of the model answers; the same for claims."""

    null: tuple[float, ...]
    model: tuple[float, ...]
    claim_null: tuple[float, ...]


class Judge:
    """Grades answers with a language model and a sentence encoder."""

    def __init__(self, llm: LLM, encoder: Encoder, cache_dir: Path | None = None) -> None:
        self._llm = llm
        self._encoder = encoder
        self._cache_dir = cache_dir
        self._known: dict[str, Calibration] = {}
        self._lock = threading.Lock()

    def grade(self, task: Task, answer: str) -> Scorecard:
        """The scorecard of an answer; raises `GradingError` when it cannot be graded."""
        if not task.points:
            raise GradingError("There is no key point to grade against; give the entry key points or a reference.")
        text, _ = clipped(answer)
        screened = screen(text, task.question)
        if not screened.sentences:
            return Scorecard(tuple(Verdict(point, "missed", 0.0) for point in task.points))
        return Scorecard(self._verdicts(task, screened), self._flags(task, screened))

    def calibrate(self, task: Task) -> Calibration:
        """What null answers and model answers get for each point of a task; computed once, then kept on disk."""
        contests = self.contests(task.question)
        key = self._key(task, contests)
        with self._lock:
            if key in self._known:
                return self._known[key]
            found = self._stored(key)
            if found is None:
                found = self._measure(task, contests)
                self._store(key, found)
            self._known[key] = found
            return found

    def contested(self, task: Task, point: KeyPoint, sentence: str, made: bool) -> None:
        """Keep how a disputed verdict was decided; from the next answer on the point is calibrated with it."""
        if self._cache_dir is None:
            return
        path = self._contests
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(Contest(task.question, point.id, sentence, made))) + "\n")

    def contests(self, question: str) -> tuple[Contest, ...]:
        """The disputes that were decided about a question's points, oldest first."""
        if self._cache_dir is None or not self._contests.is_file():
            return ()
        found = []
        for line in self._contests.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                found.append(Contest(**json.loads(line)))
            except (ValueError, TypeError):
                log.warning("a damaged line of %s is left out", self._contests)
        return tuple(contest for contest in found if contest.question == question)

    def _measure(self, task: Task, contests: Sequence[Contest]) -> Calibration:
        nulls = ("I don't know.", task.question, _GENERIC, task.foil)
        null = [self._point_odds(task, text) for text in nulls if text]
        model = [self._point_odds(task, text) for text in task.models]
        claims = [self._claim_odds(task, text) for text in task.models]
        lowest = [max(row) for row in zip(*null, strict=True)]
        highest = [sum(row) / len(row) for row in zip(*model, strict=True)]
        for n, point in enumerate(task.points):
            for contest in [c for c in contests if c.point == point.id][-MAX_CONTESTS:]:
                odds = self._point_odds(replace(task, points=(point,)), contest.sentence)[0]
                if contest.made:  # people do say it like this: it need not be as plain as the model answer
                    highest[n] = max(min(highest[n], odds), lowest[n])
                else:
                    lowest[n] = min(max(lowest[n], odds), highest[n])
        return Calibration(tuple(lowest), tuple(highest), tuple(max(row) for row in zip(*claims, strict=True)))

    def _verdicts(self, task: Task, screened: Screened) -> tuple[Verdict, ...]:
        calibration = self.calibrate(task)
        odds = self._point_odds(task, screened.text)
        spans = _spans(screened)
        near = self._encoder.encode(spans) @ self._encoder.encode([p.text for p in task.points]).T
        said = set(terms(screened.text))
        verdicts = []
        for n, point in enumerate(task.points):
            gap = max(calibration.model[n] - calibration.null[n], 1.0)
            placed = min(max((odds[n] - calibration.null[n]) / gap, -1.5), 1.5)
            own = set(terms(point.text))
            recall = len(own & said) / max(1, len(own))
            likeness = float(near[:, n].max())
            probability = _logistic(POINT_BIAS, POINT_WEIGHTS, (placed, likeness, recall))
            status = _status(probability)
            evidence = _evidence(screened, near[:, n], spans) if status != "missed" else ""
            if status in ("covered", "partial") and not evidence:
                status = "unsure"
            verdicts.append(Verdict(point, status, round(probability, 3), evidence))
        return tuple(verdicts)

    def _flags(self, task: Task, screened: Screened) -> tuple[Flag, ...]:
        if not task.misconceptions:
            return ()
        odds = self._claim_odds(task, screened.text)
        spans = _spans(screened)
        vectors = self._encoder.encode(spans)
        claims = vectors @ self._encoder.encode([m.claim for m in task.misconceptions]).T
        truths = vectors @ self._encoder.encode([m.correction for m in task.misconceptions]).T
        flags = []
        for n, misconception in enumerate(task.misconceptions):
            best = int(claims[:, n].argmax())
            features = (odds[n], *_claim_likeness(spans[best], misconception, claims[best, n], truths[best, n]))
            probability = _logistic(CLAIM_BIAS, CLAIM_WEIGHTS, features)
            evidence = _evidence(screened, claims[:, n], spans)
            if probability >= FLAGGED and evidence:
                flags.append(Flag(misconception.claim, misconception.correction, evidence, round(probability, 3)))
        best_of: dict[str, Flag] = {}
        for flag in sorted(flags, key=lambda f: -f.probability):
            best_of.setdefault(flag.evidence, flag)
        return tuple(best_of.values())

    def _point_odds(self, task: Task, answer: str) -> list[float]:
        chats = [point_prompt(task.question, answer, point.text) for point in task.points]
        return [yes_over_no(row) for row in self._llm.choice_logprobs(chats, YES_NO)]

    def _claim_odds(self, task: Task, answer: str) -> list[float]:
        if not task.misconceptions:
            return []
        chats = [claim_prompt(task.question, answer, m.claim) for m in task.misconceptions]
        return [yes_over_no(row) for row in self._llm.choice_logprobs(chats, YES_NO)]

    @property
    def _contests(self) -> Path:
        assert self._cache_dir is not None
        return self._cache_dir / "calibration" / "contested.jsonl"

    def _key(self, task: Task, contests: Sequence[Contest]) -> str:
        decided = [asdict(contest) for contest in contests]
        text = json.dumps([CALIBRATION_FORMAT, self._llm.name, asdict(task), decided], sort_keys=True)
        return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]

    def _stored(self, key: str) -> Calibration | None:
        if self._cache_dir is None:
            return None
        path = self._cache_dir / "calibration" / f"{key}.json"
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            return Calibration(*(tuple(float(v) for v in values[f]) for f in ("null", "model", "claim_null")))
        except (OSError, ValueError, KeyError, TypeError):
            return None  # not there, or damaged: measured again

    def _store(self, key: str, found: Calibration) -> None:
        if self._cache_dir is None:
            return
        folder = self._cache_dir / "calibration"
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, suffix=".tmp")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(asdict(found), file)
        os.replace(temporary, folder / f"{key}.json")


def _status(probability: float) -> Status:
    if probability >= COVERED:
        return "covered"
    if probability >= PARTIAL + UNSURE:
        return "partial"
    return "unsure" if probability >= PARTIAL - UNSURE else "missed"


def _logistic(bias: float, weights: Sequence[float], features: Sequence[float]) -> float:
    return 1.0 / (1.0 + math.exp(-(bias + sum(w * f for w, f in zip(weights, features, strict=True)))))


def _spans(screened: Screened) -> list[str]:
    """Stretches that may make a point: sentences, pairs of neighbours, and clauses."""
    sentences = list(screened.sentences)
    spans = sentences + [f"{a} {b}" for a, b in pairwise(sentences)]
    for sentence in sentences:
        clauses = [c.strip() for c in _CLAUSE.split(sentence) if len(c.split()) >= 4]
        spans += clauses if len(clauses) > 1 else []
    return spans


def _evidence(screened: Screened, nearness: Vectors, spans: Sequence[str]) -> str:
    """The sentence of the answer nearest to a point, word for word; empty when none is near."""
    rows = range(len(screened.sentences))
    best = max(rows, key=lambda n: float(nearness[n]))
    reach = max(float(nearness.max()), float(nearness[best]))
    return screened.sentences[best] if reach >= MIN_EVIDENCE else ""


def _claim_likeness(span: str, misconception: Misconception, claim: float, truth: float) -> tuple[float, ...]:
    """Cosine to the claim, its lead over the correction, share of the claim's words, and of those only it has."""
    said = set(terms(span))
    false, true = set(terms(misconception.claim)), set(terms(misconception.correction))
    lead = len((false - true) & said) / max(1, len(false - true)) - len((true - false) & said) / max(
        1, len(true - false)
    )
    return (float(claim), float(claim - truth), len(false & said) / max(1, len(false)), lead)


def sentences_of(answer: str) -> tuple[str, ...]:
    """The sentences of an answer, as a candidate may point to one when contesting a verdict."""
    return split_sentences(answer, loose=True)
