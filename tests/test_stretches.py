"""Sentences, neighbours and clauses of an answer."""

from __future__ import annotations

import numpy as np

from coach.retrieval import SentenceEncoder
from coach.stretches import Stretches

SAID = ("It zeroes activations at random while training, and at inference it is off.", "That helps.")


def test_sentences_come_first_then_pairs_then_clauses(encoder: SentenceEncoder) -> None:
    found = Stretches.of(SAID, encoder)
    assert found.sentences == SAID
    assert found.owners == (0, 1, 0, 0, 0)
    assert found.vectors.shape == (5, encoder.encode(["x"]).shape[1])


def test_vectors_are_those_of_the_stretches(encoder: SentenceEncoder) -> None:
    found = Stretches.of(SAID, encoder)
    assert np.allclose(found.vectors[2], encoder.encode([" ".join(SAID)])[0], atol=1e-5)
    clause = encoder.encode(["It zeroes activations at random while training"])[0]
    assert np.allclose(found.vectors[3], clause, atol=1e-5)


def test_a_sentence_of_one_clause_stands_once(encoder: SentenceEncoder) -> None:
    assert Stretches.of(["It zeroes activations at random."], encoder).owners == (0,)
