"""Verdicts per key point, flags for misconceptions, and the score that follows from them.

Numbers are computed here; the language model never writes one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from coach.knowledge import KeyPoint

Status = Literal["covered", "partial", "missed", "unsure"]

MAX_SCORE = 10.0
INTERVAL_Z = 1.645  # standard normal quantile of a two-sided 90 % interval
# Verdicts on one answer err together, and people's labels are coarse: with these the interval holds the score of the
# labels for 0.96 of the development answers of `benchmarks/grading.py` without an error, entries left out in turn.
INTERVAL_WIDENING = 1.25
INTERVAL_FLOOR = 0.5  # standard deviation, in points of ten
# A confident error costs this much of the full mark (times its probability) beside the point that it does not make.
# With 2 it would cost no more than to leave out one point of five. In the development half of `benchmarks/grading.py`
# 0.954 of pairs are in order with it, with 4 0.939, with 2 0.959.
FLAG_PENALTY = 2.5


@dataclass(frozen=True)
class Verdict:
    """What became of one key point; `evidence` is a span of the answer, word for word, or empty.

    `doubted`: the evidence may say something false, too little to flag it and too much to praise it.
    """

    key_point: KeyPoint
    status: Status
    probability: float
    evidence: str = ""
    doubted: bool = False


@dataclass(frozen=True)
class Flag:
    """A false statement found in the answer, in the candidate's own words, and what is true instead."""

    claim: str
    correction: str
    evidence: str
    probability: float


@dataclass(frozen=True)
class Scorecard:
    """The verdicts on an answer and the false statements in it; score and interval follow from them."""

    verdicts: tuple[Verdict, ...]
    misconceptions: tuple[Flag, ...] = ()

    @property
    def score(self) -> float:
        """0 to 10: the expected share of the weights, less what false statements cost."""
        return round(min(MAX_SCORE, max(0.0, self._mean)), 1)

    @property
    def _mean(self) -> float:
        total = sum(v.key_point.weight for v in self.verdicts)
        if not total:
            return 0.0
        made = sum(v.key_point.weight * v.probability for v in self.verdicts) / total
        return MAX_SCORE * made - sum(FLAG_PENALTY * flag.probability for flag in self.misconceptions)

    @property
    def interval(self) -> tuple[float, float]:
        """The 90 % interval of the score: verdicts taken as Bernoulli variables, widened for what they share."""
        total = sum(v.key_point.weight for v in self.verdicts) or 1
        variance = sum(
            (v.key_point.weight / total * MAX_SCORE) ** 2 * v.probability * (1 - v.probability) for v in self.verdicts
        )
        variance += sum(FLAG_PENALTY**2 * f.probability * (1 - f.probability) for f in self.misconceptions)
        if not variance:
            return (self.score, self.score)
        half = INTERVAL_Z * math.sqrt(INTERVAL_WIDENING**2 * variance + INTERVAL_FLOOR**2)
        low, high = (min(MAX_SCORE, max(0.0, end)) for end in (self._mean - half, self._mean + half))
        return (round(low, 1), round(high, 1))


def logistic(bias: float, weights: Sequence[float], features: Sequence[float]) -> float:
    """The probability (0 to 1) that a logistic regression gives to features."""
    return 1.0 / (1.0 + math.exp(-(bias + sum(w * f for w, f in zip(weights, features, strict=True)))))
