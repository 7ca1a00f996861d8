"""How much of a reference an answer says, word by word: words in context, and an encoder of whole texts."""

from __future__ import annotations

import numpy as np
import pytest
from letter_encoder import LetterEncoder

from coach.encoder import Encoder, SentenceEncoder, words_of
from coach.words import recall

REFERENCE = "A stack returns the element that was added last."
QUESTION = frozenset({"stack"})


def said(encoder: Encoder, answer: str, known: frozenset[str] = frozenset()) -> float:
    reference, words = words_of(encoder, [REFERENCE, answer])
    return recall(reference, words, known)


def test_words_are_cut_from_the_text_and_have_unit_vectors(encoder: SentenceEncoder) -> None:
    [words] = encoder.words(["Co-adaptation, um, of ReLU units!"])
    assert words.texts == ("Co", "-", "adaptation", ",", "um", ",", "of", "ReLU", "units", "!")
    assert np.allclose(np.linalg.norm(words.vectors, axis=1), 1.0, atol=1e-5)


def test_a_word_is_read_in_its_context(encoder: SentenceEncoder) -> None:
    money, river = encoder.words(["the bank lent me money", "the bank of the river"])
    assert float(money.vectors[1] @ river.vectors[1]) < 0.9


@pytest.mark.parametrize("encoder_of", [None, LetterEncoder], ids=["words in context", "whole texts only"])
def test_a_text_says_all_of_itself(encoder: SentenceEncoder, encoder_of: type[LetterEncoder] | None) -> None:
    assert said(encoder_of() if encoder_of else encoder, REFERENCE) == pytest.approx(1.0, abs=1e-4)


def test_other_words_for_the_same_say_more_than_what_is_about_something_else(encoder: SentenceEncoder) -> None:
    same = said(encoder, "You always get back the item you pushed most recently.")
    other = said(encoder, "You should always add some salt to the water first.")
    assert same > other + 0.1


def test_what_the_question_says_counts_on_neither_side(encoder: SentenceEncoder) -> None:
    assert said(encoder, "stack") > said(encoder, "stack", QUESTION) == 0.0


@pytest.mark.parametrize("answer", ["", "the of and", "?!", "\x00"])
def test_who_says_nothing_says_nothing_of_it(encoder: SentenceEncoder, answer: str) -> None:
    assert said(encoder, answer) == 0.0


def test_a_reference_of_known_words_alone_is_taken_as_it_is(encoder: SentenceEncoder) -> None:
    reference, answer = words_of(encoder, ["stack", "a stack of plates"])
    assert recall(reference, answer, QUESTION) > 0.0


def test_the_first_words(encoder: SentenceEncoder) -> None:
    [words] = encoder.words([REFERENCE])
    assert words.first(2).texts == ("A", "stack")
    assert words.first(2).vectors.shape == (2, words.vectors.shape[1])
