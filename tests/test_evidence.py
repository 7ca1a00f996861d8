"""Which sentence is shown as evidence for which point; how often it is the right one, `benchmarks/grading.py` says."""

from __future__ import annotations

import numpy as np
import pytest

from coach.evidence import fit
from coach.knowledge import KeyPoint
from coach.retrieval import Index, SentenceEncoder

SAID = (
    "Dropout sets each activation to zero with probability p during training.",
    "At test time it is switched off, and every unit takes part.",
    "The rest is scaled by 1/(1-p), so the mean stays the same.",
    "I've used it in a few projects and I quite like it.",
)


@pytest.mark.parametrize(
    ("point", "place"), [("random-zeroing", 0), ("off-at-inference", 1), ("rescaling", 2)], ids=str
)
def test_a_point_is_made_by_its_own_sentence_not_by_the_one_that_names_the_topic(
    encoder: SentenceEncoder, index: Index, point: str, place: int
) -> None:
    points = index.entry("dropout").key_points
    nearness = encoder.encode(SAID) @ encoder.encode([p.text for p in points]).T
    found = fit(nearness, SAID, points)
    assert found.shape == (len(SAID), len(points))
    assert int(found[:, [p.id for p in points].index(point)].argmax()) == place


def test_a_single_point_is_compared_as_it_is(encoder: SentenceEncoder) -> None:
    point = KeyPoint("all", "Every unit takes part at test time.", 1)
    nearness = encoder.encode(SAID) @ encoder.encode([point.text]).T
    assert int(fit(nearness, SAID, [point])[:, 0].argmax()) == 1


def test_shared_terms_count_where_cosines_tell_nothing(index: Index) -> None:
    points = index.entry("dropout").key_points
    found = fit(np.zeros((len(SAID), len(points)), dtype=np.float32), SAID, points)
    assert int(found[:, [p.id for p in points].index("random-zeroing")].argmax()) == 0
