"""The check of generated sentences, with the real encoder and a judge that says what the test wants."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from fake_llm import FakeLLM, Reader, believing, text_of

from coach.errors import ModelError
from coach.grounding import MIN_SIMILARITY, Grounding, consistent, yes_over_no
from coach.llm import Message
from coach.retrieval import Index, SentenceEncoder, passages_of

SOURCES = (
    "During training, dropout sets each activation to zero with probability p.",
    "At inference dropout is switched off and every unit is used.",
    "Inverted dropout divides the kept activations by 1 - p during training, so inference needs no change.",
    "Dropout is less useful in convolutional layers, where neighbouring activations are correlated.",
    "With a rate of 0.5, half of the units are dropped on average.",
)
TRUE = "In training, dropout sets activations to zero with probability p."
FALSE = "In training, dropout sets activations to zero and keeps them at zero."
UNRELATED = "Bread needs flour, water, salt and some patience."


def grounding(encoder: SentenceEncoder, *false: str) -> Grounding:
    return Grounding(FakeLLM(judge=Reader(*false)), encoder)


def test_true_passes_and_what_the_judge_denies_does_not(encoder: SentenceEncoder) -> None:
    true, false = grounding(encoder, FALSE).check([TRUE, FALSE], SOURCES)
    assert (true.sentence, true.supported, true.source) == (TRUE, True, SOURCES[0])
    assert (false.sentence, false.supported) == (FALSE, False)


def test_the_judge_decides_what_likeness_lets_through(encoder: SentenceEncoder) -> None:
    assert grounding(encoder).check([TRUE], SOURCES)[0].supported
    denied = grounding(encoder, TRUE).check([TRUE], SOURCES)[0]
    assert not denied.supported
    assert denied.log_odds is not None


def test_a_judge_that_says_yes_to_everything_lets_nothing_pass(encoder: SentenceEncoder) -> None:
    """Small models lean to yes: a yes counts by what it is above the yes for an unrelated source."""
    assert not Grounding(FakeLLM(judge=believing), encoder).check([TRUE], SOURCES)[0].supported


def test_a_sentence_far_from_every_source_is_refused_unasked(encoder: SentenceEncoder) -> None:
    llm = FakeLLM(judge=Reader())
    (found,) = Grounding(llm, encoder).check([UNRELATED], SOURCES)
    assert not found.supported
    assert found.similarity < MIN_SIMILARITY
    assert llm.judged == []


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_word_for_word_is_carried(encoder: SentenceEncoder, source: str) -> None:
    assert grounding(encoder).check([source], SOURCES)[0].supported


def test_the_corrections_of_the_entries_are_carried_by_themselves(index: Index) -> None:
    for entry in index.entries[::10]:
        sources = [p.text for p in passages_of(entry) if p.kind in ("answer", "correction")]
        corrections = [wrong.correction for wrong in entry.misconceptions]
        found = Grounding(FakeLLM(judge=Reader()), index.encoder).check(corrections, sources)
        assert [support.supported for support in found] == [True] * len(corrections)


@pytest.mark.parametrize(
    "sentence",
    [
        "During training, dropout sets 73 % of the activations to zero.",
        "With a rate of 0.7, half of the units are dropped on average.",
        "With a rate of 0.5, 512 of the units are dropped on average.",
        "During training, dropout never sets an activation to zero with probability p.",
        "At training dropout is switched off and every unit is used.",
        "At inference dropout is not switched off and every unit is used.",
        "At inference dropout is switched on and every unit is used.",
        "Inverted dropout multiplies the kept activations by 1 - p during training, so inference needs no change.",
        "Inverted dropout divides the kept activations by 1 - p during training, so inference needs a change.",
        "Dropout is more useful in convolutional layers, where neighbouring activations are correlated.",
        "At inference dropout is switched off and every quantised transformer accelerator is used.",
    ],
)
def test_what_is_turned_round_is_refused_without_a_judge(sentence: str) -> None:
    assert not any(consistent(sentence, source, source) for source in SOURCES)


@pytest.mark.parametrize("sentence", [TRUE, *SOURCES, "Half of the units are dropped with a rate of 0.5."])
def test_what_says_the_same_is_consistent_with_one_source(sentence: str) -> None:
    assert any(consistent(sentence, source, source) for source in SOURCES)


def test_sentences_keep_their_order_and_none_is_lost(encoder: SentenceEncoder) -> None:
    sentences = [UNRELATED, TRUE, FALSE, SOURCES[1]]
    found = grounding(encoder, FALSE).check(sentences, SOURCES)
    assert [support.sentence for support in found] == sentences
    assert [support.supported for support in found] == [False, True, False, True]


def test_nothing_to_check_asks_nothing(encoder: SentenceEncoder) -> None:
    llm = FakeLLM()
    assert Grounding(llm, encoder).check([], SOURCES) == ()
    assert llm.judged == []


def test_without_sources_or_without_a_model_nothing_is_carried(encoder: SentenceEncoder) -> None:
    assert [s.supported for s in Grounding(FakeLLM(), encoder).check([TRUE, FALSE], [])] == [False, False]
    assert not Grounding(None, encoder).check([TRUE], SOURCES)[0].supported


def test_a_single_source_carries_nothing_that_the_judge_denies(encoder: SentenceEncoder) -> None:
    assert not grounding(encoder, TRUE).check([TRUE], SOURCES[:1])[0].supported


def test_the_judge_is_shown_statement_and_source(encoder: SentenceEncoder) -> None:
    llm = FakeLLM(judge=Reader())
    Grounding(llm, encoder).check([TRUE], SOURCES)
    assert all(TRUE in text_of(messages) for messages in llm.judged)
    assert any(SOURCES[0] in text_of(messages) for messages in llm.judged)


def test_a_judge_that_fails_is_not_taken_for_a_yes(encoder: SentenceEncoder) -> None:
    def dies(messages: Sequence[Message]) -> float:
        raise ModelError("Out of memory; use --model small.")

    with pytest.raises(ModelError):
        Grounding(FakeLLM(judge=dies), encoder).check([TRUE], SOURCES)


def test_a_judge_without_numbers_lets_nothing_pass(encoder: SentenceEncoder) -> None:
    assert not Grounding(FakeLLM(judge=lambda messages: math.nan), encoder).check([TRUE], SOURCES)[0].supported


def test_yes_over_no_counts_both_spellings() -> None:
    half = math.log(0.25)
    assert yes_over_no([half, half, half, half]) == pytest.approx(0.0)
    assert yes_over_no([math.log(0.5), math.log(0.1), math.log(0.3), math.log(0.1)]) == pytest.approx(math.log(4))
    assert yes_over_no([-math.inf, -1.0, -math.inf, -1.0]) == -math.inf
    assert yes_over_no([-2000.0, -1000.0, -2000.0, -1000.0]) == pytest.approx(-1000.0)


@pytest.mark.parametrize("sentence", ["", " ", "\x00", "🎉", "\u202e" + TRUE[::-1], "x" * 20_000])
def test_hostile_sentences_are_refused(encoder: SentenceEncoder, sentence: str) -> None:
    assert not grounding(encoder).check([sentence], SOURCES)[0].supported
