"""Misstatements with the real encoder and a judge that reads words; how many are caught, the benchmark says."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from fake_llm import FakeLLM

from coach.errors import ModelError
from coach.knowledge import Misconception
from coach.llm import Message
from coach.misstatements import MAX_ASKED, MAX_PER_SENTENCE, candidates, doubtful, misstatements
from coach.retrieval import SentenceEncoder
from coach.stretches import Stretches

ON = Misconception("Dropout stays switched on at inference.", "Dropout is switched off at inference.")
WEIGHTS = Misconception("Dropout zeroes weights.", "Dropout zeroes activations, not weights.")
BATCH = Misconception("A batch is one pass over all data.", "One pass over all data is an epoch.")
LISTED = (ON, WEIGHTS, BATCH)
SAID = ("It is a regulariser.", "At inference dropout stays switched on, that is the point.", "I like it.")


def verbatim(messages: Sequence[Message]) -> float:
    """Says yes where all words of the statement stand in what the candidate said."""
    said, statement = messages[-1].content.split("Statement: ")
    words = statement.split("\n")[0].lower().rstrip(".").split()
    return 3.0 if set(words) <= set(re.findall(r"\w+", said.lower())) else -3.0


def test_a_sentence_that_says_a_misconception_is_found_with_it(encoder: SentenceEncoder) -> None:
    found = misstatements(Stretches.of(SAID, encoder), LISTED, (), FakeLLM(judge=verbatim), encoder)
    best = max(found, key=lambda one: one.probability)
    assert best.sentence == SAID[1]
    assert best.misconception == ON
    assert best.probability > 0.8


def test_a_model_that_says_yes_to_everything_finds_nothing(encoder: SentenceEncoder) -> None:
    found = misstatements(Stretches.of(SAID, encoder), LISTED, (), FakeLLM(judge=lambda _: 5.0), encoder)
    assert found
    assert all(one.probability < 0.3 for one in found)


def test_a_sentence_that_says_the_correction_is_none(encoder: SentenceEncoder) -> None:
    said = ("Dropout is switched off at inference.",)
    found = misstatements(Stretches.of(said, encoder), LISTED, (), FakeLLM(judge=verbatim), encoder)
    assert all(one.probability < 0.1 for one in found)


@pytest.mark.parametrize("said", [SAID[2:], ("Bread needs flour, water and salt.",)])
def test_what_is_near_to_no_misconception_is_not_asked_about(encoder: SentenceEncoder, said: tuple[str, ...]) -> None:
    llm = FakeLLM(judge=verbatim)
    assert misstatements(Stretches.of(said, encoder), LISTED, (), llm, encoder) == ()
    assert llm.judged == []


def test_without_misconceptions_nothing_is_asked(encoder: SentenceEncoder) -> None:
    assert misstatements(Stretches.of(SAID, encoder), (), (), FakeLLM(judge=verbatim), encoder) == ()


def test_the_model_is_asked_about_few_of_them(encoder: SentenceEncoder) -> None:
    many = tuple(
        Misconception(f"Dropout stays switched on at inference, case {n}.", "It is switched off.") for n in range(30)
    )
    near = candidates(Stretches.of(SAID[1:2] * 5, encoder), many, (), encoder)
    assert len(near) == MAX_ASKED
    assert len(candidates(Stretches.of(SAID[1:2], encoder), many, (), encoder)) == MAX_PER_SENTENCE


def test_a_model_that_fails_is_not_hidden(encoder: SentenceEncoder) -> None:
    def dies(messages: Sequence[Message]) -> float:
        raise ModelError("Out of memory; use --model small.")

    with pytest.raises(ModelError):
        misstatements(Stretches.of(SAID, encoder), LISTED, (), FakeLLM(judge=dies), encoder)


def test_what_is_nearer_to_a_misconception_than_to_the_truth_is_doubted(encoder: SentenceEncoder) -> None:
    said = (ON.claim, "It is a regulariser that works against overfitting.")
    true = ("Dropout is a regulariser against overfitting.",)
    assert doubtful(Stretches.of(said, encoder), LISTED, true, encoder) == {ON.claim}
    assert doubtful(Stretches.of(said, encoder), (), true, encoder) == frozenset()
