"""One visitor's conversation and exercises as values: every transition returns a new session."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from coach.grading import Scorecard

Style = Literal["coached", "realistic"]  # feedback after each answer, or nothing until the end

MAX_EXCHANGES = 40  # older ones are forgotten, so that a long session stays quick


@dataclass(frozen=True)
class Exchange:
    """A question put to the coach and what it answered."""

    question: str
    answer: str
    citations: tuple[str, ...] = ()
    suggestions: tuple[str, ...] = ()
    answerable: bool = True


@dataclass(frozen=True)
class Attempt:
    """An answer in practice; `scorecard` is None when it was not graded, and `failure` says why.

    `follow_up` is the follow-up question that was answered, empty for the entry's own question; `feedback` is what
    the coach said to it.
    """

    answer: str
    scorecard: Scorecard | None
    failure: str = ""
    follow_up: str = ""
    feedback: str = ""


@dataclass(frozen=True)
class Exercise:
    """One question being practised: what was asked, answered and helped with so far.

    `asked` is the question the candidate is to answer now; `only_point` limits the next attempt to one key point.
    `offered` is the follow-up that feedback ended with, as (curated question, the words it was put in).
    """

    entry: str
    asked: str
    follow_up: str = ""
    only_point: str = ""
    hints: int = 0
    attempts: tuple[Attempt, ...] = ()
    follow_ups_asked: tuple[str, ...] = ()
    offered: tuple[str, str] = ("", "")

    @property
    def last(self) -> Attempt | None:
        """The latest attempt, if there is one."""
        return self.attempts[-1] if self.attempts else None


@dataclass(frozen=True)
class Session:
    """What one visitor said, asked and practised."""

    exchanges: tuple[Exchange, ...] = ()
    exercise: Exercise | None = None
    finished: tuple[Exercise, ...] = ()
    style: Style = "coached"

    def asked(self, exchange: Exchange) -> Session:
        """With one more question answered."""
        return replace(self, exchanges=(*self.exchanges, exchange)[-MAX_EXCHANGES:])

    def before(self, count: int) -> Session:
        """With only the first `count` exchanges, as when an earlier question is edited."""
        return replace(self, exchanges=self.exchanges[:count])

    def practising(self, exercise: Exercise) -> Session:
        """With a new exercise; the one before is kept among the finished ones when it was attempted."""
        return replace(self.stopped(), exercise=exercise)

    def stopped(self) -> Session:
        """Without an exercise under way."""
        if self.exercise is None or not self.exercise.attempts:
            return replace(self, exercise=None)
        return replace(self, exercise=None, finished=(*self.finished, self.exercise))

    def attempted(self, attempt: Attempt) -> Session:
        """With one more attempt at the exercise; raises `ValueError` when none is under way."""
        exercise = self._exercise()
        return replace(self, exercise=replace(exercise, attempts=(*exercise.attempts, attempt), only_point=""))

    def reattempted(self, attempt: Attempt) -> Session:
        """With the latest attempt replaced, as after a verdict was contested or feedback was added."""
        exercise = self._exercise()
        return replace(self, exercise=replace(exercise, attempts=(*exercise.attempts[:-1], attempt)))

    def offering(self, question: str, words: str) -> Session:
        """With a follow-up offered in these words."""
        return replace(self, exercise=replace(self._exercise(), offered=(question, words)))

    def follow_up_asked(self, question: str) -> Session:
        """With a follow-up as the question to answer now, in the words it was offered in."""
        exercise = self._exercise()
        offered, offered_words = exercise.offered
        return replace(
            self,
            exercise=replace(
                exercise,
                asked=offered_words if offered == question else question,
                follow_up=question,
                follow_ups_asked=(*exercise.follow_ups_asked, question),
            ),
        )

    def again(self, question: str, only_point: str = "") -> Session:
        """With the entry's own question, or one key point of it, to be answered once more."""
        exercise = self._exercise()
        return replace(self, exercise=replace(exercise, asked=question, follow_up="", only_point=only_point, hints=0))

    def hinted(self) -> Session:
        """With one more step of the hint ladder taken."""
        exercise = self._exercise()
        return replace(self, exercise=replace(exercise, hints=exercise.hints + 1))

    def _exercise(self) -> Exercise:
        if self.exercise is None:
            raise ValueError("No exercise is under way; start one with `practising`.")
        return self.exercise
