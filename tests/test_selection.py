"""Which sentences are quoted: word for word, none twice, and those that the question is about."""

from __future__ import annotations

from pathlib import Path

import pytest

from coach.knowledge import Entry, FollowUp
from coach.retrieval import Index, SentenceEncoder, passages_of
from coach.selection import (
    COMPARED_SENTENCES,
    CORE_SENTENCES,
    NARROW_SENTENCES,
    is_general,
    quotations,
    related,
    suggestions,
)
from coach.sentences import split_sentences
from coach.vocabulary import terms


def quoted(index: Index, question: str, *ids: str) -> tuple[str, ...]:
    entries = [index.entry(key) for key in ids]
    return tuple(s for q in quotations(question, question, entries, index) for s in q.sentences)


QUESTIONS = [
    ("what is dropout?", "dropout"),
    ("does dropout run at inference", "dropout"),
    ("why do the discriminator and the generator compete", "gan"),
    ("what does the forget gate do", "lstm"),
    ("", "dropout"),
    ("🎉", "gpu"),
    ("dropout " * 500, "dropout"),
]


@pytest.mark.parametrize(("question", "key"), QUESTIONS)
def test_quotations_stand_word_for_word_in_the_entry_and_none_twice(index: Index, question: str, key: str) -> None:
    stated = {
        p.text for p in passages_of(index.entry(key)) if p.kind not in ("claim", "question", "alias", "follow_up")
    }
    sentences = quoted(index, question, key)
    assert sentences
    assert is_general(question, index.entry(key)) or len(sentences) <= NARROW_SENTENCES + CORE_SENTENCES
    assert set(sentences) <= stated
    assert len(set(sentences)) == len(sentences)


def test_a_statement_gives_way_to_one_that_goes_on_from_it(index: Index) -> None:
    entry = index.entry("batch-normalisation")
    for query in ("why do we need batch norm? and at test time?", "batch normalisation and at test time?"):
        sentences = [s for q in quotations("and at test time?", query, [entry], index) for s in q.sentences]
        for one in sentences:
            assert not [other for other in sentences if other != one and other.startswith(one.rstrip("."))]


def test_no_false_claim_is_ever_quoted_even_when_asked_for_in_its_own_words(index: Index) -> None:
    for entry in index.entries[::5]:
        claims = {wrong.claim for wrong in entry.misconceptions}
        for claim in claims:
            assert not claims & set(quoted(index, claim, entry.id))


def test_a_general_question_gets_the_answer_in_its_own_order(index: Index) -> None:
    for entry in index.entries[::3]:
        sentences = split_sentences(entry.answer)
        got = quoted(index, f"what is {entry.title}?", entry.id)
        if not is_general(f"what is {entry.title}?", entry):
            continue
        assert got[0] == sentences[0]
        places = [sentences.index(s) for s in got if s in sentences]
        assert places == sorted(places)
        assert len(got) <= len(sentences) + len(entry.key_points)


def test_a_general_question_is_told_from_a_narrow_one(index: Index) -> None:
    dropout = index.entry("dropout")
    assert is_general("what is dropout?", dropout)
    assert is_general("explain dropout please", dropout)
    assert not is_general("does dropout slow down convergence", dropout)


def test_who_wants_one_sentence_gets_one_and_two_where_it_is_not_sure_which(index: Index) -> None:
    entry = index.entry("gan")
    for question in ("What is a GAN, in one sentence?", "tl;dr: what is a gan"):
        (found,) = quotations(question, question, [entry], index)
        assert found.sentences == quotations("What is a GAN?", "What is a GAN?", [entry], index)[0].sentences[:1]
    question = "why do they collapse, in one sentence"
    assert len(quotations(question, question, [entry], index)[0].sentences) == 2


def test_a_narrow_question_gets_the_sentence_that_answers_it(index: Index) -> None:
    for entry in index.entries[::6]:
        for point in entry.key_points[:2]:
            about = quotations(point.text, point.text, [entry], index)[0]
            if is_general(point.text, entry):
                continue
            vectors = index.encoder.encode([point.text, *about.sentences])
            assert float((vectors[1:] @ vectors[0]).max()) > 0.8, point.text


def test_a_follow_up_asked_gets_what_is_expected_of_it(index: Index) -> None:
    missed = []
    for entry in index.entries[::4]:
        for follow_up in entry.follow_ups:
            if not is_general(follow_up.question, entry) and not set(follow_up.expects) & set(
                quoted(index, follow_up.question, entry.id)
            ):
                missed.append(follow_up.question)
    assert missed == []


