"""Numbers in a text, in digits or in words: what tells a false figure from the right one."""

from __future__ import annotations

import re

from coach.pronunciation import number_words

# "One" is seldom a figure in English; the numbers in words that anybody writes end well below this.
_IN_WORDS = {number_words(number): float(number) for number in range(2, 100)}
_NUMBER = re.compile(
    r"\d+(?:,\d{3})*(?:\.\d+)?"
    r"|\b(?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)"
    r"[ -](?:one|two|three|four|five|six|seven|eight|nine)\b"
    r"|\b[a-z]+\b"
)


def numbers_in(text: str) -> frozenset[float]:
    """The numbers that a text names."""
    found = []
    for match in _NUMBER.finditer(text.lower()):
        said = match.group()
        if said[0].isdigit():
            found.append(float(said.replace(",", "")))
        elif (number := _IN_WORDS.get(said.replace("-", " "))) is not None:
            found.append(number)
    return frozenset(found)


def contrast(said: str, claim: str, correction: str) -> int:
    """1 where a text names a number of the claim that its correction has not, −1 the other way round, else 0."""
    numbers, false, true = numbers_in(said), numbers_in(claim), numbers_in(correction)
    return bool(numbers & (false - true)) - bool(numbers & (true - false))
