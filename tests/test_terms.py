"""Terms: which a text holds, how they are spelt, what they may have been heard as."""

from __future__ import annotations

import pytest

from coach.terms import VOCABULARY, Lexicon, folded, terms_in, widened


def test_the_vocabulary_holds_every_term_once_and_on_one_line() -> None:
    assert len({folded(term) for term in VOCABULARY}) == len(VOCABULARY)
    assert not [term for term in VOCABULARY if "\n" in term or "  " in term or not term]


def test_two_spellings_of_one_word_become_equal() -> None:
    assert folded("Regularisation of mini-batches") == folded("regularization of mini batches")
    assert folded("noise and bias") == "noise and bias"


def test_terms_of_a_text_most_frequent_first() -> None:
    found = terms_in(["Dropout and ReLU. Dropout again, with CIoU and a map of a hog."])
    assert found[0] == "dropout"
    assert {"ReLU", "CIoU"} <= set(found)
    assert not {"mAP", "HOG"} & set(found)


def test_gates_that_are_also_ordinary_words_are_no_terms() -> None:
    assert terms_in(["It computes AND and OR, but not XOR."]) == ("XOR",)


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("reLU", "ReLU"),
        ("relu,", "ReLU,"),
        ("pytorch", "PyTorch"),
        ("map", "map"),
        ("Dropout", "Dropout"),
        ("(lstm)", "(LSTM)"),
    ],
)
def test_capitals_are_put_right(written: str, wanted: str) -> None:
    assert Lexicon().spelling_in(written) == wanted


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("we drop out units", "dropout"),
        ("use rel you here", "ReLU"),
        ("the translation equivalence of filters", "translation equivariance"),
        ("a match size of ten", "batch size"),
        ("by back propagation alone", "backpropagation"),
        ("a head and state", "hidden state"),
    ],
)
def test_misheard_terms_are_candidates(text: str, term: str) -> None:
    assert term in {candidate.term for candidate in Lexicon().candidates(text.split())}


def test_terms_that_are_there_already_are_not_replaced() -> None:
    words = "an input gate, an output gate and the CPU or a TPU with a non-linearity".split()
    assert Lexicon().candidates(words) == ()


def test_a_term_does_not_run_across_punctuation() -> None:
    found = Lexicon().candidates("the drop, out of it".split())
    assert not [c for c in found if c.first < 2 < c.last]


def test_the_entry_s_terms_are_expected() -> None:
    lexicon = Lexicon(("inverted dropout", "co-adaptation"))
    assert lexicon.expects("Co-adaptation")
    assert not lexicon.expects("ReLU")


def test_an_article_that_ran_together_with_a_short_form_is_taken_apart() -> None:
    found = Lexicon(("CNN", "LSTM", "ROC")).candidates(["an", "ACNN", "or", "nLSTM", "applies"])
    assert {candidate.term for candidate in found} >= {"a CNN", "an LSTM"}
    assert all(Lexicon(("CNN", "LSTM")).expects(term) for term in ("a CNN", "an LSTM", "the CNN"))


def test_a_short_form_written_apart_is_put_together() -> None:
    found = Lexicon().candidates(["say", "XG", "boost", "or"])
    assert [(c.first, c.last, c.term) for c in found if c.same_letters] == [(1, 3, "XGBoost")]


def test_terms_that_are_said_together_with_the_entrys_are_expected_too() -> None:
    terms = widened(("GAN", "generator", "discriminator", "minimax"))
    assert terms[:2] == ("GAN", "generator")
    assert {"VAE", "autoencoder"} <= set(terms)
    assert widened(()) == ()
