"""The calibrated judge: which key points an answer makes, and which false statements.

Four signs are combined: the language model's yes or no for each point, and how likely it finds the point as a note of
what was said, both set between what null answers and the entry's own answers get; the cosine of the nearest stretch of
the answer; and the share of the point's words that occur. The combination is a logistic regression fitted on
development data; what it is fed is calibrated per entry and model, so that it carries over to other models.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from coach.calibration import Calibration, CalibrationStore, Contest, Signs, mean, strongest
from coach.errors import GradingError
from coach.grading import Flag, Scorecard, Status, Verdict
from coach.grounding import yes_over_no
from coach.knowledge import Entry, KeyPoint, Misconception, key_points_from
from coach.llm import LLM
from coach.prompts import YES_NO, claim_prompt, clipped, note_prompt, point_prompt
from coach.retrieval import Encoder, terms
from coach.screening import Screened, screen
from coach.sentences import split_sentences

if TYPE_CHECKING:
    from coach.retrieval import Vectors

# Logistic regressions fitted on the development half of `benchmarks/grading.py` (112 answers of ten entries).
POINT_BIAS, POINT_WEIGHTS = -4.3, (3.0, 2.0, 2.0, 2.5)
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


class Judge:
    """Grades answers with a language model and a sentence encoder."""

    def __init__(self, llm: LLM, encoder: Encoder, cache_dir: Path | None = None) -> None:
        self._llm = llm
        self._encoder = encoder
        self._store = CalibrationStore(cache_dir)
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
        contests = self._store.contests(task.question)
        texts = (task.question, [p.text for p in task.points], task.models, task.foil)
        key = self._store.key(self._llm.name, *texts, [asdict(contest) for contest in contests])
        with self._lock:
            if key in self._known:
                return self._known[key]
            found = self._store.load(key)
            if found is None:
                found = self._measure(task, contests)
                self._store.save(key, found)
            self._known[key] = found
            return found

    def contested(self, task: Task, point: KeyPoint, sentence: str, made: bool) -> None:
        """Keep how a disputed verdict was decided; from the next answer on the point is calibrated with it."""
        self._store.contested(Contest(task.question, point.id, sentence, made))

    def _measure(self, task: Task, contests: Sequence[Contest]) -> Calibration:
        null = strongest([self._signs(task, text) for text in ("I don't know.", _GENERIC, task.foil) if text])
        model = mean([self._signs(task, text) for text in task.models])
        for n, point in enumerate(task.points):
            for contest in [c for c in contests if c.point == point.id][-MAX_CONTESTS:]:
                signs = self._signs(replace(task, points=(point,)), contest.sentence)
                if contest.made:  # people do say it like this: it need not be as plain as the model answer
                    model = model.moved(n, signs, min).moved(n, null.only(n), max)
                else:
                    null = null.moved(n, signs, max).moved(n, model.only(n), min)
        return Calibration(null, model)

    def features(self, task: Task, answer: str) -> list[tuple[float, ...]]:
        """What each point's verdict is judged by, none for an answer that states nothing; for the benchmark's fit."""
        screened = screen(clipped(answer)[0], task.question)
        if not screened.sentences:
            return []
        return self._features(task, screened, self._nearness(_spans(screened), task))

    def _features(self, task: Task, screened: Screened, near: Vectors) -> list[tuple[float, ...]]:
        """For each point: odds and note between null and model answers, greatest cosine, share of its words said."""
        placed = self.calibrate(task).placed(self._signs(task, screened.text))
        said = set(terms(screened.text))
        return [(*placed[n], float(near[:, n].max()), _share(point, said)) for n, point in enumerate(task.points)]

    def _nearness(self, spans: Sequence[str], task: Task) -> Vectors:
        """Cosines of stretches of an answer with the key points, shape (spans, points)."""
        near: Vectors = self._encoder.encode(spans) @ self._encoder.encode([p.text for p in task.points]).T
        return near

    def _verdicts(self, task: Task, screened: Screened) -> tuple[Verdict, ...]:
        spans = _spans(screened)
        near = self._nearness(spans, task)
        verdicts = []
        for n, (point, features) in enumerate(zip(task.points, self._features(task, screened, near), strict=True)):
            probability = _logistic(POINT_BIAS, POINT_WEIGHTS, features)
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

    def _signs(self, task: Task, answer: str) -> Signs:
        chats = [point_prompt(task.question, answer, point.text) for point in task.points]
        odds = [yes_over_no(row) for row in self._llm.choice_logprobs(chats, YES_NO)]
        [notes] = self._llm.choice_logprobs([note_prompt(task.question, answer)], [p.text for p in task.points])
        return Signs(tuple(odds), tuple(notes))

    def _claim_odds(self, task: Task, answer: str) -> list[float]:
        if not task.misconceptions:
            return []
        chats = [claim_prompt(task.question, answer, m.claim) for m in task.misconceptions]
        return [yes_over_no(row) for row in self._llm.choice_logprobs(chats, YES_NO)]


def _status(probability: float) -> Status:
    if probability >= COVERED:
        return "covered"
    if probability >= PARTIAL + UNSURE:
        return "partial"
    return "unsure" if probability >= PARTIAL - UNSURE else "missed"


def _share(point: KeyPoint, said: set[str]) -> float:
    """The share of a point's words that were said."""
    own = set(terms(point.text))
    return len(own & said) / max(1, len(own))


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
