"""The calibrated judge: which key points an answer makes, and which false statements.

Three signs are combined for an entry's key points: what a probe reads in the model's state where it is to say whether a
point is stated (`coach.point_probe`; for models without one, their yes or no), and how likely they find it that the
point is named at all, both set between what null answers and the entry's own answers get; and how well the best
sentence fits the point (`coach.evidence`). The combination is a logistic regression fitted on development data; what it
is fed is calibrated per entry and model, so that it carries over to other entries and models. A bare reference is
taken as a whole (`Judge._agreement`).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from coach.calibration import Calibration, CalibrationStore, Contest, Signs
from coach.encoder import words_of
from coach.errors import GradingError
from coach.evidence import fit
from coach.grading import Flag, Scorecard, Status, Verdict, logistic
from coach.grounding import log_sum, yes_over_no
from coach.knowledge import Entry, KeyPoint, Misconception, key_points_from
from coach.llm import LLM, ChoiceStates
from coach.misstatements import Likeness, Readers, misstatements
from coach.passages import STATED, passages_of
from coach.point_probe import PointProbe
from coach.prompts import YES_NO, clipped, points_prompt, reference_prompt, stated
from coach.retrieval import Encoder, terms
from coach.screening import Screened, screen
from coach.stretches import Stretches
from coach.words import Words, recall

if TYPE_CHECKING:
    from coach.llm import States
    from coach.retrieval import Vectors

# Logistic regressions on the rows of `Judge._features`, fitted on the development halves of `benchmarks/grading.py`:
# `train_point_probe.py`, 2,169 verdicts on answers to fifteen entries. The second has what a probe reads before the
# last column; beside it the model's own yes or no tells nothing.
POINT_BIAS, POINT_WEIGHTS = -3.77, (4.44, 3.1, 8.31)
PROBED_BIAS, PROBED_WEIGHTS = -6.07, (0.0, 2.71, 8.71, 4.84)
COVERED = 0.6
PARTIAL = 0.3
UNSURE = 0.03  # distance from the border of partial within which a verdict is called unsure
# Probability of a misstatement from which its sentence is no ground for praise, and below which likeness alone is no
# ground to withhold it: of 143 points of the development halves that are made with 0.95 and doubted by likeness, all
# are made where this is below 0.02; of 14 where it is up to 0.05 two are said wrongly.
DOUBTED = 0.25
CLEARED = 0.02
MAX_CONTESTS = 5  # disputes about a point that its calibration takes in, the latest ones
# A bare reference: recall of its words from which it is said in full, and what agreement is raised to, since people's
# marks are kind. On 350 of Mohler's answers that are not among those reported r with people is 0.69 like this, with the
# recall as it is 0.67, with no power 0.68, with the model's yes alone 0.54 and with recall alone 0.64.
SAID_IN_FULL = 0.6
KINDNESS = 1 / 2
MIN_YES = 0.05  # a model that denies the reference itself is not asked for more than that
MAX_NULL = 0.5  # what null answers may reach at most: a reference that says nothing of its own grades nobody to zero
# Greatest cosine of a stretch from which a sentence is shown as evidence. From 0.42 on it is the right one for 0.98 of
# the points made in the development half; below, 60 of 71 points called made are, and it is right for three of four.
# An answer of one sentence shows it in any case: of 13 points called made below, 12 are, above 137 of 172 (entries
# left out, half-made ones not counted).
MIN_EVIDENCE = 0.3

_GENERIC = (
    "It is a very important topic that many people use in practice. It really depends on the data and on the model, "
    "there are several variants, and you should always try a few things and see what works best for your problem."
)


@dataclass(frozen=True)
class Task:
    """What an answer is graded against; `models` are answers that make every point, `foil` one that makes none.

    `true` are statements that a misconception is told apart from; `others` are points that are not graded, from which
    the evidence for those graded is told apart. `curated`: somebody wrote the points as such; else they are sentences
    of a reference answer, and an answer need not make each of them in full.
    """

    question: str
    points: tuple[KeyPoint, ...]
    misconceptions: tuple[Misconception, ...]
    models: tuple[str, ...]
    foil: str
    true: tuple[str, ...] = ()
    others: tuple[KeyPoint, ...] = ()
    curated: bool = True

    @property
    def nulls(self) -> tuple[str, ...]:
        """Answers that make no point."""
        return tuple(text for text in ("I don't know.", _GENERIC, self.foil) if text)

    @classmethod
    def of_entry(cls, entry: Entry, foil: str, only_point: str = "") -> Task:
        """The task of an entry's own question, or of one of its key points."""
        points = tuple(p for p in entry.key_points if not only_point or p.id == only_point)
        models = tuple(text for text in (entry.answer, entry.spoken) if text)
        others = tuple(p for p in entry.key_points if p not in points)
        return cls(entry.question, points, entry.misconceptions, models, foil, _true(entry), others)

    @classmethod
    def of_reference(cls, question: str, reference: str, foil: str) -> Task:
        """The task of a bare question with a reference answer; its sentences are the points."""
        return cls(question, key_points_from(reference), (), (reference,), foil, curated=False)

    @classmethod
    def of_follow_up(cls, entry: Entry, question: str, foil: str) -> Task:
        """The task of a follow-up, with the entry's question as context; raises `GradingError` for an unknown one."""
        for follow_up in entry.follow_ups:
            if follow_up.question == question:
                points = tuple(KeyPoint(f"expected-{n}", text, 2) for n, text in enumerate(follow_up.expects, 1))
                asked = f"{entry.question} Follow-up: {question}"
                expected = " ".join(follow_up.expects)
                return cls(asked, points, entry.misconceptions, (expected,), foil, _true(entry), entry.key_points)
        raise GradingError(f"{question!r} is not a follow-up of {entry.id!r}; take one that the coach asked.")


