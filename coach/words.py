"""How much of a reference an answer says in words of its own: each word is compared with the nearest in the answer.

A word's vector is taken in its context, so that "the list is last in, first out" comes near to "LIFO stack". What the
question says already counts on neither side, since to repeat it answers nothing (Sultan, Salazar and Sumner 2016).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from coach.vocabulary import terms

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Words:
    """The words of a text in their order, with unit vectors of shape (words, dimensions)."""

    texts: tuple[str, ...]
    vectors: NDArray[np.float32]

    def meaningful(self, known: Collection[str]) -> Words:
        """Those that carry meaning and whose terms are not all `known`."""
        kept = [n for n, text in enumerate(self.texts) if set(terms(text)) - set(known)]
        return Words(tuple(self.texts[n] for n in kept), self.vectors[kept])

    def first(self, count: int) -> Words:
        """The first `count` of them."""
        return Words(self.texts[:count], self.vectors[:count])


def recall(reference: Words, answer: Words, known: Collection[str]) -> float:
    """The mean cosine (0 to 1) of the reference's words with the nearest ones of the answer, those `known` apart."""
    wanted, said = reference.meaningful(known), answer.meaningful(known)
    if not wanted.texts:
        wanted = reference
    if not said.texts or not wanted.texts:
        return 0.0
    return float((wanted.vectors @ said.vectors.T).max(axis=1).clip(0.0, 1.0).mean())
