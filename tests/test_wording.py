"""A model's words are said only where they keep to the verdict; whatever else it writes, the curated one stands."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

import pytest
from fake_llm import FakeLLM, Reader, writing

from coach.errors import ModelError
from coach.feedback import feedback
from coach.grading import Scorecard, Verdict
from coach.knowledge import FollowUp, KeyPoint
from coach.llm import Message
from coach.retrieval import SentenceEncoder
from coach.wording import Line, Wording

QUESTION = "What is dropout?"
MADE = KeyPoint("zeroing", "Dropout sets a random share of activations to zero at each training step.", 3)
MISSED = KeyPoint(
    "inference", "At inference dropout is switched off.", 2, "Otherwise predictions would change from call to call."
)
CARD = Scorecard(
    (
        Verdict(MADE, "covered", 0.97, "you zero some activations at random in each training step"),
        Verdict(MISSED, "missed", 0.1),
    )
)
GOOD = "1. You explained that dropout sets a random share of activations to zero at each training step.\n"
GAP = "2. You did not mention that at inference dropout is switched off.\n"


def lines(encoder: SentenceEncoder, *pieces: str, stop: threading.Event | None = None) -> list[Line]:
    llm = FakeLLM(writing(*pieces), Reader())
    return list(Wording(llm, encoder).feedback(CARD, QUESTION, stop or threading.Event()))


def test_lines_that_hold_are_said_in_the_models_words(encoder: SentenceEncoder) -> None:
    said = lines(encoder, GOOD, GAP)
    assert [line.by_model for line in said] == [True, True, False]
    assert said[0].sentence.text.startswith("You explained that dropout")
    assert said[1].sentence.rests_on == "inference"
    assert [line.sentence.rests_on for line in said] == [s.rests_on for s in feedback(CARD)]


@pytest.mark.parametrize(
    "praise",
    [
        "1. You explained that at inference dropout is switched off.\n",  # praise of what was missed
        "1. You did not mention that activations are set to zero.\n",  # a gap where the point was made
        "1. You explained that dropout sets a random share of weights to one at each test step.\n",
        "1. You explained that dropout sets a random share of activations to zero and always halves training time.\n",
        "1. Bananas are an excellent source of potassium.\n",
        "1. \n",
    ],
)
def test_a_line_that_does_not_hold_is_replaced_by_the_curated_one(encoder: SentenceEncoder, praise: str) -> None:
    said = lines(encoder, praise, GAP)
    assert not said[0].by_model
    assert said[0].sentence == feedback(CARD)[0]
    assert said[1].by_model


@pytest.mark.parametrize(
    "gap",
    [
        "2. You explained well that at inference dropout is switched off.\n",  # says the opposite of the verdict
        "2. You did not mention that at inference dropout is switched on.\n",
        "2. You did not mention that dropout needs a learning rate of 0.1.\n",
    ],
)
def test_a_gap_is_never_turned_into_praise_or_a_falsehood(encoder: SentenceEncoder, gap: str) -> None:
    said = lines(encoder, GOOD, gap)
    assert not said[1].by_model
    assert said[1].refused
    assert said[1].sentence == feedback(CARD)[1]


@pytest.mark.parametrize("text", ["", "I would say you did great!", "3. Something else.\n", "{}"])
def test_a_reply_without_the_lines_asked_for_leaves_all_as_it_was(encoder: SentenceEncoder, text: str) -> None:
    assert [line.sentence for line in lines(encoder, text)] == list(feedback(CARD))


def test_a_model_that_fails_half_way_loses_nothing(encoder: SentenceEncoder) -> None:
    def failing(messages: Sequence[Message]) -> Iterable[str]:
        yield GOOD
        yield "2. You"
        raise ModelError("out of memory")

    said = list(Wording(FakeLLM(failing, Reader()), encoder).feedback(CARD, QUESTION, threading.Event()))
    assert said[0].by_model
    assert [line.sentence for line in said[1:]] == list(feedback(CARD)[1:])


def test_stopped_or_without_a_model_the_curated_sentences_are_said(encoder: SentenceEncoder) -> None:
    stop = threading.Event()
    stop.set()
    assert [line.sentence for line in lines(encoder, GOOD, GAP, stop=stop)] == list(feedback(CARD))
    said = Wording(None, encoder).feedback(CARD, QUESTION, threading.Event())
    assert [line.sentence for line in said] == list(feedback(CARD))


FOLLOW_UP = FollowUp(
    "What happens to dropout at inference?", "inference", ("It is switched off.", "The whole network predicts.")
)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("You said that activations are zeroed at random; what happens to dropout at inference?", True),
        ("What is a convolution?", False),
        ("Since dropout is switched off and the whole network predicts, what happens to dropout at inference?", False),
        ("Tell me what happens to dropout at inference.", False),
        ("", False),
    ],
)
def test_a_follow_up_keeps_its_question_and_gives_nothing_away(
    encoder: SentenceEncoder, written: str, kept: bool
) -> None:
    asked = Wording(FakeLLM(writing(written)), encoder).follow_up(FOLLOW_UP, CARD, (QUESTION,), threading.Event())
    assert asked == (written if kept else FOLLOW_UP.question)


def test_a_question_asked_before_is_not_asked_in_the_same_words(encoder: SentenceEncoder) -> None:
    written = "You zero activations at random; what happens to dropout at inference?"
    asked = Wording(FakeLLM(writing(written)), encoder).follow_up(FOLLOW_UP, CARD, (written,), threading.Event())
    assert asked == FOLLOW_UP.question
