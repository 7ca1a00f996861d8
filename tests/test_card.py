"""The scorecard as the page shows it."""

from __future__ import annotations

import pytest

from coach import card
from coach.events import Graded
from coach.grading import Flag, Scorecard, Status, Verdict
from coach.knowledge import Entry, KeyPoint
from coach.session import Exercise
from coach.view import Card

STATES: tuple[tuple[Status, float], ...] = (("covered", 0.95), ("partial", 0.5), ("missed", 0.02), ("unsure", 0.5))


def graded(shift: float = 0.0) -> Scorecard:
    verdicts = tuple(
        Verdict(KeyPoint(f"p{n}", f"Point {n} with $a < b$.", n % 3 + 1, "Because."), state, share + shift, "evidence")
        for n, (state, share) in enumerate(STATES)
    )
    return Scorecard(verdicts, (Flag("claim", "It is $x$.", "I said <b>this</b>", 0.3),))


def test_score_interval_states_weights_and_false_statements_are_shown() -> None:
    score = graded()
    shown = card.scorecard(Card(Graded(score), "evidence"))
    assert f"<b>{score.score:.1f}</b> / 10" in shown
    low, high = score.interval
    assert f"({low:.1f}–{high:.1f})" in shown
    assert all(f"{sign}</span>" in shown and f"{word}:" in shown for sign, word in card.SIGNS.values())
    assert "●○○" in shown
    assert "weight 3 of 3" in shown
    assert "<b>this</b>" not in shown
    assert "→ It is $x$." in shown
    assert shown.count("<details") == shown.count("</details>") == 5
    assert shown.count('name="contest"') == 3  # what was made need not be contested


def test_no_number_is_shown_when_grading_failed() -> None:
    shown = card.scorecard(Card(Graded(None, "The model ran out of memory."), "an answer"))
    assert "Not graded" in shown
    assert "out of memory" in shown.replace("&#32;", " ")
    assert "/ 10" not in shown
    assert 'name="retry"' in shown


@pytest.mark.parametrize(("shift", "words"), [(0.0, "as before"), (-0.05, "−"), (0.05, "+")])
def test_the_difference_to_an_earlier_answer_is_shown(shift: float, words: str) -> None:
    shown = card.scorecard(Card(Graded(graded(shift)), "evidence", graded(), "since your last answer"))
    assert words in shown.partition("delta")[2].partition("</p>")[0]


def test_a_changed_verdict_says_what_it_was() -> None:
    before, now = graded(), graded()
    now = Scorecard((Verdict(now.verdicts[0].key_point, "missed", 0.1), *now.verdicts[1:]))
    assert "missing, was made:" in card.scorecard(Card(Graded(now), "", before, "since your last answer"))


def test_a_contested_point_asks_for_the_sentence() -> None:
    shown = card.scorecard(Card(Graded(graded()), "one sentence. another <i>sentence</i>."), contested="p2")
    assert shown.count('class="sentence"') == 2
    assert 'value="none"' in shown
    assert "<i>" not in shown


def test_before_an_answer_the_panel_says_what_will_come(entries: tuple[Entry, ...]) -> None:
    entry = entries[0]
    assert "One question at a time" in card.practice_panel(None, None, None)
    shown = card.practice_panel(Exercise(entry.id, entry.question), entry, None)
    assert f"{len(entry.key_points)} key points" in shown
    assert all(point.text not in shown for point in entry.key_points)


def test_the_question_comes_with_topic_and_level(entries: tuple[Entry, ...]) -> None:
    entry = entries[0]
    assert card.task(entry, "Why?").startswith(f"{entry.topic} · {card.LEVELS[entry.difficulty]}\n\nWhy?")
