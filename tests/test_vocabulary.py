"""Texts as terms; names of entries; slips of the finger."""

from __future__ import annotations

import time

import pytest

from coach.retrieval import Index
from coach.vocabulary import Vocabulary, at_inference, terms


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("and what about a GAN?", ("gan",)),
        ("what about batch norm?", ("batch-normalisation",)),
        ("what about GPUs?", ("gpu",)),
        ("ok, and CPUs and GPUs?", ("gpu",)),
        ("and transformers?", ("transformer",)),
        ("let's move on to hyperparameters", ("hyperparameters",)),
        ("back to fine-tuning: which layers do I freeze?", ("fine-tuning",)),
        ("next topic please: layers", ("layers",)),
        ("which of its layers is the last one?", ()),
        ("and why does that help?", ()),
        ("", ()),
    ],
)
def test_an_entry_is_named_by_its_title(index: Index, text: str, named: tuple[str, ...]) -> None:
    assert index.named(text) == named


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("and transformers?", "transformer"),
        ("GANs", "gan"),
        ("gan charger", ""),
        ("what is the use of a GAN", ""),
        ("", ""),
    ],
)
def test_a_text_that_only_names_an_entry(index: Index, text: str, key: str) -> None:
    assert index.only_named(text) == key


def test_dropout_is_named_in_a_sentence(index: Index) -> None:
    assert "dropout" in index.named("Dropout, then?")


def test_misspelt_words_of_the_field_are_mended(index: Index) -> None:
    vocabulary = Vocabulary(index.entries, index.passages)
    assert vocabulary.mended("the acuracy of the kernal") == "the accuracy of the kernel"
    assert vocabulary.mended("banana bread") == "banana bread"


def test_junk_without_end_is_mended_in_a_moment(index: Index) -> None:
    vocabulary = Vocabulary(index.entries, index.passages)
    began = time.process_time()
    vocabulary.mended(" ".join(f"normalisat{chr(97 + n % 26)}{chr(97 + n // 26 % 26)}x" for n in range(5000)))
    assert time.process_time() - began < 2


def test_terms_fold_case_plurals_and_spelling() -> None:
    assert terms("Normalizing the LAYERS") == terms("normalising layer")
    assert terms("the of and is") == []
    assert terms("") == []
    assert terms("batchnorm") == terms("batch normalisation")
    assert terms("categories and classes") == ["category", "classe"]
    assert terms("the loss, an analysis") == ["loss", "analysis"]
    assert terms("GPUs and CPUs") == ["gpu", "cpu"]


@pytest.mark.parametrize("text", ["at test time", "at prediction time", "at evaluation time", "in eval mode"])
def test_the_time_when_a_model_is_used_has_one_name(text: str) -> None:
    assert at_inference(f"What happens {text}?") == f"What happens {text.split()[0]} inference?"


def test_time_of_another_kind_keeps_its_name() -> None:
    assert at_inference("training time and a test set") == "training time and a test set"


def test_terms_that_one_entry_holds_and_another_does_not(index: Index) -> None:
    vocabulary = Vocabulary(index.entries, index.passages)
    assert vocabulary.new_terms("What are logits?", "regularisation", "activation-functions") == {"logit"}
    assert vocabulary.new_terms("What is saturation?", "activation-functions", "gan") == frozenset()  # "saturate"
    assert vocabulary.new_terms("What is a layer?", "gpu", "layers") == frozenset()  # too common to tell


def test_an_entry_speaks_of_a_text_whose_terms_it_holds(index: Index) -> None:
    vocabulary = Vocabulary(index.entries, index.passages)
    assert vocabulary.speaks_of("text-generation", "what is temperature?")
    assert not vocabulary.speaks_of("text-generation", "what is the temperature in Oslo?")
    assert not vocabulary.speaks_of("bias-variance", "and what is k-means?")
    assert not vocabulary.speaks_of("gan", "why?")
