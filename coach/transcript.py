"""What was said and when: `Word` and `Transcript`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from coach.audio import Span

# Below this share of a passage's words, a passage was not said where it was looked for; half is the usual bar of
# fuzzy quotation (a corrected transcript keeps far more).
LEAST_SHARED = 0.5
LONGEST_PHRASE = 4  # words of a term


def bare(text: str) -> str:
    """A word without surrounding punctuation, in lower case."""
    return re.sub(r"^\W+|\W+$", "", text.replace("’", "'")).lower()


@dataclass(frozen=True)
class Word:
    """A word as written, with its time in seconds and the recogniser's probability (0 … 1)."""

    text: str
    start: float
    end: float
    probability: float

    @property
    def ends_sentence(self) -> bool:
        """Whether a full stop, question or exclamation mark closes the word."""
        return self.text.rstrip("\"')”’").endswith((".", "?", "!", "…"))

    @property
    def ends_clause(self) -> bool:
        """Whether any mark of punctuation that separates closes the word."""
        return self.ends_sentence or self.text.endswith((",", ";", ":", "—", "–"))


@dataclass(frozen=True)
class Transcript:
    """The words of a recording, the stretches with speech (from the sound itself), and the length in seconds."""

    words: tuple[Word, ...]
    speech: tuple[Span, ...]
    duration: float

    @property
    def text(self) -> str:
        """The words as running text."""
        return " ".join(word.text for word in self.words)

    @property
    def message(self) -> str:
        """Why there is no text, or an empty string when there is some."""
        if self.words:
            return ""
        return "No speech was found in the recording. Check the microphone and record again, or type your answer."

    def locate(self, passage: str) -> Span | None:
        """When a passage was said, found by the longest runs of equal words, or None when it was not."""
        said = [bare(word.text) for word in self.words]
        wanted = [bare(part) for part in passage.split() if bare(part)]
        if not wanted or not said:
            return None
        matcher = difflib.SequenceMatcher(None, said, wanted, autojunk=False)
        blocks = [block for block in matcher.get_matching_blocks() if block.size]
        if sum(block.size for block in blocks) < LEAST_SHARED * len(wanted):
            return None
        longest = max(blocks, key=lambda block: block.size)
        # Runs that lie further from the longest one than the passage is long belong to another place.
        near = [b for b in blocks if abs(b.a - longest.a) <= len(wanted)]
        last = max(near, key=lambda block: block.a)
        return Span(self.words[min(b.a for b in near)].start, self.words[last.a + last.size - 1].end)


def doubtful(transcript: Transcript, matters: Sequence[str], below: float) -> tuple[Word, ...]:
    """Words less probable than `below` that stand in one of the phrases that matter (terms of the entry)."""
    wanted = {"".join(re.findall(r"\w+", phrase.lower())) for phrase in matters} - {""}
    said = ["".join(re.findall(r"\w+", word.text.lower())) for word in transcript.words]
    found: dict[int, Word] = {}
    for i in range(len(said)):
        # Written together or apart, a phrase has the same letters.
        for size in range(1, LONGEST_PHRASE + 1):
            if "".join(said[i : i + size]) in wanted:
                found.update({j: transcript.words[j] for j in range(i, min(i + size, len(said)))})
    return tuple(found[i] for i in sorted(found) if found[i].probability < below)
