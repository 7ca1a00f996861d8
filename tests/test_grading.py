"""Scores and intervals are arithmetic on verdicts; checked against sums by hand and against random draws."""

from __future__ import annotations

import random

import pytest

from coach.grading import FLAG_PENALTY, MAX_SCORE, Flag, Scorecard, Verdict
from coach.knowledge import KeyPoint


def verdict(probability: float, weight: int = 1, key: str = "p") -> Verdict:
    status = "covered" if probability > 0.5 else "missed"
    return Verdict(KeyPoint(key, "It is so.", weight), status, probability)  # type: ignore[arg-type]


def flag(probability: float = 1.0) -> Flag:
    return Flag("It is not so.", "It is so.", "it isn't so", probability)


@pytest.mark.parametrize(
    ("verdicts", "score"),
    [
        ((verdict(1.0), verdict(1.0)), 10.0),
        ((verdict(0.0), verdict(0.0)), 0.0),
        ((verdict(1.0, 3), verdict(0.0, 1)), 7.5),
        ((verdict(0.0, 3), verdict(1.0, 1)), 2.5),
        ((verdict(0.5, 2), verdict(0.25, 2)), 3.8),
        ((), 0.0),
    ],
)
def test_the_score_is_the_expected_share_of_the_weights(verdicts: tuple[Verdict, ...], score: float) -> None:
    assert Scorecard(verdicts).score == pytest.approx(score)


def test_a_confident_error_costs_more_than_leaving_a_point_out() -> None:
    points = tuple(verdict(1.0, 2, f"p{n}") for n in range(5))
    with_error = Scorecard(points, (flag(),))
    with_gap = Scorecard((*points[:4], verdict(0.0, 2)))
    assert with_error.score == MAX_SCORE - FLAG_PENALTY
    assert with_error.score < with_gap.score


def test_an_unsure_flag_costs_its_share() -> None:
    assert Scorecard((verdict(1.0),), (flag(0.5),)).score == pytest.approx(MAX_SCORE - FLAG_PENALTY / 2, abs=0.051)


def test_errors_never_take_the_score_below_nothing() -> None:
    card = Scorecard((verdict(0.2),), tuple(flag() for _ in range(20)))
    assert card.score == 0.0
    assert card.interval[0] == 0.0


def test_certain_verdicts_leave_no_interval() -> None:
    card = Scorecard((verdict(1.0, 3), verdict(0.0, 1)))
    assert card.interval == (7.5, 7.5)


def test_the_interval_holds_the_score_and_stays_on_the_scale() -> None:
    generator = random.Random(0)
    for _ in range(300):
        verdicts = tuple(verdict(generator.random(), generator.randint(1, 3)) for _ in range(generator.randint(0, 7)))
        flags = tuple(flag(generator.random()) for _ in range(generator.randint(0, 3)))
        card = Scorecard(verdicts, flags)
        low, high = card.interval
        assert 0.0 <= low <= card.score <= high <= MAX_SCORE


def test_less_certain_verdicts_widen_the_interval() -> None:
    widths = []
    for probability in (0.99, 0.9, 0.7, 0.5):
        low, high = Scorecard(tuple(verdict(probability) for _ in range(20))).interval
        widths.append(high - low)
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]


def test_at_least_nine_of_ten_draws_fall_into_the_interval() -> None:
    """The promise of the interval, tried out: draw each verdict as made or missed, and score what was drawn.

    It is wider than independent draws need: on real answers verdicts err together.
    """
    generator = random.Random(1)
    made = ((0.3, 1), (0.5, 2), (0.6, 3), (0.7, 1), (0.4, 2), (0.55, 2))
    verdicts = tuple(verdict(probability, weight) for probability, weight in made)
    low, high = Scorecard(verdicts).interval
    inside = 0
    for _ in range(4000):
        drawn = tuple(verdict(float(generator.random() < v.probability), v.key_point.weight) for v in verdicts)
        inside += low <= Scorecard(drawn).score <= high
    assert 0.9 <= inside / 4000 < 1.0


def test_verdicts_without_doubt_have_no_interval() -> None:
    assert Scorecard((verdict(0.0), verdict(0.0))).interval == (0.0, 0.0)
    assert Scorecard((verdict(1.0),)).interval == (10.0, 10.0)
