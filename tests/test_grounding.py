"""The check of generated sentences, with the real encoder and a judge that says what the test wants."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from fake_llm import FakeLLM, believing, refusing, text_of

from coach.errors import ModelError
from coach.grounding import MIN_SIMILARITY, Grounding
from coach.knowledge import Entry
from coach.llm import Message
from coach.retrieval import Index, SentenceEncoder

TRUE = "During training, dropout sets activations to zero at random."
FALSE = "Dropout removes weights for good after training has ended."
UNRELATED = "Bread needs flour, water, salt and some patience."


@pytest.fixture
def dropout(index: Index) -> Entry:
    return index.entry("dropout")


def judge_of(entry: Entry, *false: str):  # type: ignore[no-untyped-def]
    return refusing(*false, *(wrong.claim for wrong in entry.misconceptions))


def test_true_passes_and_false_does_not(dropout: Entry, encoder: SentenceEncoder) -> None:
    grounding = Grounding(FakeLLM(judge=judge_of(dropout, FALSE)), encoder)
    true, false = grounding.check([TRUE, FALSE], [dropout])
    assert (true.sentence, true.supported) == (TRUE, True)
    assert (false.sentence, false.supported) == (FALSE, False)


def test_a_sentence_far_from_every_source_is_refused_unasked(dropout: Entry, encoder: SentenceEncoder) -> None:
    llm = FakeLLM(judge=believing)
    (found,) = Grounding(llm, encoder).check([UNRELATED], [dropout])
    assert not found.supported
    assert found.similarity < MIN_SIMILARITY
    assert all(UNRELATED not in text_of(messages) for messages in llm.judged)


@pytest.mark.parametrize(
    "sentence",
    [
        "During training, dropout sets 73 % of the activations to zero.",
        "Dropout was introduced in 1987 as a regulariser for neural networks.",
        "Dropout multiplies each activation by 3.75 during training.",
    ],
)
def test_a_number_that_no_source_states_is_refused(dropout: Entry, encoder: SentenceEncoder, sentence: str) -> None:
    (found,) = Grounding(FakeLLM(judge=believing), encoder).check([sentence], [dropout])
    assert not found.supported


def test_extra_sources_carry_what_they_state(dropout: Entry, encoder: SentenceEncoder) -> None:
    computed = "With your numbers one epoch takes 938 iterations."
    grounding = Grounding(FakeLLM(judge=judge_of(dropout)), encoder)
    assert not grounding.check([computed], [dropout])[0].supported
    assert grounding.check([computed], [dropout], extra=[computed])[0].supported


def test_the_nearest_source_is_named(dropout: Entry, encoder: SentenceEncoder) -> None:
    point = dropout.misconceptions[0].correction
    (found,) = Grounding(FakeLLM(judge=judge_of(dropout)), encoder).check([point], [dropout])
    assert found.supported
    assert found.similarity > 0.9
    assert found.source


def test_a_judge_that_says_no_to_everything_lets_nothing_false_through(
    dropout: Entry, encoder: SentenceEncoder
) -> None:
    """A judge that leans to no is put right by its zero; one that cannot tell must not let the false pass."""

    def leaning(messages: Sequence[Message]) -> Sequence[float]:
        false = any(text in text_of(messages) for text in (FALSE, *(m.claim for m in dropout.misconceptions)))
        return (-9.0, -0.1) if false else (-3.0, -0.1)

    true, false = Grounding(FakeLLM(judge=leaning), encoder).check([TRUE, FALSE], [dropout])
    assert true.supported
    assert not false.supported


def test_sentences_keep_their_order_and_none_is_lost(dropout: Entry, encoder: SentenceEncoder) -> None:
    grounding = Grounding(FakeLLM(judge=judge_of(dropout, FALSE)), encoder)
    sentences = [UNRELATED, TRUE, FALSE, TRUE]
    found = grounding.check(sentences, [dropout])
    assert [support.sentence for support in found] == sentences
    assert [support.supported for support in found] == [False, True, False, True]


def test_nothing_to_check_asks_nothing(dropout: Entry, encoder: SentenceEncoder) -> None:
    llm = FakeLLM()
    assert Grounding(llm, encoder).check([], [dropout]) == ()
    assert llm.judged == []


def test_what_was_calibrated_is_kept(dropout: Entry, encoder: SentenceEncoder) -> None:
    llm = FakeLLM(judge=judge_of(dropout))
    grounding = Grounding(llm, encoder)
    grounding.check([TRUE], [dropout])
    before = len(llm.judged)
    grounding.check([TRUE], [dropout])
    assert len(llm.judged) - before < before


def test_an_entry_without_misconceptions_can_be_checked(encoder: SentenceEncoder, index: Index) -> None:
    from coach.knowledge import key_points_from

    answer = "A frobnicator turns knobs in a machine. It stops when the knob is tight."
    own = Entry("x", "What is a frobnicator?", answer, key_points=key_points_from(answer))
    (found,) = Grounding(FakeLLM(judge=refusing()), encoder).check(["A frobnicator turns knobs in a machine."], [own])
    assert found.supported


def test_a_judge_that_fails_is_not_taken_for_a_yes(dropout: Entry, encoder: SentenceEncoder) -> None:
    def dies(messages: Sequence[Message]) -> Sequence[float]:
        raise ModelError("Out of memory; use --model small.")

    with pytest.raises(ModelError):
        Grounding(FakeLLM(judge=dies), encoder).check([TRUE], [dropout])


def test_a_judge_without_numbers_lets_nothing_pass(dropout: Entry, encoder: SentenceEncoder) -> None:
    nan = float("nan")
    (found,) = Grounding(FakeLLM(judge=lambda messages: (nan, nan)), encoder).check([TRUE], [dropout])
    assert not found.supported


@pytest.mark.parametrize("sentence", ["", " ", "\x00", "🎉", "\u202e" + TRUE[::-1], "x" * 20_000])
def test_hostile_sentences_are_refused(dropout: Entry, encoder: SentenceEncoder, sentence: str) -> None:
    (found,) = Grounding(FakeLLM(judge=judge_of(dropout)), encoder).check([sentence], [dropout])
    assert not found.supported
