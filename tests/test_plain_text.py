"""Texts that every encoder and every file takes."""

from __future__ import annotations

import pytest

from coach.plain_text import readable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain é 🎉", "plain é 🎉"),
        ("\ud800 x", "\ufffd x"),
        ("\udc00", "\ufffd"),
        ("\ud83c\udf89", "🎉"),
        ("a\x00b", "a b"),
        ("a\tb\r\nc", "a\tb\r\nc"),
        ("", ""),
    ],
)
def test_lone_surrogates_and_control_characters_are_replaced(text: str, expected: str) -> None:
    assert readable(text) == expected
