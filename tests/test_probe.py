"""A probe on given states, and how its reference is chosen."""

from __future__ import annotations

from dataclasses import fields, replace
from math import exp, log
from pathlib import Path

import numpy as np
import pytest
from fake_llm import FakeLLM, Listed, weights
from tiny_model import tiny_llm

from coach.adapters import Adapters
from coach.llm import HiddenStates
from coach.probe import (
    ADAPTED_SAY,
    MAX_REFERENCE,
    NEAREST,
    SHARPNESS,
    Adapted,
    Probe,
    reference_for,
    states_of,
    weights_file,
)
from coach.tokenwise import Tokenwise

TRAINED = "Qwen 1.5B"  # the default model


def test_odds_are_the_soft_maximum_over_the_tokens() -> None:
    llm = Listed([[1, 0], [0, 0], [4, 1]], [[0, 2]])
    odds = Probe(llm, weights([1.0, -1.0], 0.5)).odds("Why?", ["It is so."], ["One.", "Two."])
    expected = [1.5, 0.5, 3.5]
    assert odds[0] == pytest.approx(log(sum(exp(SHARPNESS * e) for e in expected) / 3) / SHARPNESS, rel=1e-5)
    assert odds[1] == pytest.approx(-1.5)


def test_a_hidden_unit_adds_where_it_is_above_nothing() -> None:
    read = weights([1.0, 0.0], unit=[0.0, 1.0])
    assert read(np.array([[1, 2], [1, -2]], dtype=np.float32)).tolist() == [3.0, 1.0]


def test_weights_come_back_as_they_were_saved(tmp_path: Path) -> None:
    saved = replace(weights([1.0, -1.0], 0.25, [0.5, 2.0]), mean=np.array([1.0, 0.1], np.float32))
    saved.save(tmp_path / "new" / "one.npz")
    loaded = Tokenwise.load(tmp_path / "new" / "one.npz")
    for field in fields(Tokenwise):
        assert np.array_equal(getattr(loaded, field.name), getattr(saved, field.name)), field.name


def test_what_adapters_lead_to_has_its_say() -> None:
    adapters = Adapters(1, *(np.zeros(shape, np.float32) for shape in ((1, 2, 3), (1, 3), (1, 3, 2))))
    llm = Listed([[1, 0, 5, 0]], [[0, 2, -3, 0]])
    probe = Probe(llm, weights([1.0, -1.0]), adapted=Adapted(adapters, weights([2.0, 0.0])))
    plain, changed = np.array([1.0, -2.0]), np.array([10.0, -6.0])
    expected = (plain + ADAPTED_SAY * changed) / (1 + ADAPTED_SAY)
    assert probe.odds("Why?", ["It is so."], ["One.", "Two."]) == pytest.approx(expected.tolist())
    assert llm.adapters is adapters


def test_adapters_come_back_as_they_were_saved(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    down, bias, up = (chance.integers(-4, 4, shape).astype(np.float32) for shape in ((2, 6, 3), (2, 3), (2, 3, 6)))
    Adapters(4, down, bias, up).save(tmp_path / "new" / "one.npz")
    loaded = Adapters.load(tmp_path / "new" / "one.npz")
    assert (loaded.first, loaded.last) == (4, 6)
    for saved, read in zip((down, bias, up), (loaded.down, loaded.bias, loaded.up), strict=True):
        assert np.array_equal(saved, read)


def test_every_chat_begins_like_the_one_they_part_from() -> None:
    llm = Listed([[0, 0]])
    states_of(llm, [3], "Why?", ["It is so.", "It was."], ["Because."])
    said, stand_in = llm.asked
    assert "- It is so.\n- It was.\n" in said
    assert said.replace("Because.", "x") == stand_in


def test_a_real_engine_gives_states_of_the_sentence_and_what_follows_it() -> None:
    llm = tiny_llm()
    assert isinstance(llm, HiddenStates)
    short, long = states_of(
        llm, [1], "what is dropout", ["a unit is dropped"], ["the loss", "the loss of the gradient"]
    )
    assert short.shape[1] == long.shape[1]
    assert 0 < len(short) < len(long)


def test_a_model_without_a_probe_has_none() -> None:
    assert Probe.of(Listed([[0, 0]])) is None


def test_a_model_that_cannot_be_read_has_none() -> None:
    blind = FakeLLM()
    blind.name = TRAINED
    assert weights_file(TRAINED).exists()
    assert Probe.of(blind) is None


def test_a_trained_probe_is_found_by_the_name_of_its_model() -> None:
    probe = Probe.of(Listed([[0, 0]], name=TRAINED))
    assert probe is not None
    width = len(probe.tokenwise.mean)
    assert width % len(probe.tokenwise.layers) == 0
    assert probe.tokenwise(np.zeros((5, width), np.float32)).shape == (5,)
    assert probe.adapted is not None
    layers, one, _ = probe.adapted.adapters.down.shape
    assert probe.adapted.reader.layers == (probe.adapted.adapters.first + layers,)
    assert probe.adapted.reader(np.zeros((5, one), np.float32)).shape == (5,)


def test_the_reference_holds_each_sentences_nearest_statement_first() -> None:
    true = [f"Statement {n}." for n in range(6)]
    nearness = np.array([[0.9, 0.8, 0.7, 0, 0, 0], [0, 0.1, 0.2, 0.5, 0.4, 0]], dtype=np.float32)
    assert reference_for(nearness, true) == [true[n] for n in (0, 3, 1, 4, 2)]


def test_the_reference_of_a_long_answer_is_bounded() -> None:
    nearness = np.eye(40, dtype=np.float32)
    assert len(reference_for(nearness, [str(n) for n in range(40)])) == MAX_REFERENCE
    assert len(reference_for(nearness[:1], [str(n) for n in range(40)])) == NEAREST
