"""The delivery of a spoken answer as the page shows it."""

from __future__ import annotations

import html
import re

from coach.audio import Span
from coach.delivery_panel import delivery_panel, made_at
from coach.grading import Scorecard, Verdict
from coach.knowledge import KeyPoint
from coach.transcript import Transcript, Word

TEXT = "Dropout um zeroes <units> at random. At test time it is off."
WORDS = tuple(
    Word(text, n * 0.5 + (3 if n > 5 else 0), n * 0.5 + 0.4 + (3 if n > 5 else 0), 0.9)
    for n, text in enumerate(TEXT.split())
)
SPOKEN = Transcript(WORDS, (Span(0.0, 2.9), Span(6.0, WORDS[-1].end)), 10.0)
CARD = Scorecard((Verdict(KeyPoint("off-at-inference", "It is off.", 3), "covered", 0.9, "At test time it is off."),))


def test_a_typed_answer_has_no_delivery() -> None:
    assert delivery_panel(None, CARD) == ""
    assert delivery_panel(Transcript((), (), 3.0), CARD) == ""


def test_figures_timeline_and_the_pause_before_a_point_are_shown() -> None:
    shown = delivery_panel(SPOKEN, CARD)
    plain = html.unescape(re.sub("<[^>]+>", " ", shown))
    assert "words a minute" in plain
    assert "“um”" in plain
    assert "usual 120–170" in plain
    assert "Tauroza and Allison 1990" in plain
    assert re.search(r"3\.1 s, before “off at inference”\s+usual up to 3", plain)
    assert "<svg" in shown
    assert "<units>" not in shown


def test_the_length_of_sentences_is_not_told_without_full_stops() -> None:
    assert "<th>Sentences</th>" in delivery_panel(SPOKEN, CARD)
    words = tuple(Word("word,", n * 0.5, n * 0.5 + 0.4, 0.9) for n in range(50))
    assert "<th>Sentences</th>" not in delivery_panel(Transcript(words, (Span(0.0, 25.0),), 25.0), None)


def test_a_point_was_made_when_its_evidence_was_said() -> None:
    assert made_at(SPOKEN, CARD) == [("off at inference", WORDS[6].start)]
    assert made_at(SPOKEN, None) == []
