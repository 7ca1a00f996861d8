"""What in an answer may make a point or a mistake: its sentences, pairs of neighbours, and clauses, as vectors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from coach.retrieval import Encoder

if TYPE_CHECKING:
    from coach.retrieval import Vectors

_CLAUSE = re.compile(r"[,;:]| and | so | because | but ")
_MIN_CLAUSE_WORDS = 4


@dataclass(frozen=True)
class Stretches:
    """The stretches of an answer, the sentences first and in their order.

    `wholes` are the longer sentences that they were cut out of, or they themselves. `owners` are the places of the
    stretches' sentences, `vectors` has a row for each stretch, shape (stretches, dimensions).
    """

    sentences: tuple[str, ...]
    wholes: tuple[str, ...]
    owners: tuple[int, ...]
    vectors: Vectors

    @classmethod
    def of(cls, sentences: Sequence[str], encoder: Encoder, wholes: Sequence[str] = ()) -> Stretches:
        """The stretches of an answer's sentences."""
        found = [(sentence, n) for n, sentence in enumerate(sentences)]
        found += [(f"{a} {b}", n) for n, (a, b) in enumerate(pairwise(sentences))]
        for n, sentence in enumerate(sentences):
            clauses = [c.strip() for c in _CLAUSE.split(sentence) if len(c.split()) >= _MIN_CLAUSE_WORDS]
            found += [(clause, n) for clause in clauses] if len(clauses) > 1 else []
        owners, vectors = tuple(n for _, n in found), encoder.encode([text for text, _ in found])
        return cls(tuple(sentences), tuple(wholes or sentences), owners, vectors)