def test_two_entries_are_quoted_one_after_the_other(index: Index) -> None:
    entries = [index.entry("dropout"), index.entry("batch-normalisation")]
    found = quotations("how do they differ", "how do they differ", entries, index)
    assert [q.entry.id for q in found] == ["dropout", "batch-normalisation"]
    assert all(1 <= len(q.sentences) <= COMPARED_SENTENCES + CORE_SENTENCES for q in found)


def test_what_is_related_was_not_said_yet_and_says_nothing_twice(index: Index) -> None:
    entries = [index.entry("dropout"), index.entry("gan")]
    said = quoted(index, "what is dropout?", "dropout")
    found = related("what is dropout?", entries, said, index)
    stated = {p.text for entry in entries for p in passages_of(entry) if p.kind not in ("claim", "question", "alias")}
    assert len(found) == 5
    assert set(found) <= stated
    assert not set(found) & set(said)
    vectors = index.encoder.encode([*found, *said])
    likeness = vectors[: len(found)] @ vectors.T
    assert [row.argmax() for row in likeness] == list(range(len(found)))
    assert sorted(likeness.ravel())[-len(found) - 1] < 0.9


def test_nothing_is_related_when_all_was_said(index: Index) -> None:
    entry = index.entry("dropout")
    everything = [p.text for p in passages_of(entry)]
    assert related("what is dropout?", [entry], everything, index) == ()
    assert len(related("what is dropout?", [entry], [], index, count=2)) == 2


def test_suggestions_are_the_entrys_follow_ups(index: Index) -> None:
    for entry in index.entries:
        offers = suggestions(entry, [entry.question], index)
        assert set(offers) <= {f.question for f in entry.follow_ups}
        assert len(offers) <= 3


def test_what_was_asked_is_not_suggested_again(index: Index) -> None:
    entry = index.entry("dropout")
    asked: list[str] = []
    for _ in range(len(entry.follow_ups) + 1):
        offers = suggestions(entry, asked, index)
        assert not set(offers) & set(asked)
        asked += offers[:1]
    assert suggestions(entry, [f.question for f in entry.follow_ups], index) == ()


def test_fewer_suggestions_when_fewer_are_wanted(index: Index) -> None:
    assert len(suggestions(index.entry("gan"), [], index, count=1)) == 1


def test_an_entry_without_follow_ups_suggests_nothing(index: Index) -> None:
    assert suggestions(Entry("x", "What?", "That."), ["what is x"], index) == ()


def test_an_own_entry_of_one_sentence_is_quoted(cache: Path, encoder: SentenceEncoder) -> None:
    own = Entry("x", "What is a frobnicator?", "A frobnicator turns knobs.", follow_ups=(FollowUp("Why?", "", ()),))
    index = Index.build([own], encoder, cache)
    assert quoted(index, "what does a frobnicator turn", "x") == ("A frobnicator turns knobs.",)
    assert suggestions(own, ["what is it"], index) == ("Why?",)


@pytest.mark.parametrize(
    ("question", "key", "word"),
    [
        ("and at test time?", "batch-normalisation", "inference"),
        ("what about eval mode?", "dropout", "inference"),
        ("what does top-p sampling do?", "text-generation", "top-p"),
        ("what is the kv cache", "text-generation", "KV cache"),
        ("difference between L1 and L2", "regularisation", "L1"),
    ],
)
def test_what_is_asked_for_comes_first_and_the_core_after_it(index: Index, question: str, key: str, word: str) -> None:
    entry = index.entry(key)
    (found,) = quotations(question, f"{entry.title}: {question}", [entry], index)
    assert word in found.answering[0]
    assert len(found.answering) <= NARROW_SENTENCES
    assert found.sentences == found.answering + found.core
    assert set(found.core) <= {point.text for point in entry.key_points}


def test_no_statement_is_quoted_beside_one_that_holds_all_its_words(index: Index) -> None:
    for entry in index.entries:
        for question in entry.aliases[:6]:
            (found,) = quotations(question, question, [entry], index)
            if is_general(question, entry):
                continue
            words = [set(terms(sentence)) for sentence in found.sentences]
            for n, own in enumerate(words):
                assert not any(own <= other for m, other in enumerate(words) if m != n)


@pytest.mark.parametrize(
    ("question", "key", "begins"),
    [
        ("what is a logit?", "activation-functions", "A logit is the score"),
        ("and what's early stopping?", "regularisation", "Early stopping ends training"),
        ("define perplexity", "evaluating-models", "Perplexity is the exponential"),
    ],
)
def test_a_term_asked_for_is_defined_first(index: Index, question: str, key: str, begins: str) -> None:
    assert quoted(index, question, key)[0].startswith(begins)