def _true(entry: Entry) -> tuple[str, ...]:
    """What an entry states, but for the corrections, which stand beside their misconceptions."""
    return tuple(p.text for p in passages_of(entry) if p.kind in STATED and p.kind != "correction")


def screened_for(task: Task, answer: str) -> Screened:
    """What an answer states; a bare reference says which words a short answer may consist of."""
    return screen(clipped(answer)[0], task.question, () if task.curated else terms(" ".join(task.models)))


@dataclass(frozen=True)
class BareReference:
    """A reference answer as it is compared: its sentences' words, the model's yes to itself, and null answers' yes."""

    yes: float
    sentences: tuple[Words, ...]
    nulls: tuple[tuple[float, Words], ...]


class Judge:
    """Grades answers with a language model and a sentence encoder."""

    def __init__(
        self,
        llm: LLM,
        encoder: Encoder,
        cache_dir: Path | None = None,
        readers: Readers | None = None,
        point_probe: PointProbe | None = None,
    ) -> None:
        self._llm = llm
        self._encoder = encoder
        self._readers = readers or Readers()
        self._point_probe = point_probe
        self._store = CalibrationStore(cache_dir)
        self._known: dict[str, Calibration] = {}
        self._of_points: dict[str, Calibration] = {}
        self._bare: dict[str, BareReference] = {}
        self._lock = threading.Lock()

    def grade(self, task: Task, answer: str) -> Scorecard:
        """The scorecard of an answer; raises `GradingError` when it cannot be graded."""
        if not task.points:
            raise GradingError("There is no key point to grade against; give the entry key points or a reference.")
        screened = screened_for(task, answer)
        if not screened.sentences:
            return Scorecard(tuple(Verdict(point, "missed", 0.0) for point in task.points))
        found = Stretches.of(screened.sentences, self._encoder, screened.wholes)
        likeness = Likeness.of(found, task.misconceptions, task.true, self._encoder)
        judged = self._verdicts(task, screened, found)
        on_topic = any(verdict.status != "missed" for verdict in judged)
        said = misstatements(likeness, task.question, self._llm, self._readers, on_topic)
        false = {one.sentence: one.probability for one in said}
        cleared = {sentence for sentence, probability in false.items() if probability < CLEARED}
        doubted = {sentence for sentence, probability in false.items() if probability >= DOUBTED}
        doubted |= likeness.doubtful - cleared
        verdicts = tuple(
            _as_far_as_true(replace(v, doubted=v.evidence in doubted), false.get(v.evidence, 0.0)) for v in judged
        )
        flags = (
            Flag(one.misconception.claim, one.misconception.correction, one.sentence, round(one.probability, 3))
            for one in said
            if one.flagged
        )
        return Scorecard(verdicts, tuple(flags))

    def calibrate(self, task: Task) -> Calibration:
        """What null answers and model answers get for each point of a task; computed once, then kept on disk."""
        contests = self._store.contests(task.question)
        key = calibration_key(self._llm.name, task, contests)
        with self._lock:
            if key not in self._known:
                found = self._store.load(key) if contests else None
                if found is None:
                    found = self._with_disputes(task, self._undisputed(task), contests)
                    if contests:
                        self._store.save(key, found)
                self._known[key] = found
            return self._known[key]

    def contested(self, task: Task, point: KeyPoint, sentence: str, made: bool) -> None:
        """Keep how a disputed verdict was decided; from the next answer on the point is calibrated with it."""
        self._store.contested(Contest(task.question, point.id, sentence, made))

    def _undisputed(self, task: Task) -> Calibration:
        """The calibration before disputes. One point of a task that is known, as in a dispute, is known too."""
        points = [calibration_key(self._llm.name, replace(task, points=(point,))) for point in task.points]
        if all(point in self._of_points for point in points):
            return Calibration.joined([self._of_points[point] for point in points])
        key = calibration_key(self._llm.name, task)
        found = self._store.load(key)
        if found is None:
            nulls, models = ([self._signs(task, text) for text in texts] for texts in (task.nulls, task.models))
            found = Calibration.of(nulls, models)
            self._store.save(key, found)
        self._of_points |= {point: found.only(n) for n, point in enumerate(points)}
        return found

    def _with_disputes(self, task: Task, found: Calibration, contests: Sequence[Contest]) -> Calibration:
        """The calibration with what was decided in disputes."""
        null, model = found.null, found.model
        for n, point in enumerate(task.points):
            for contest in [c for c in contests if c.point == point.id][-MAX_CONTESTS:]:
                signs = self._signs(replace(task, points=(point,)), contest.sentence)
                if contest.made:  # people do say it like this: it need not be as plain as the model answer
                    model = model.moved(n, signs, min).moved(n, null.only(n), max)
                else:
                    null = null.moved(n, signs, max).moved(n, model.only(n), min)
        return Calibration(null, model)

    def _features(self, task: Task, screened: Screened, fits: Sequence[float]) -> list[tuple[float, ...]]:
        """For each point where its signs lie between null and model answers, and how well the best sentence fits it."""
        placed = self.calibrate(task).placed(self._signs(task, screened.text))
        return [(*row, fit) for row, fit in zip(placed, fits, strict=True)]

    def _verdicts(self, task: Task, screened: Screened, found: Stretches) -> tuple[Verdict, ...]:
        near = _nearness(found, task, self._encoder)
        fitting = _fitting(task, screened, near)
        verdicts = []
        if task.curated:
            fits = _best(task, fitting)
            likely = [_likely(row) for row in self._features(task, screened, fits)]
        else:
            likely = self._agreement(task, screened)
        # What agrees word by word need not be near as a whole, and a single sentence has no other beside it.
        least = MIN_EVIDENCE if task.curated and len(screened.sentences) > 1 else 0.0
        for n, (point, probability) in enumerate(zip(task.points, likely, strict=True)):
            status = _status(probability)
            shown = status != "missed" and float(near[:, n].max()) >= least
            evidence = screened.sentences[int(fitting[:, n].argmax())] if shown else ""
            if status in ("covered", "partial") and not evidence:
                status = "unsure"
            verdicts.append(Verdict(point, status, round(probability, 3), evidence))
        return tuple(verdicts)

    def _agreement(self, task: Task, screened: Screened) -> list[float]:
        """How well an answer agrees with each sentence of a bare reference, beyond what null answers of its length do.

        Agreement is the share of the sentence's words that the answer says in words of its own, times the model's yes
        to whether it says what the whole reference says, beside its yes to the reference itself.
        """
        bare = self._reference(task)
        [yes] = self._yes(task, [screened.text])
        [said] = words_of(self._encoder, [screened.text])
        known = frozenset(terms(task.question))

        def agreed(yes: float, said: Words) -> list[float]:
            return [min(yes / bare.yes, 1.0) * min(recall(w, said, known) / SAID_IN_FULL, 1.0) for w in bare.sentences]

        nulls = [agreed(null_yes, null.first(len(said.texts))) for null_yes, null in bare.nulls]
        floors = [min(MAX_NULL, max(reached)) for reached in zip(*nulls, strict=True)] or [0.0] * len(bare.sentences)
        reached = zip(agreed(yes, said), floors, strict=True)
        return [max(0.0, (value - floor) / (1.0 - floor)) ** KINDNESS for value, floor in reached]

    def _reference(self, task: Task) -> BareReference:
        """What the model says of a bare reference itself and of null answers; asked once."""
        key = calibration_key(self._llm.name, task)
        with self._lock:
            if key not in self._bare:
                [reference] = task.models
                screened = [screened_for(task, text) for text in (_GENERIC, task.foil) if text]
                nulls = [null.text for null in screened if null.sentences]
                itself, *others = self._yes(task, [reference, *nulls])
                words = words_of(self._encoder, [*(point.text for point in task.points), *nulls])
                points = len(task.points)
                self._bare[key] = BareReference(
                    max(itself, MIN_YES), tuple(words[:points]), tuple(zip(others, words[points:], strict=True))
                )
            return self._bare[key]

    def _yes(self, task: Task, texts: Sequence[str]) -> list[float]:
        """The model's yes to whether each text says what a bare reference says."""
        [reference] = task.models
        chats = [reference_prompt(task.question, reference, text) for text in texts]
        return [logistic(0.0, (1.0,), (yes_over_no(row),)) for row in self._llm.choice_logprobs(chats, YES_NO)]

    def _signs(self, task: Task, answer: str) -> Signs:
        probe = self._point_probe
        if probe is None or not isinstance(self._llm, ChoiceStates):
            [row] = self._llm.choice_logprobs([points_prompt(task.question, answer)], replies_for(task))
            return signs_from(row)
        row, states = self._llm.choice_states(points_prompt(task.question, answer), replies_for(task), probe.layers)
        return replace(signs_from(row), reads=probe.odds(of_points(states)))


