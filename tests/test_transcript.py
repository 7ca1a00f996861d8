"""Words with times: where a passage was said, and which words are in doubt."""

from __future__ import annotations

import pytest

from coach.audio import Span
from coach.transcript import Transcript, Word, bare, doubtful

TEXT = "So dropout zeroes units. At test time, it is off. Drop out is not batch norm."


@pytest.fixture
def transcript() -> Transcript:
    words = tuple(Word(word, float(i), i + 0.5, 0.4 if "rop" in word else 0.9) for i, word in enumerate(TEXT.split()))
    return Transcript(words, (Span(0.0, 20.0),), 20.0)


def test_the_text_is_the_words(transcript: Transcript) -> None:
    assert transcript.text == TEXT
    assert transcript.message == ""


def test_without_words_there_is_a_message() -> None:
    assert "No speech" in Transcript((), (), 3.0).message


def test_bare_words() -> None:
    assert [bare(word) for word in ("“Dropout,", "it’s", "co-adaptation.", "...")] == [
        "dropout",
        "it's",
        "co-adaptation",
        "",
    ]


@pytest.mark.parametrize(
    ("passage", "start", "end"),
    [
        ("At test time, it is off.", 4.0, 9.5),
        ("at test time it's off", 4.0, 9.5),
        ("dropout zeroes some units", 1.0, 3.5),
    ],
)
def test_a_passage_is_found_also_when_it_was_corrected(
    transcript: Transcript, passage: str, start: float, end: float
) -> None:
    assert transcript.locate(passage) == Span(start, end)


@pytest.mark.parametrize("passage", ["", "something else altogether", "..."])
def test_what_was_not_said_is_not_found(transcript: Transcript, passage: str) -> None:
    assert transcript.locate(passage) is None


def test_doubtful_terms_also_in_two_words(transcript: Transcript) -> None:
    found = doubtful(transcript, ("dropout", "batch norm"), 0.5)
    assert [word.text for word in found] == ["dropout", "Drop"]


def test_sure_words_and_other_words_are_not_in_doubt(transcript: Transcript) -> None:
    assert doubtful(transcript, ("batch norm", "test time"), 0.5) == ()
