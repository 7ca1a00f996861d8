"""Where a text's sentences begin and end, with LaTeX, decimals and abbreviations left whole."""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator

_ABBREVIATIONS = (
    "e.g",
    "i.e",
    "etc",
    "vs",
    "cf",
    "fig",
    "eq",
    "dr",
    "mr",
    "mrs",
    "approx",
    "resp",
    "al",
    "incl",
    "esp",
    "w.r.t",
)
_LONGEST = 40  # characters in which the longest abbreviation and what closes after it fit
_BOUNDARY = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+(?=[\"'“‘(\[$*]*[A-Z0-9$\\`])|(?<=[。！？])|\n\s*\n\s*")
_LOOSE_BOUNDARY = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|(?<=[。！？])|\n\s*\n\s*")
_NUMBER_OF = re.compile(r"\b(?:the|total|maximum|max|minimum|min) no\.$", re.IGNORECASE)
# What people say or type without a full stop, and what runs on, is cut into pieces of a sentence's length. Of 30 true
# development answers with several points in a sentence (`benchmarks/grading.py --dense`) 7 were flagged with 45 words,
# one with 34, and none with 26, each piece read both alone and within its sentence. Of 31 errors in answers with
# sentences of 29 to 45 words (development, `benchmarks/errors.py`) 27 were flagged with 45, and 28 with 28.
LONGEST_SAID = 28  # words
USUALLY_SAID = 22  # words of a piece; what is left after a cut is cut again from here on, at the best joints alone
LONGEST_READ = 45  # words of a sentence that pieces are also read in
SHORTEST_SAID = 8  # words that stay together
# Words without a mark between them: more have 123 of 141 pieces of development answers without their punctuation, and
# none of 1,925 sentences of these answers as they were typed.
LONGEST_UNMARKED = 16
_MARK = re.compile(r"[.,;:!?…—–]")
_JOINTS = (  # where to cut, best first
    re.compile(r"[,;:]\s+(?=(?:and|but|so|because|then|while|whereas|or)\b)|;\s+", re.IGNORECASE),
    re.compile(
        r"\s+(?=(?:and then|and so|and|but|so|because|then|also)\s+(?:I|you|we|it|they|he|she|the|a|an|this|that|these|"
        r"those|there|if|when|what|in|for|at|with|each|every|your|its|uh|um)\b)",
        re.IGNORECASE,
    ),
    re.compile(r",\s+"),
    re.compile(r"\s+(?=(?:and|but|so|because|then|while|whereas|though|although|if|when)\b)", re.IGNORECASE),
)
_MATHS = re.compile(r"\$\$.+?\$\$|\$[^$\n]+?\$|`[^`\n]+`", re.DOTALL)


def sentence_spans(text: str, loose: bool = False) -> tuple[tuple[int, int], ...]:
    """Start and end offsets of every sentence in `text`, in order, without surrounding white space.

    `loose` also splits before a lower-case letter, as people type.
    """
    protected = [match.span() for match in _MATHS.finditer(text)]
    opened = [low for low, _ in protected]
    boundary = _LOOSE_BOUNDARY if loose else _BOUNDARY
    spans: list[tuple[int, int]] = []
    start = 0
    for match in boundary.finditer(text):
        last = bisect.bisect_left(opened, match.start()) - 1
        if last >= 0 and match.start() < protected[last][1]:
            continue
        if "\n\n" not in match.group() and _abbreviated(
            text[start : match.start()], text[match.end() : match.end() + 1]
        ):
            continue
        if text[start : match.end()].strip():
            spans.append((start, match.end()))
        start = match.end()
    spans.append((start, len(text)))
    trimmed = []
    for low, high in spans:
        piece = text[low:high]
        if piece.strip():
            trimmed.append((low + len(piece) - len(piece.lstrip()), high - len(piece) + len(piece.rstrip())))
    return tuple(trimmed)


def _abbreviated(before: str, after: str) -> bool:
    """Whether the full stop at the end of `before` only ends an abbreviation."""
    # Only the end is looked at, so that a word of a hundred thousand letters takes no longer than any other.
    word = re.search(r"([\w.]+)\.$", before[-_LONGEST:].rstrip("\"'”’)] \t\n"))
    if word is None:
        return False
    found = word.group(1).lower()
    if found == "no":  # a number, or an answer of one word
        return after.isdigit() or bool(_NUMBER_OF.search(before))
    return found in _ABBREVIATIONS


def split_sentences(text: str, loose: bool = False) -> tuple[str, ...]:
    """The sentences of `text` in order, each on one line."""
    return tuple(" ".join(text[low:high].split()) for low, high in sentence_spans(text, loose))


def said_sentences(answer: str) -> tuple[str, ...]:
    """The sentences of what a candidate said or typed, split loosely; what runs on and on is cut at its joints."""
    return tuple(said for said, _ in said_within(answer))


def said_within(answer: str) -> tuple[tuple[str, str], ...]:
    """`said_sentences`, each with the sentence that it was cut out of; where none can be read whole, with itself."""
    found: list[tuple[str, str]] = []
    for line in answer.splitlines():
        for whole in split_sentences(line, loose=True):
            short = len(whole.split()) <= LONGEST_READ
            found += [(part, whole if short else part) for part in _parts(whole)]
    return tuple(found)


def runs_on(sentence: str) -> bool:
    """Whether a piece of an answer is talk without punctuation, so that where it begins and ends is a guess."""
    return len(sentence.split()) > LONGEST_UNMARKED and not _MARK.search(sentence)


def _parts(sentence: str) -> Iterator[str]:
    words = [match.start() for match in re.finditer(r"\S+", sentence)]
    if len(words) <= LONGEST_SAID:
        yield sentence
        return
    # The word that each joint stands before, its kind, and where what is before it ends.
    joints = sorted(
        (bisect.bisect_left(words, match.end()), rank, match.start())
        for rank, joint in enumerate(_JOINTS)
        for match in joint.finditer(sentence)
    )
    first = 0
    while len(words) - first > (USUALLY_SAID if first else LONGEST_SAID):
        low = bisect.bisect_left(joints, (first + SHORTEST_SAID,))
        high = bisect.bisect_left(joints, (min(first + LONGEST_SAID, len(words) - SHORTEST_SAID) + 1,))
        near = joints[low:high] or joints[low : low + 1]
        if len(words) - first <= LONGEST_SAID:
            near = [joint for joint in near if joint[1] == 0]
        if not near or len(words) - near[0][0] < SHORTEST_SAID:
            break
        middle = first + min((len(words) - first) / 2, USUALLY_SAID)
        cut, _, end = min(near, key=lambda joint: (joint[1], abs(joint[0] - middle)))
        yield sentence[words[first] : end]
        first = cut
    yield sentence[words[first] :]
