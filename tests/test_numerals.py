"""Numbers in texts, and figures that tell a claim from its correction."""

from __future__ import annotations

import pytest

from coach.numerals import contrast, numbers_in


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a 28 by 28 input", {28.0}),
        ("Twenty-two by twenty two, one more", {22.0}),
        ("3,910 updates in 10 epochs, p=0.5", {3910.0, 10.0, 0.5}),
        ("3x3 kernels, bf16", {3.0, 16.0}),
        ("one often fails at tension", set()),
        ("", set()),
    ],
)
def test_numbers_in_digits_and_words(text: str, expected: set[float]) -> None:
    assert numbers_in(text) == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("so you get twenty-one by twenty-one", 1),
        ("that is 22 by 22", -1),
        ("21, no, 22", 0),
        ("a 28 by 28 input", 0),
        ("it gets smaller", 0),
    ],
)
def test_a_figure_tells_the_claim_from_its_correction(said: str, expected: int) -> None:
    assert contrast(said, "A 28 by 28 input becomes 21 by 21.", "A 28 by 28 input becomes 22 by 22.") == expected
