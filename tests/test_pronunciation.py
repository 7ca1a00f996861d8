"""How written words are said."""

from __future__ import annotations

import pytest

from coach.numerals import number_words
from coach.pronunciation import SoundIndex, said_number, sounds, syllables


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"), (19, "nineteen"), (28, "twenty eight"), (100, "one hundred"), (1005, "one thousand five"),
        (-3, "minus three"), (1_200_000, "one million two hundred thousand"),
    ],
)  # fmt: skip
def test_numbers_in_words(number: int, words: str) -> None:
    assert number_words(number) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [("0.05", "zero point zero five"), ("1,000", "one thousand"), ("2012", "twenty twelve"),
    ("2048", "twenty forty eight"),
     ("2000", "two thousand"), ("9" * 16, " ".join(["nine"] * 16))],
)  # fmt: skip
def test_written_numbers_as_they_are_said(text: str, words: str) -> None:
    assert said_number(text) == words


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("cat", 1), ("code", 1), ("layer", 2), ("gradient", 3), ("sample", 2), ("trained", 1), ("updated", 3),
        ("batches", 2),
        ("values", 2), ("algorithm", 4), ("bias", 2), ("variance", 3), ("neural", 2), ("regularisation", 6),
        ("the", 1),
        ("basically", 3), ("LSTM", 4), ("ReLU", 2), ("W", 3), ("RMSprop", 4), ("28", 3), ("0.5", 4),
        ("50%", 4), ("don't", 1),
        ("isn't", 2), ("feed-forward", 3), ("", 0), ("—", 0),
    ],
)  # fmt: skip
def test_syllables(text: str, count: int) -> None:
    assert syllables(text) == count


@pytest.mark.parametrize(
    ("term", "heard"),
    [("dropout", "drop out"), ("softmax", "soft max"), ("ReLU", "rel you"), ("PyTorch", "PyTorque"),
    ("batch size", "match size"),
     ("mode collapse", "mode collabs"), ("hidden state", "head and state")],
)  # fmt: skip
def test_what_sounds_alike_is_near_and_other_words_are_not(term: str, heard: str) -> None:
    index = SoundIndex((sounds(term), sounds("universal approximation"), sounds("boosted trees")))
    near, *far = index.distances(sounds(heard))
    assert near <= 0.2
    assert min(far) > 0.4


def test_distance_to_itself_is_nothing_and_short_rows_are_no_nearer_for_it() -> None:
    index = SoundIndex((sounds("tanh"), sounds("catastrophic forgetting")))
    assert index.distances(sounds("tanh"))[0] == 0
    assert index.distances(sounds("catastrophic forgetting"))[1] == 0
    assert index.distances("")[0] <= 1
