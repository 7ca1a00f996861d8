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
from collections import Counter
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

# Logistic regressions fitted on the development half of `benchmarks/grading.py`: `--fit`, 462 verdicts on answers to
# seven entries; for claims 70 answers to nine entries, 37 of them with one error.
POINT_BIAS, POINT_WEIGHTS = -4.61, (4.32, 6.67, 3.59, 2.27)
CLAIM_BIAS, CLAIM_WEIGHTS = -2.43, (1.16, 0.88, 0.17)
COVERED = 0.6
PARTIAL = 0.3
UNSURE = 0.03  # distance from the border of partial within which a verdict is called unsure
FLAGGED = 0.30  # probability of a claim from which it is flagged: one false alarm in thirty-three error-free answers
DOUBTED = 0.2  # probability from which a sentence is no ground for praise
MAX_CLAIMS = 5  # misconceptions that the model is asked about: those nearest to what was said hold 0.8 of the errors
CLAIMS_PER_SENTENCE = 2
LEAD_WEIGHT = 0.5  # of the lead over the correction, beside the cosine with the claim, in choosing them
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
        self._vectors: dict[tuple[str, ...], Vectors] = {}
        self._lock = threading.Lock()

    def grade(self, task: Task, answer: str) -> Scorecard:
        """The scorecard of an answer; raises `GradingError` when it cannot be graded."""
        if not task.points:
            raise GradingError("There is no key point to grade against; give the entry key points or a reference.")
        text, _ = clipped(answer)
        screened = screen(text, task.question)
        if not screened.sentences:
            return Scorecard(tuple(Verdict(point, "missed", 0.0) for point in task.points))
        found = _Stretches.of(screened, self._encoder)
        suspected = self._suspected(task, screened, found)
        doubted = {sentence for sentence, (probability, _) in suspected.items() if probability >= DOUBTED}
        verdicts = tuple(replace(v, doubted=v.evidence in doubted) for v in self._verdicts(task, screened, found))
        flags = (
            Flag(wrong.claim, wrong.correction, sentence, round(probability, 3))
            for sentence, (probability, wrong) in suspected.items()
            if probability >= FLAGGED
        )
        return Scorecard(verdicts, tuple(flags))

    def calibrate(self, task: Task) -> Calibration:
        """What null answers and model answers get for each point of a task; computed once, then kept on disk."""
        contests = self._store.contests(task.question)
        key = calibration_key(self._llm.name, task, contests)
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
        claims = self._claim_odds(task, task.models[-1], task.misconceptions) if task.models else []
        return Calibration(null, model, tuple(claims))

    def features(self, task: Task, answer: str) -> list[tuple[float, ...]]:
        """What each point's verdict is judged by, none for an answer that states nothing; for the benchmark's fit."""
        screened = screen(clipped(answer)[0], task.question)
        if not screened.sentences:
            return []
        return self._features(task, screened, self._nearness(_Stretches.of(screened, self._encoder), task))

    def _features(self, task: Task, screened: Screened, near: Vectors) -> list[tuple[float, ...]]:
        """For each point: odds and note between null and model answers, greatest cosine, share of its words said."""
        placed = self.calibrate(task).placed(self._signs(task, screened.text))
        said = set(terms(screened.text))
        return [(*placed[n], float(near[:, n].max()), _share(point, said)) for n, point in enumerate(task.points)]

    def _nearness(self, found: _Stretches, task: Task) -> Vectors:
        """Cosines of stretches of an answer with the key points, shape (stretches, points)."""
        near: Vectors = found.vectors @ self._vectors_of([p.text for p in task.points]).T
        return near

    def _vectors_of(self, texts: Sequence[str]) -> Vectors:
        """Vectors of an entry's texts, encoded once."""
        key = tuple(texts)
        with self._lock:
            if key not in self._vectors:
                self._vectors[key] = self._encoder.encode(key)
            return self._vectors[key]

    def _verdicts(self, task: Task, screened: Screened, found: _Stretches) -> tuple[Verdict, ...]:
        near = self._nearness(found, task)
        verdicts = []
        for n, (point, features) in enumerate(zip(task.points, self._features(task, screened, near), strict=True)):
            probability = _logistic(POINT_BIAS, POINT_WEIGHTS, features)
            status = _status(probability)
            evidence = _evidence(screened, near[:, n]) if status != "missed" else ""
            if status in ("covered", "partial") and not evidence:
                status = "unsure"
            verdicts.append(Verdict(point, status, round(probability, 3), evidence))
        return tuple(verdicts)

    def _suspected(self, task: Task, screened: Screened, found: _Stretches) -> dict[str, tuple[float, Misconception]]:
        """For each sentence near a misconception: how probably it is one, and which."""
        suspected: dict[str, tuple[float, Misconception]] = {}
        for wrong, sentence, features in self._claim_features(task, screened, found):
            probability = _logistic(CLAIM_BIAS, CLAIM_WEIGHTS, features)
            if features[1] >= MIN_EVIDENCE and probability > suspected.get(sentence, (0.0, wrong))[0]:
                suspected[sentence] = (probability, wrong)
        return suspected

    def _claim_features(
        self, task: Task, screened: Screened, found: _Stretches
    ) -> list[tuple[Misconception, str, tuple[float, ...]]]:
        """The misconceptions nearest to what was said: each with the sentence, and what a flag is judged by.

        That is the log-odds of yes beyond those of the model answer, the cosine of a stretch with the claim, and its
        lead over that with the correction.
        """
        if not task.misconceptions:
            return []
        claims = found.vectors @ self._vectors_of([m.claim for m in task.misconceptions]).T
        lead = claims - found.vectors @ self._vectors_of([m.correction for m in task.misconceptions]).T
        chosen: dict[int, int] = {}
        asked = Counter[int]()
        for flat in (-(claims + LEAD_WEIGHT * lead)).argsort(axis=None):
            place, claim = divmod(int(flat), len(task.misconceptions))
            if claim not in chosen and asked[found.owners[place]] < CLAIMS_PER_SENTENCE:
                chosen[claim] = place
                asked[found.owners[place]] += 1
            if len(chosen) == MAX_CLAIMS:
                break
        odds = self._claim_odds(task, screened.text, [task.misconceptions[n] for n in chosen])
        usual = self.calibrate(task).claims
        return [
            (
                task.misconceptions[claim],
                screened.sentences[found.owners[place]],
                (said - usual[claim], float(claims[place, claim]), float(lead[place, claim])),
            )
            for (claim, place), said in zip(chosen.items(), odds, strict=True)
        ]

    def _signs(self, task: Task, answer: str) -> Signs:
        chats = [point_prompt(task.question, answer, point.text) for point in task.points]
        odds = [yes_over_no(row) for row in self._llm.choice_logprobs(chats, YES_NO)]
        [notes] = self._llm.choice_logprobs([note_prompt(task.question, answer)], [p.text for p in task.points])
        return Signs(tuple(odds), tuple(notes))

    def _claim_odds(self, task: Task, answer: str, claims: Sequence[Misconception]) -> list[float]:
        if not claims:
            return []
        chats = [claim_prompt(task.question, answer, wrong.claim) for wrong in claims]
        return [yes_over_no(row) for row in self._llm.choice_logprobs(chats, YES_NO)]


