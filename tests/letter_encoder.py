"""An encoder for tests that counts letters, and an entry that has everything."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from coach.knowledge import Entry, FollowUp, KeyPoint, Misconception

COMPLETE = Entry(
    id="x",
    question="What is it?",
    answer="It is one thing. It is another thing.",
    aliases=("tell me about it",),
    key_points=(KeyPoint("a", "It is one thing.", 2, "Because of that."), KeyPoint("b", "It is round.")),
    misconceptions=(Misconception("It is flat.", "It is round."),),
    follow_ups=(FollowUp("And why?", "a", ("Because.", "It was so.")),),
)


class LetterEncoder:
    """Counts letters: quick, and different for different texts; remembers how many texts it was given."""

    def __init__(self, name: str = "letters", shift: int = 0) -> None:
        self.name = name
        self.encoded = 0
        self._shift = shift

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.encoded += len(texts)
        counts = np.ones((len(texts), 32), dtype=np.float32)
        for row, text in enumerate(texts):
            for letter in text.lower():
                counts[row, (ord(letter) + self._shift) % 32] += 1
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)
