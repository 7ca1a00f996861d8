"""The probe for key points on given states; what it is worth, the benchmark says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from fake_llm import FakeLLM, Reader
from numpy.typing import NDArray

from coach.judge import Judge, Task
from coach.knowledge import KeyPoint
from coach.llm import Message
from coach.point_probe import PointProbe
from coach.probe import points_file
from coach.retrieval import SentenceEncoder
from coach.weights import EMBEDDED

ALONG = PointProbe((3,), np.array([2.0, 0.0], dtype=np.float32))
FIRST = KeyPoint("first", "Dropout zeroes activations at random.", 2)
SECOND = KeyPoint("second", "Inverted dropout divides by the keep probability.", 2)
MODEL_ANSWER = f"{FIRST.text} {SECOND.text}"
TASK = Task("What is dropout?", (FIRST, SECOND), (), (MODEL_ANSWER,), "Bread needs flour and water.")


class Knowing(FakeLLM):
    """A model that says no to all points but whose state knows: its first number is 1 where `said` holds a point."""

    def __init__(self, *said: str) -> None:
        super().__init__(judge=lambda messages: -2.0)
        self._said = said
        self.layers: Sequence[int] = ()

    def choice_states(
        self, messages: Sequence[Message], choices: Sequence[str], layers: Sequence[int]
    ) -> tuple[tuple[float, ...], NDArray[np.float32]]:
        self.layers = layers
        stated = [any(choice.startswith(f"Point: {s}") for s in self._said) for choice in choices]
        full = MODEL_ANSWER in messages[-1].content
        [row] = self.choice_logprobs([messages], choices)
        rows = [[6.0 if full or (one and "bread" not in messages[-1].content.lower()) else 0.0, 9.0] for one in stated]
        return row, np.array(rows, dtype=np.float32)


def test_odds_lie_along_the_direction() -> None:
    assert ALONG.odds(np.array([[1, 5], [-1, 5]], dtype=np.float32)) == (2.0, -2.0)


def test_weights_come_back_as_they_were_saved(tmp_path: Path) -> None:
    ALONG.save(tmp_path / "new" / "one.npz")
    loaded = PointProbe.load(tmp_path / "new" / "one.npz")
    assert loaded.layers == ALONG.layers
    assert np.array_equal(loaded.direction, ALONG.direction)


def test_the_default_model_has_one_and_others_have_none() -> None:
    assert points_file(EMBEDDED["default"].title).exists()
    assert PointProbe.of(Knowing()) is None
    known = Knowing()
    known.name = EMBEDDED["default"].title
    found = PointProbe.of(known)
    assert found is not None
    assert np.isfinite(found.direction).all()
    blind = FakeLLM()
    blind.name = EMBEDDED["default"].title
    assert PointProbe.of(blind) is None  # its states cannot be read


@pytest.mark.parametrize("known", [FIRST, SECOND])
def test_what_the_state_knows_counts_beside_what_the_model_says(known: KeyPoint, encoder: SentenceEncoder) -> None:
    llm = Knowing(known.text)
    answer = "It switches off some units by chance, and what is left is scaled up to make up for them."
    with_probe, without = Judge(llm, encoder, point_probe=ALONG), Judge(llm, encoder)
    read, unread = (judge.grade(TASK, answer).verdicts for judge in (with_probe, without))
    assert llm.layers == ALONG.layers
    higher = {v.key_point.id for v, plain in zip(read, unread, strict=True) if v.probability > plain.probability + 0.2}
    assert higher == {known.id}


def test_a_calibration_without_reads_is_judged_without_them(encoder: SentenceEncoder, tmp_path: Path) -> None:
    answer = "Dropout zeroes activations at random, a fresh choice at each step."
    llm = Knowing(FIRST.text)
    before = Judge(llm, encoder, tmp_path).grade(TASK, answer)
    after = Judge(llm, encoder, tmp_path, point_probe=ALONG).grade(TASK, answer)
    assert after == before


def test_an_engine_that_shows_no_states_is_judged_without_them(encoder: SentenceEncoder) -> None:
    answer = "Dropout zeroes activations at random, a fresh choice at each step."
    plain, probed = (Judge(FakeLLM(judge=Reader()), encoder, point_probe=probe) for probe in (None, ALONG))
    assert probed.grade(TASK, answer) == plain.grade(TASK, answer)
