"""Which sentence of an answer makes which key point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from coach.knowledge import KeyPoint
from coach.retrieval import terms

if TYPE_CHECKING:
    from coach.retrieval import Vectors

# Chosen on the development half of `benchmarks/grading.py`, 474 points with the sentences that readers say make them:
# 0.84 right by the cosine alone, 0.90 with the share of terms as well, 0.977 less what fits other points (0.96 to 0.977
# with weights from 0.3 to 0.7 and 0.6 to 0.8 and softness from 0.05 to 0.3). Held back, 491 points: 0.85 by the cosine
# alone, 0.963 like this.
SHARE_WEIGHT = 0.5
RIVAL_WEIGHT = 0.8
SOFTNESS = 0.2  # of the maximum over the points


def fit(nearness: Vectors, sentences: Sequence[str], points: Sequence[KeyPoint]) -> Vectors:
    """How well each sentence fits each point, shape (sentences, points), from their cosines and shared terms.

    A sentence that names the topic is near to every point: what counts is by how much it fits one better than others.
    """
    import numpy as np

    wanted = [set(terms(point.text)) for point in points]
    spoken = [set(terms(sentence)) for sentence in sentences]
    shares = [[len(own & said) / max(1, len(own)) for own in wanted] for said in spoken]
    together: Vectors = nearness + SHARE_WEIGHT * np.array(shares, dtype=np.float32)
    best = SOFTNESS * np.log(np.exp(together / SOFTNESS).mean(axis=1, keepdims=True))
    fitting: Vectors = together - RIVAL_WEIGHT * best
    return fitting
