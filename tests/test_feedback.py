"""Feedback is built from verdicts: nothing praised that was not made, the heaviest gap first."""

from __future__ import annotations

import dataclasses

import pytest

from coach.feedback import feedback, next_follow_up, next_question, summary
from coach.grading import Flag, Scorecard, Status, Verdict
from coach.knowledge import Entry, KeyPoint

SAID = "half the units are zeroed"


def verdict(key: str, status: Status, weight: int = 2, probability: float = 0.5) -> Verdict:
    evidence = "" if status == "missed" else SAID
    probability = 0.95 if status == "covered" else probability
    return Verdict(KeyPoint(key, f"Point {key} holds", weight, f"Because of {key}."), status, probability, evidence)


FLAG = Flag("Dropout is on at test time.", "At inference dropout is off.", "it stays on", 0.9)


def test_points_made_are_praised_and_gaps_named_with_their_reason() -> None:
    said = feedback(Scorecard((verdict("a", "covered"), verdict("b", "missed"))))
    assert [(s.kind, s.rests_on) for s in said] == [("made", "a"), ("missing", "b"), ("next", "b")]
    assert said[0].text == "You made this point: Point a holds."
    assert "Because of b." in said[1].text


def test_a_second_sentence_of_a_kind_does_not_begin_like_the_first() -> None:
    card = Scorecard((verdict("a", "covered"), verdict("b", "covered"), verdict("c", "missed")))
    first, second, gap, _ = (s.text.split(":")[0] for s in feedback(card))
    assert (first, second, gap) == ("You made this point", "And this one", "What is missing")
    first, second, _ = (
        s.text.split(":")[0] for s in feedback(Scorecard((verdict("a", "missed"), verdict("b", "missed"))))
    )
    assert (first, second) == ("What is missing", "Missing too")


def test_a_point_hardly_covered_is_not_praised() -> None:
    card = Scorecard((Verdict(KeyPoint("a", "It is so.", 2), "covered", 0.65, SAID),))
    assert [s.kind for s in feedback(card)] == ["next"]
    assert "Nothing essential is missing" in feedback(card)[0].text


def test_a_point_made_in_a_doubtful_sentence_is_not_praised() -> None:
    card = Scorecard((dataclasses.replace(verdict("a", "covered"), doubted=True),))
    assert [s.kind for s in feedback(card)] == ["next"]


def test_the_heaviest_gap_comes_first() -> None:
    said = feedback(Scorecard((verdict("light", "missed", 1), verdict("heavy", "missed", 3))))
    assert next(s.rests_on for s in said if s.kind == "missing") == "heavy"
    assert said[-1].text == "Next time, start with one sentence on that."


def test_an_error_is_quoted_and_put_right() -> None:
    said = feedback(Scorecard((verdict("a", "covered"),), (FLAG,)))
    wrong = next(s for s in said if s.kind == "wrong")
    assert "“it stays on”" in wrong.text
    assert FLAG.correction in wrong.text
    assert wrong.rests_on == FLAG.claim


@pytest.mark.parametrize("status", ["missed", "unsure"])
def test_a_point_that_was_not_made_is_never_praised(status: Status) -> None:
    said = feedback(Scorecard((verdict("a", status), verdict("b", "missed"))))
    assert not [s for s in said if s.kind == "made"]


def test_a_point_half_made_is_called_near() -> None:
    said = feedback(Scorecard((verdict("a", "partial"),)))
    assert [s.kind for s in said] == ["near", "next"]
    assert "finish that thought" in said[-1].text


def test_a_complete_answer_is_told_so() -> None:
    assert "Nothing essential is missing" in feedback(Scorecard((verdict("a", "covered"),)))[-1].text


def test_there_are_at_most_five_sentences() -> None:
    verdicts = tuple(verdict(f"m{n}", "covered") for n in range(4)) + tuple(
        verdict(f"x{n}", "missed") for n in range(4)
    )
    assert len(feedback(Scorecard(verdicts, (FLAG, FLAG)))) <= 5


def test_nothing_is_said_without_verdicts() -> None:
    assert feedback(Scorecard(())) == ()


def test_the_follow_up_probes_the_heaviest_gap_and_is_not_asked_twice(entries: tuple[Entry, ...]) -> None:
    entry = next(e for e in entries if e.id == "dropout")
    probed = entry.follow_ups[-1].probes
    card = Scorecard(
        tuple(Verdict(p, "missed" if p.id == probed else "covered", float(p.id != probed)) for p in entry.key_points)
    )
    first = next_follow_up(entry, card, ())
    assert first is not None
    assert first.probes == probed
    everything = [f.question for f in entry.follow_ups]
    assert next_question(entry, card, [first.question]) not in ("", first.question)
    assert next_follow_up(entry, card, everything) is None
    assert next_question(entry, card, everything) == ""


def test_without_a_scorecard_the_first_follow_up_is_next(entries: tuple[Entry, ...]) -> None:
    assert next_question(entries[0], None, ()) == entries[0].follow_ups[0].question


def test_a_summary_names_score_verdicts_and_errors(entries: tuple[Entry, ...]) -> None:
    card = Scorecard((verdict("a", "covered"), verdict("b", "missed", probability=0.0)), (FLAG,))
    text = summary(dataclasses.replace(entries[0], question="Why?"), card)
    low, high = card.interval
    assert f"{card.score} of 10 ({low} to {high})" in text
    assert f"- covered: Point a holds (you: “{SAID}”)" in text
    assert "- missed: Point b holds" in text
    assert "wrong: “it stays on” → At inference dropout is off." in text