def replies_for(task: Task) -> list[str]:
    """For each key point the replies to `points_prompt` that say yes and no to it."""
    return [reply for point in task.points for reply in stated(point.text)]


def signs_from(row: Sequence[float]) -> Signs:
    """What a model says, from the log-probabilities of `replies_for`."""
    pairs = list(zip(row[::2], row[1::2], strict=True))
    return Signs(tuple(yes - no for yes, no in pairs), tuple(log_sum(yes, no) for yes, no in pairs))


def of_points(states: States) -> States:
    """For each key point the state before yes or no, from the states of `replies_for`."""
    return states[::2]


def best_fit(task: Task, screened: Screened, encoder: Encoder) -> list[float]:
    """How well the best sentence of an answer fits each point (`coach.evidence`)."""
    near = _nearness(Stretches.of(screened.sentences, encoder), task, encoder)
    return _best(task, _fitting(task, screened, near))


def _best(task: Task, fitting: Vectors) -> list[float]:
    """For each point how well the sentence that fits it best does, from (sentences, points and other ones)."""
    return [float(best) for best in fitting.max(axis=0)[: len(task.points)]]


def _nearness(found: Stretches, task: Task, encoder: Encoder) -> Vectors:
    """Cosines of stretches of an answer with the key points and the other ones, shape (stretches, points)."""
    near: Vectors = found.vectors @ encoder.encode([p.text for p in (*task.points, *task.others)]).T
    return near


