"""Features of a match, and what is made of them, on vectors that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from coach.passages import Passage
from coach.ranking import (
    ANSWER_FEATURES,
    ANSWER_WEIGHTS,
    RANK_FEATURES,
    RANK_WEIGHTS,
    Look,
    Ranking,
    answerable_probability,
    entry_scores,
)

PASSAGES = (
    Passage("apple", "question", "what is an apple"),
    Passage("apple", "answer", "a fruit that grows on trees"),
    Passage("boat", "question", "what is a boat"),
    Passage("boat", "answer", "a vessel that floats"),
)
VECTORS = np.eye(5, dtype=np.float32)[:4]
OUTSIDE = np.eye(5, dtype=np.float32)[4:]
RANKING = Ranking(PASSAGES, VECTORS, OUTSIDE)


def look(text: str, vector: np.ndarray, typed: np.ndarray | None = None) -> Look:
    return Look(text, vector, vector if typed is None else typed)


def test_every_feature_has_a_weight() -> None:
    assert len(RANK_FEATURES) == len(RANK_WEIGHTS)
    assert len(ANSWER_FEATURES) == len(ANSWER_WEIGHTS)
    assert sum(RANK_WEIGHTS) == pytest.approx(1, abs=0.01)


def test_features_of_a_passage_s_own_text() -> None:
    table = RANKING.features(look("what is a boat", VECTORS[2]), VECTORS @ VECTORS[2])
    assert table.shape == (2, len(RANK_FEATURES))
    found = dict(zip(RANK_FEATURES, table.T, strict=True))
    assert found["asked"].tolist() == [0, 1]
    assert found["nearest"].tolist() == [0, 0.5]
    assert found["terms"].tolist() == [0, 1]
    assert found["spelling"][1] == pytest.approx(1)
    assert found["probe"][1] > found["probe"][0]
    assert entry_scores(table).argmax() == 1


def test_a_slip_of_the_finger_shares_groups_of_letters() -> None:
    table = RANKING.features(look("what is a baot", VECTORS[0]), VECTORS @ VECTORS[0])
    found = dict(zip(RANK_FEATURES, table.T, strict=True))
    assert found["terms"].tolist() == [0, 0]
    assert found["spelling"][1] > found["spelling"][0] > 0


def test_what_was_typed_decides_about_the_lead() -> None:
    inside = RANKING.answer_features(look("a boat", VECTORS[2]), VECTORS @ VECTORS[2], 1)
    outside = RANKING.answer_features(look("a boat", VECTORS[2], OUTSIDE[0]), VECTORS @ VECTORS[2], 1)
    assert inside[0] > 0 > outside[0]
    assert inside[3] == 0
    assert outside[3] == 1
    assert RANKING.strays(look("a boat", VECTORS[2], OUTSIDE[0]))
    assert not RANKING.strays(look("a boat", VECTORS[2]))


def test_without_topics_outside_nothing_strays() -> None:
    ranking = Ranking(PASSAGES, VECTORS, OUTSIDE[:0])
    assert not ranking.strays(look("anything", VECTORS[0]))
    assert np.isfinite(ranking.features(look("anything", VECTORS[0]), VECTORS @ VECTORS[0])).all()


def test_the_probability_stays_between_0_and_1() -> None:
    high = answerable_probability((9e9,) * len(ANSWER_WEIGHTS))
    low = answerable_probability((-9e9,) * len(ANSWER_WEIGHTS))
    assert 0 <= low < 1e-9
    assert 1 - 1e-9 < high <= 1
    middle = (0.2, 0.5, 0.3, 0.4, 0.3)
    assert answerable_probability(middle, in_context=True) > answerable_probability(middle)
