"""Where a text's sentences begin and end, with LaTeX, decimals and abbreviations left whole."""

from __future__ import annotations

import re

_ABBREVIATIONS = (
    "e.g",
    "i.e",
    "etc",
    "vs",
    "cf",
    "fig",
    "eq",
    "no",
    "dr",
    "mr",
    "mrs",
    "approx",
    "resp",
    "al",
)
_BOUNDARY = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+(?=[\"'“‘(\[$*]*[A-Z0-9$\\`])|(?<=[。！？])|\s*\n\s*\n\s*")
_LOOSE_BOUNDARY = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|(?<=[。！？])|\s*\n\s*\n\s*")
_MATHS = re.compile(r"\$\$.+?\$\$|\$[^$\n]+?\$|`[^`\n]+`", re.DOTALL)


def sentence_spans(text: str, loose: bool = False) -> tuple[tuple[int, int], ...]:
    """Start and end offsets of every sentence in `text`, in order, without surrounding white space.

    `loose` also splits before a lower-case letter, as people type.
    """
    protected = [match.span() for match in _MATHS.finditer(text)]
    boundary = _LOOSE_BOUNDARY if loose else _BOUNDARY
    spans: list[tuple[int, int]] = []
    start = 0
    for match in boundary.finditer(text):
        if any(low < match.start() < high for low, high in protected):
            continue
        before = text[start : match.start()].rstrip("\"'”’)]")
        word = re.search(r"([\w.]+)\.$", before)
        if word and word.group(1).lower() in _ABBREVIATIONS and "\n\n" not in match.group():
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


def split_sentences(text: str, loose: bool = False) -> tuple[str, ...]:
    """The sentences of `text` in order, each on one line."""
    return tuple(" ".join(text[low:high].split()) for low, high in sentence_spans(text, loose))
