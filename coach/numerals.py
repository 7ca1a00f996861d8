"""Numbers in words, and numbers in a text: what tells a false figure from the right one."""

from __future__ import annotations

import re

ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()
SCALES = ((10**12, "trillion"), (10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred"))


def number_words(number: int) -> str:
    """A whole number in words, as one says it ("one hundred and five" without the "and")."""
    if number < 0:
        return f"minus {number_words(-number)}"
    if number < 20:
        return ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return TENS[tens] + (f" {ONES[ones]}" if ones else "")
    for size, name in SCALES:
        if number >= size:
            count, rest = divmod(number, size)
            return f"{number_words(count)} {name}" + (f" {number_words(rest)}" if rest else "")
    raise AssertionError("unreachable: every number from 100 has a scale")


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
