"""The report of what runs where, on a coach with its real index and a scripted model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from typing import Any

import pytest
from fake_llm import FakeLLM

from coach.coach import Coach
from coach.config import Settings
from coach.doctor import in_words, report
from coach.errors import ModelError, RetrievalError
from coach.knowledge import Entry
from coach.llm import LLM, Message
from coach.retrieval import Index


def counting(messages: Sequence[Message]) -> Iterable[str]:
    return ("one ", "two ", "three ")


def test_all_that_runs_is_reported_and_is_json(index: Index) -> None:
    found = report(Coach.of(index.entries, index, FakeLLM(counting)))
    assert json.loads(json.dumps(found)) == found
    assert found["entries"] == 30
    assert found["packages"]["torch"]
    assert found["memory"]["total_gib"] >= found["memory"]["free_gib"] > 0
    assert found["index"]["state"] == "ready"
    assert found["index"]["passages"] == len(index.passages)
    assert 0 < found["index"]["search_seconds"] < 10
    assert found["model"]["state"] == "ready"
    assert found["model"]["name"] == "Fake 0B"
    assert found["speed"]["first_token_seconds"] >= 0
    assert found["speed"]["chunks_per_second"] > 0


def test_without_a_model_the_speed_is_left_out(index: Index) -> None:
    found = report(Coach.of(index.entries, index, None, Settings(model="none")))
    assert "speed" not in found
    assert "curated" in found["model"]["state"]


def test_a_sample_is_taken_only_when_wanted(index: Index) -> None:
    llm = FakeLLM(counting)
    assert "speed" not in report(Coach.of(index.entries, index, llm), sample=False)
    assert llm.prompts == []


def test_a_model_that_fails_during_the_sample_is_reported(index: Index) -> None:
    def dies(messages: Sequence[Message]) -> Iterable[str]:
        yield "one "
        raise ModelError("The device is lost; start again.")

    found = report(Coach.of(index.entries, index, FakeLLM(dies)))
    assert found["speed"] == {"error": "The device is lost; start again."}


def failed(error: Exception) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_exception(error)
    return future


def test_a_model_that_failed_is_reported_with_its_reason(index: Index) -> None:
    ready: Future[Index] = Future()
    ready.set_result(index)
    found = report(Coach(index.entries, ready, failed(ModelError("The weights are gone; install them."))))
    assert found["model"] == {"state": "The weights are gone; install them."}
    assert found["index"]["state"] == "ready"
    assert "speed" not in found


def test_an_index_that_failed_is_reported_with_its_reason_and_not_as_the_models(entries: tuple[Entry, ...]) -> None:
    model: Future[LLM] = Future()
    found = report(Coach(entries, failed(RetrievalError("The encoder is gone; install it.")), model))
    assert found["index"] == {"state": "The encoder is gone; install it."}
    assert found["model"] == {"state": "loading"}


@pytest.mark.parametrize("model", [True, False])
def test_the_report_in_words_holds_every_line(index: Index, model: bool) -> None:
    found = report(Coach.of(index.entries, index, FakeLLM(counting) if model else None))
    found["packages"]["piper-tts"] = None
    text = in_words(found)
    assert "piper-tts: not installed" in text
    assert "  passages: " in text
    assert all(name.replace("_", " ") in text for name in found)
    assert "{" not in text
