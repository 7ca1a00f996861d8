"""Turns of a conversation as questions of their own, on the real index."""

from __future__ import annotations

import pytest

from coach.resolution import Resolution, is_acknowledgement, leans_on_context, resolve
from coach.retrieval import Index
from coach.session import Exchange


def talked(*ids: str) -> tuple[Exchange, ...]:
    """A conversation in which each entry was asked about and cited; an empty id is a turn that was declined."""
    return tuple(
        Exchange(f"What is {key or 'that'}?", "So it is.", (key,) if key else (), answerable=bool(key)) for key in ids
    )


def first_of(resolution: Resolution) -> str:
    assert resolution.found is not None
    return resolution.found.hits[0].entry.id


@pytest.mark.parametrize(
    "text", ["ok", "Thanks!", "yes", "got it, thank you very much", "OK, that makes sense.", "ah, I see", "cool :)"]
)
def test_acknowledgements(text: str) -> None:
    assert is_acknowledgement(text)


@pytest.mark.parametrize(
    "text",
    ["", "  ", "ok, but why?", "yes, what is dropout", "thanks, and at inference?", "no idea what a kernel is", "why",
     "is that right for RNNs", "good learning rate?", "ok " * 50],
)  # fmt: skip
def test_questions_are_no_acknowledgements(text: str) -> None:
    assert not is_acknowledgement(text)


@pytest.mark.parametrize("text", ["and why does that help?", "why?", "how is it trained?", "the first one", "example?"])
def test_turns_that_point_back(text: str) -> None:
    assert leans_on_context(text)


@pytest.mark.parametrize("text", ["what is the vanishing gradient problem", "explain batch normalisation to me"])
def test_turns_that_stand_alone(text: str) -> None:
    assert not leans_on_context(text)


@pytest.mark.parametrize(
    ("before", "turn", "entry"),
    [
        (("dropout",), "and why does that help?", "dropout"),
        (("dropout",), "what happens at inference?", "dropout"),
        (("gan",), "how is it trained?", "gan"),
        (("lstm",), "can you give me an example?", "lstm"),
        (("dropout", "lstm"), "which gates does it have?", "lstm"),
        (("dropout", ""), "what is a GAN?", "gan"),
        (("dropout",), "and what about a GAN?", "gan"),
        (("dropout",), "what about batch norm?", "batch-normalisation"),
        (("lstm",), "what about GPUs?", "gpu"),
        (("lstm",), "and transformers?", "transformer"),
        (("gan", ""), "back to the GAN: how is it trained?", "gan"),
        (("cnn", "lstm"), "back to convolution: why is the filter shared?", "cnn"),
        (("gan",), "what is dropout and why does it help?", "dropout"),
        # A term that the current subject does not know asks for the subject that it belongs to.
        (("regularisation",), "what is a logit?", "activation-functions"),
        (("regularisation",), "what is perplexity?", "evaluating-models"),
        (("dropout",), "and what is beam search?", "text-generation"),
        # One that it knows, or that says nothing by itself, stays with it.
        (("batch-normalisation",), "what is gamma?", "batch-normalisation"),
        (("batch-normalisation",), "what is the formula?", "batch-normalisation"),
        (("activation-functions",), "what is saturation?", "activation-functions"),
        (("text-generation",), "what is temperature?", "text-generation"),
        (("hyperparameters",), "how are they tuned?", "hyperparameters"),
        ((), "what is dropout?", "dropout"),
    ],
)
def test_a_turn_is_looked_up_in_its_conversation(index: Index, before: tuple[str, ...], turn: str, entry: str) -> None:
    resolution = resolve(turn, talked(*before), index)
    assert resolution.kind == "question"
    assert resolution.found is not None
    assert resolution.found.answerable
    assert first_of(resolution) == entry


@pytest.mark.parametrize(
    "turn",
    ["and why does that help?", "how long does it take?", "can you give an example of it?", "explain that again"],
)
def test_a_turn_that_points_at_what_was_declined_is_lost(index: Index, turn: str) -> None:
    resolution = resolve(turn, talked("dropout", ""), index)
    assert resolution.kind == "lost"
    assert not resolution.answerable
    assert resolution.found is not None


def test_small_talk_after_a_refusal_changes_nothing(index: Index) -> None:
    hello = Exchange("hello", "Hello!", answerable=False)
    assert resolve("and why does that help?", (*talked("dropout"), hello), index).answerable
    assert resolve("and why does that help?", (*talked("dropout", ""), hello), index).kind == "lost"


@pytest.mark.parametrize("turn", ["hello", "thanks!", "what can you do?", "", "🎉"])
def test_small_talk_looks_nothing_up(index: Index, turn: str) -> None:
    resolution = resolve(turn, (), index)
    assert resolution.kind == "greeting"
    assert resolution.found is None
    assert not resolution.answerable


@pytest.mark.parametrize("turn", ["ok thanks", "yes", "I see, makes sense", "Interesting!", "okay that was clear"])
def test_an_acknowledgement_looks_nothing_up(index: Index, turn: str) -> None:
    resolution = resolve(turn, talked("dropout"), index)
    assert resolution.kind == "acknowledgement"
    assert resolution.found is None


@pytest.mark.parametrize(
    ("before", "turn", "compared"),
    [
        (("dropout", "batch-normalisation"), "how is that different from the first one?", ("dropout",)),
        (("dropout", "gan", "lstm"), "how does it compare with the previous one?", ("gan",)),
        (("dropout", "gan", "lstm"), "and the very first topic?", ("dropout",)),
        (("dropout", "gan"), "how do the two differ from each other?", ("dropout",)),
        (("dropout",), "is the first one better?", ()),
        (("dropout", "gan"), "how is it trained?", ()),
        ((), "how is that different from the first one?", ()),
    ],
)
def test_earlier_subjects_are_set_against_the_current_one(
    index: Index, before: tuple[str, ...], turn: str, compared: tuple[str, ...]
) -> None:
    assert resolve(turn, talked(*before), index).compared == compared


@pytest.mark.parametrize(
    "turn",
    [
        "a recipe for banana bread, please",
        "what is xgboost?",
        "what is xgboost",
        "how do SVMs work",
        "and what about k-means?",
        "and who won the world cup?",
    ],
)
def test_a_turn_outside_stays_outside_in_a_conversation(index: Index, turn: str) -> None:
    resolution = resolve(turn, talked("dropout", "batch-normalisation"), index)
    assert resolution.found is not None
    assert not resolution.found.answerable


def test_a_query_carries_its_subject_and_the_turn_word_for_word(index: Index) -> None:
    turn = "and why does that help?"
    query = resolve(turn, talked("dropout"), index).query
    assert turn in query
    assert "Dropout" in query


def test_as_many_hits_as_wanted(index: Index) -> None:
    found = resolve("and why?", talked("gan"), index, best=3).found
    assert found is not None
    assert len(found.hits) == 3


@pytest.mark.parametrize("turn", ["🎉", "\x00", "?", "it " * 30_000, "\u202eit"])
def test_hostile_turns_are_resolved_to_something(index: Index, turn: str) -> None:
    assert resolve(turn, talked("dropout"), index).found is not None