def calibration_key(model: str, task: Task, contests: Sequence[Contest] = ()) -> str:
    """Under what a task's calibration is kept: it changes with all that is asked, and of whom."""
    texts = (task.question, [p.text for p in task.points], task.models, task.foil)
    return CalibrationStore.key(model, *texts, [asdict(contest) for contest in contests])


def _fitting(task: Task, screened: Screened, near: Vectors) -> Vectors:
    """How well each sentence fits each point and each other one, shape (sentences, points)."""
    return fit(near[: len(screened.sentences)], screened.sentences, (*task.points, *task.others))


def _likely(row: Sequence[float]) -> float:
    """The probability that a point is made, from its row of `Judge._features`."""
    bias, weights = (POINT_BIAS, POINT_WEIGHTS) if len(row) == len(POINT_WEIGHTS) else (PROBED_BIAS, PROBED_WEIGHTS)
    return logistic(bias, weights, row)


def _status(probability: float) -> Status:
    if probability >= COVERED:
        return "covered"
    if probability >= PARTIAL + UNSURE:
        return "partial"
    return "unsure" if probability >= PARTIAL - UNSURE else "missed"


def _as_far_as_true(verdict: Verdict, false: float) -> Verdict:
    """A verdict whose evidence is false with that probability: what was said wrongly does not make its point.

    With the signs before the present ones, of 557 points in the development half of `benchmarks/grading.py` that people
    call missed 57 were called made like this instead of 95; of 450 made ones 425 instead of 432.
    """
    probability = round(verdict.probability * (1.0 - false), 3)
    status = verdict.status if verdict.status == "unsure" else _status(probability)
    return replace(
        verdict, probability=probability, status=status, evidence=verdict.evidence if status != "missed" else ""
    )
