"""Which words are asked back about."""

from __future__ import annotations

from coach.audio import Span
from coach.doubts import MOST_ASKED, doubts
from coach.transcript import Transcript, Word

POINTS = (
    "At inference dropout is switched off, and nothing is zeroed.",
    "Units are zeroed at random with probability p during training.",
)


def spoken(text: str, unsure: str) -> Transcript:
    doubtful = unsure.split()
    words = tuple(
        Word(part, 0.5 * n, 0.5 * n + 0.4, 0.2 if part.strip(".,") in doubtful else 0.95)
        for n, part in enumerate(text.split())
    )
    return Transcript(words, (Span(0.0, words[-1].end),), words[-1].end)


def asked(text: str, unsure: str) -> list[str]:
    return [word.text.strip(".,") for word in doubts(spoken(text, unsure), POINTS)]


def test_a_term_of_a_point_is_asked_back() -> None:
    assert asked("I like dropout a lot.", "dropout") == ["dropout"]


def test_a_word_that_turns_a_sentence_about_a_point_round_is_asked_back() -> None:
    assert asked("At inference dropout is not switched off.", "not") == ["not"]
    assert asked("I am not so sure where I was.", "not") == []


def test_a_word_that_sounds_like_what_the_sentence_lacks_is_asked_back() -> None:
    assert asked("During training units are Ciroed at random.", "Ciroed") == ["Ciroed"]


def test_a_doubtful_word_that_no_point_hangs_on_is_not_asked_back() -> None:
    assert asked("My friend, well, gave a lovely talk on Monday.", "lovely Monday") == []
    assert asked("At inference dropout is, basically, switched off.", "basically") == []


def test_sure_words_are_not_asked_back() -> None:
    assert asked("At inference dropout is not switched off.", "") == []


def test_few_words_are_asked_back_at_a_time_and_in_order() -> None:
    text = "At inference dropout is switched off. Units are zeroed at random during training."
    found = doubts(spoken(text, "inference dropout switched zeroed random training"), POINTS)
    assert len(found) == MOST_ASKED
    assert [word.start for word in found] == sorted(word.start for word in found)
