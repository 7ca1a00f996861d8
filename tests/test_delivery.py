"""Figures of delivery from words with times."""

from __future__ import annotations

import pytest

from coach.audio import Span
from coach.delivery import (
    Delivery,
    advice,
    delivery,
    fillers,
    hedges,
    is_filler,
    pause_before,
    repetitions,
    restarts,
    said_words,
)
from coach.transcript import Transcript, Word


def said(text: str, pace: float = 0.4) -> tuple[Word, ...]:
    """Each word takes three quarters of `pace` seconds."""
    return tuple(Word(word, i * pace, i * pace + 0.75 * pace, 0.9) for i, word in enumerate(text.split()))


def texts(found: tuple[object, ...]) -> list[str]:
    return [item.text for item in found]  # type: ignore[attr-defined]


@pytest.mark.parametrize("word", ["um", "Umm,", "uh", "Uhm...", "er", "erm", "hmm", "mm", "ah", "uhh,"])
def test_filled_pauses_in_every_spelling_count(word: str) -> None:
    assert is_filler(word)


@pytest.mark.parametrize("word", ["a", "I", "her", "hum", "am", "error", "oh", "mm-hmm", "umbrella", "m", "ERM2"])
def test_ordinary_words_are_no_fillers(word: str) -> None:
    assert not is_filler(word)


def test_fillers_keep_their_times() -> None:
    found = fillers(said("So, um, it is uh linear."))
    assert texts(found) == ["um", "uh"]
    assert found[0].start == pytest.approx(0.4)
    assert found[0].end == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is, like, a seat belt.", ["like"]),
        ("It is, you know, a seat belt.", ["you know"]),
        ("It looks like a curve, you know what I mean.", []),
        ("Tasks like detection, like segmentation.", []),
        ("You know the answer.", []),
    ],
)
def test_like_and_you_know_count_only_between_commas(text: str, expected: list[str]) -> None:
    assert texts(fillers(said(text))) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The the model is small.", ["The the"]),
        ("It is it is a loop.", ["It is it is"]),
        ("We we, um, we stop.", ["We we, we"]),
        ("The um the loss.", ["The the"]),
        ("It is very very good.", []),
        ("He had had that that effect.", []),
        ("That is what it is. It is simple.", []),
        ("Seven by seven, ten ten.", []),
        ("A layer, then another layer.", []),
    ],
)
def test_immediate_repeats_are_found_and_wanted_ones_left(text: str, expected: list[str]) -> None:
    assert texts(repetitions(said(text))) == expected


def test_a_broken_off_word_is_a_restart() -> None:
    assert texts(restarts(said("The drop- dropout layer, the net— the network, is feed-forward."))) == ["drop-", "net—"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I think it works, maybe.", ["I think", "maybe"]),
        ("It is kind of slow and sort of old.", ["kind of", "sort of"]),
        ("Kind of boring, but it works.", ["Kind of"]),
        ("This kind of layer, and what sort of loss.", []),
        ("A special kind of network.", []),
        ("When I think about it, I'm not sure.", ["I'm not sure"]),
        ("The probability is high.", []),
    ],
)
def test_hedges_soften(text: str, expected: list[str]) -> None:
    assert texts(hedges(said(text))) == expected


def test_the_figures_of_an_answer() -> None:
    words = (Word("Dropout", 1.0, 1.5, 0.9), Word("um,", 1.6, 1.9, 0.9), Word("works.", 4.0, 4.5, 0.9))
    figures = delivery(Transcript(words, (Span(1.0, 1.9), Span(4.0, 4.5)), 6.0))
    assert figures.duration == 6.0
    assert figures.words_per_minute == pytest.approx(60 * 3 / 3.5)
    assert figures.articulation_rate == pytest.approx(4 / 1.4)
    assert figures.time_to_first_word == 1.0
    assert figures.pauses == (Span(1.9, 4.0),)
    assert figures.longest_pause == Span(1.9, 4.0)
    assert figures.disfluencies_per_100_words == pytest.approx(100 / 3)
    assert figures.sentence_length == 3


def test_nothing_said_gives_no_figures() -> None:
    figures = delivery(Transcript((), (), 5.0))
    assert figures.words_per_minute == 0
    assert figures.time_to_first_word is None
    assert "No speech" in figures.advice


def test_the_record_holds_the_contract_and_plain_values() -> None:
    record = delivery(Transcript(said("So, um, the the loss."), (Span(0.0, 2.0),), 2.5)).record()
    assert {
        "duration", "words_per_minute", "articulation_rate", "time_to_first_word", "fillers", "pauses", "repetitions",
        "hedges", "advice",
    } == set(record)  # fmt: skip
    assert record["fillers"] == [{"text": "um", "start": 0.4, "end": pytest.approx(0.7)}]
    assert record["repetitions"][0]["text"] == "the the"


def test_the_longest_pause_came_before_a_point() -> None:
    pauses = (Span(3.0, 4.2), Span(9.0, 12.0))
    points = (("what it is", 1.0), ("inference", 14.0), ("ensemble", 20.0))
    assert pause_before(pauses, points) == "inference"
    assert pause_before(pauses, points[:1]) is None
    assert pause_before((), points) is None


def usual(**changes: object) -> Delivery:
    values: dict[str, object] = {
        "duration": 75.0, "words": 170, "words_per_minute": 140.0, "articulation_rate": 4.5, "time_to_first_word": 0.8,
        "fillers": (), "pauses": (), "repetitions": (), "restarts": (), "hedges": (), "sentence_length": 14.0,
    }  # fmt: skip
    return Delivery(**{**values, **changes})  # type: ignore[arg-type]


def test_normal_disfluency_is_called_normal() -> None:
    some = fillers(said(" ".join(["um"] * 12)))
    text = usual(fillers=some).advice
    assert "normal" in text
    assert "7 fillers" in text


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"words_per_minute": 205.0}, "205 words a minute"),
        ({"fillers": fillers(said(" ".join(["um"] * 30)))}, "18 fillers"),
        ({"pauses": (Span(20.0, 26.5),)}, "6.5 s"),
        ({"duration": 200.0}, "200 s"),
        ({"hedges": hedges(said(" ".join(["I think"] * 12)))}, "12 softening phrases"),
        ({"words_per_minute": 90.0}, "90 words a minute"),
        ({"duration": 20.0}, "20 s"),
    ],
)
def test_advice_names_what_matters_in_two_sentences_at_most(changes: dict[str, object], names: str) -> None:
    text = advice(usual(**changes))
    assert names in text
    assert text.count(". ") <= 1
    assert "!" not in text


def test_advice_says_nothing_of_feelings() -> None:
    worst = usual(words_per_minute=60.0, pauses=(Span(1.0, 9.0),), fillers=fillers(said(" ".join(["um"] * 60))))
    for word in ("confiden", "nerv", "anx", "calm", "shy", "feel", "personal"):
        assert word not in advice(worst).lower()


@pytest.mark.parametrize(
    ("written", "count"),
    [
        ("word", 1),
        ("10,", 1),
        ("28", 1),
        ("1,000", 2),
        ("128.", 3),
        ("28x28", 3),
        ("50%", 2),
        ("0.5", 3),
        ("F1", 1),
        ("top-5", 1),
    ],
)
def test_numbers_count_as_the_words_they_are_said_in(written: str, count: int) -> None:
    assert said_words(written) == count