def calibration_key(model: str, task: Task, contests: Sequence[Contest] = ()) -> str:
    """Under what a task's calibration is kept: it changes with all that is asked, and of whom."""
    stated = ([p.text for p in task.points], [m.claim for m in task.misconceptions])
    texts = (task.question, *stated, task.models, task.foil)
    return CalibrationStore.key(model, *texts, [asdict(contest) for contest in contests])


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


@dataclass(frozen=True)
class _Stretches:
    """What may make a point: sentences, pairs of neighbours, and clauses, the sentences first and in their order.

    `owners` are the places of their sentences, `vectors` has a row for each stretch.
    """

    owners: tuple[int, ...]
    vectors: Vectors

    @classmethod
    def of(cls, screened: Screened, encoder: Encoder) -> _Stretches:
        sentences = list(screened.sentences)
        found = [(sentence, n) for n, sentence in enumerate(sentences)]
        found += [(f"{a} {b}", n) for n, (a, b) in enumerate(pairwise(sentences))]
        for n, sentence in enumerate(sentences):
            clauses = [c.strip() for c in _CLAUSE.split(sentence) if len(c.split()) >= 4]
            found += [(clause, n) for clause in clauses] if len(clauses) > 1 else []
        return cls(tuple(n for _, n in found), encoder.encode([text for text, _ in found]))


def _evidence(screened: Screened, nearness: Vectors) -> str:
    """The sentence of the answer nearest to a point, word for word; empty when none is near."""
    best = int(nearness[: len(screened.sentences)].argmax())
    return screened.sentences[best] if float(nearness.max()) >= MIN_EVIDENCE else ""


def sentences_of(answer: str) -> tuple[str, ...]:
    """The sentences of an answer, as a candidate may point to one when contesting a verdict."""
    return split_sentences(answer, loose=True)
