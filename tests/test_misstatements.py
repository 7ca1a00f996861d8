"""Misstatements with the real encoder and a judge that reads words; how many are caught, the benchmark says."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from fake_llm import Doubting, FakeLLM, believing, weights
from numpy.typing import NDArray

from coach.adapters import Adapters
from coach.errors import ModelError
from coach.knowledge import Misconception
from coach.llm import Message
from coach.misstatements import (
    MAX_ASKED,
    MAX_PER_SENTENCE,
    MOST_OF_OTHERS,
    OF_A_TRUE_ONE,
    PLAIN,
    Candidate,
    Likeness,
    Misstatement,
    Readers,
    misstatements,
    of_others,
)
from coach.probe import Probe
from coach.retrieval import Encoder, SentenceEncoder
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


def likeness(
    said: Sequence[str], encoder: Encoder, listed: Sequence[Misconception] = LISTED, true: Sequence[str] = ()
) -> Likeness:
    return Likeness.of(Stretches.of(said, encoder), listed, true, encoder)


def asked(llm: FakeLLM, alike: Likeness) -> tuple[Misstatement, ...]:
    """What is found by asking the model, without anything that reads the sentences."""
    return misstatements(alike, "What is dropout?", llm, Readers())


class Reading(FakeLLM):
    """A model whose only state is 1 at each token of the sentences that hold `word`, and 0 elsewhere."""

    def __init__(self, word: str, judge: Callable[[Sequence[Message]], float] = believing) -> None:
        super().__init__(judge=judge)
        self.word = word

    def hidden_states(
        self,
        messages_list: Sequence[Sequence[Message]],
        layers: Sequence[int],
        beginning: Sequence[Message],
        adapters: Adapters | None = None,
    ) -> list[NDArray[np.float32]]:
        said = [messages[-1].content.split("Candidate:")[1] for messages in messages_list]
        return [np.full((3, 1), self.word in text, dtype=np.float32) for text in said]


def read(llm: Reading, alike: Likeness) -> tuple[Misstatement, ...]:
    """What a probe finds."""
    return misstatements(alike, "What is dropout?", llm, Readers(probe=Probe(llm, weights([12.0], -6.0))))


def test_a_sentence_that_says_a_misconception_is_found_with_it(encoder: SentenceEncoder) -> None:
    found = asked(FakeLLM(judge=verbatim), likeness(SAID, encoder))
    best = max(found, key=lambda one: one.probability)
    assert best.sentence == SAID[1]
    assert best.misconception == ON
    assert best.probability > 0.8
    assert best.flagged


def test_a_model_that_says_yes_to_everything_finds_nothing(encoder: SentenceEncoder) -> None:
    found = asked(FakeLLM(judge=lambda _: 5.0), likeness(SAID, encoder))
    assert found
    assert all(one.probability < 0.3 for one in found)


def test_a_sentence_that_says_the_correction_is_none(encoder: SentenceEncoder) -> None:
    said = ("Dropout is switched off at inference.",)
    found = asked(FakeLLM(judge=verbatim), likeness(said, encoder))
    assert all(one.probability < 0.1 for one in found)


@pytest.mark.parametrize("said", [SAID[2:], ("Bread needs flour, water and salt.",)])
def test_what_is_near_to_no_misconception_is_not_asked_about(encoder: SentenceEncoder, said: tuple[str, ...]) -> None:
    llm = FakeLLM(judge=verbatim)
    assert asked(llm, likeness(said, encoder)) == ()
    assert llm.judged == []


def test_without_misconceptions_nothing_is_asked(encoder: SentenceEncoder) -> None:
    assert asked(FakeLLM(judge=verbatim), likeness(SAID, encoder, ())) == ()


def test_the_model_is_asked_about_few_of_them(encoder: SentenceEncoder) -> None:
    many = tuple(
        Misconception(f"Dropout stays switched on at inference, case {n}.", "It is switched off.") for n in range(30)
    )
    near = likeness(SAID[1:2] * 5, encoder, many).candidates()
    assert len(near) == MAX_ASKED
    assert len(likeness(SAID[1:2], encoder, many).candidates()) == MAX_PER_SENTENCE


def test_a_model_that_fails_is_not_hidden(encoder: SentenceEncoder) -> None:
    def dies(messages: Sequence[Message]) -> float:
        raise ModelError("Out of memory; use --model small.")

    with pytest.raises(ModelError):
        asked(FakeLLM(judge=dies), likeness(SAID, encoder))


def test_what_is_nearer_to_a_misconception_than_to_the_truth_is_doubted(encoder: SentenceEncoder) -> None:
    said = (ON.claim, "It is a regulariser that works against overfitting.")
    true = ("Dropout is a regulariser against overfitting.",)
    assert likeness(said, encoder, LISTED, true).doubtful == {ON.claim}
    assert likeness(said, encoder, (), true).doubtful == frozenset()


def test_what_a_probe_finds_false_comes_with_the_misconception_that_it_says(encoder: SentenceEncoder) -> None:
    found = {one.sentence: one for one in read(Reading("stays", verbatim), likeness(SAID, encoder))}
    assert set(found) == set(SAID)
    assert found[SAID[1]].misconception == ON
    assert found[SAID[1]].probability > 0.7 > max(found[SAID[0]].probability, found[SAID[2]].probability)


def test_a_misconception_that_is_merely_near_is_not_put_into_the_candidates_mouth(encoder: SentenceEncoder) -> None:
    alike = likeness(SAID, encoder)
    assert 0 <= next(one for one in alike.nearest() if one.sentence == SAID[1]).beyond_truth < PLAIN
    found = {one.sentence: one for one in read(Reading("stays"), alike)}  # to the model claim and correction are alike
    assert found[SAID[1]].misconception == Misconception(SAID[1], ON.correction)


def test_a_stumble_at_talk_without_punctuation_counts_for_less(encoder: SentenceEncoder) -> None:
    said = "and the network stays an ensemble of thinned ones at test time you switch it off and nothing is scaled"
    true = (ON.correction,)
    [talk], [typed] = (read(Reading("stays"), likeness((text,), encoder, (), true)) for text in (said, said + "."))
    assert talk.probability < typed.probability


def test_the_model_can_be_sure_where_nothing_else_is(encoder: SentenceEncoder) -> None:
    llm = Reading("stays", verbatim)
    unsure = Readers(probe=Probe(llm, weights([0.0])))
    found = misstatements(likeness(SAID, encoder), "What is dropout?", llm, unsure)
    assert [one.misconception for one in found if one.flagged] == [ON]


def test_the_model_is_asked_about_a_listed_error_that_was_read_as_true(encoder: SentenceEncoder) -> None:
    llm = Reading("regulariser", verbatim)
    calm = Readers(probe=Probe(llm, weights([20.0], -12.0)))  # takes all but the first sentence for true
    found = misstatements(likeness((SAID[0], BATCH.claim, SAID[2]), encoder), "What is dropout?", llm, calm)
    assert [one.sentence for one in found if one.flagged] == [SAID[0], BATCH.claim]
    assert BATCH in [one.misconception for one in found if one.flagged]


def test_a_piece_is_read_alone_and_within_the_sentence_it_was_cut_out_of(encoder: SentenceEncoder) -> None:
    pieces, whole = (SAID[0], SAID[1]), f"{SAID[0]} {SAID[1]}"
    alike = Likeness.of(Stretches.of((*pieces, SAID[2]), encoder, (whole, whole, SAID[2])), LISTED, (), encoder)
    odds = Readers(probe=Probe(Reading("stays"), weights([12.0], -6.0))).odds(alike, "What is dropout?")
    assert odds == pytest.approx([0.0, 6.0, -6.0], abs=1e-5)


def test_what_the_others_say_is_bounded_and_a_sentence_alone_is_beside_a_true_one() -> None:
    assert of_others([5.0]) == [OF_A_TRUE_ONE]
    calm, false = of_others([-9.0, 3.0, -6.0]), of_others([4.0, 3.0, 5.0], on_topic=False)
    assert calm == pytest.approx(
        [(MOST_OF_OTHERS - 6 + OF_A_TRUE_ONE) / 3, (-15 + OF_A_TRUE_ONE) / 3, (-9 + MOST_OF_OTHERS + OF_A_TRUE_ONE) / 3]
    )
    assert false == pytest.approx([(2 * MOST_OF_OTHERS + OF_A_TRUE_ONE) / 3] * 3)


def test_an_answer_on_its_topic_that_reads_false_as_a_whole_excuses_nothing() -> None:
    assert of_others([4.0, 3.0, 5.0]) == [OF_A_TRUE_ONE] * 3
    assert of_others([4.0, -9.0, 3.0])[1] == pytest.approx((2 * MOST_OF_OTHERS + OF_A_TRUE_ONE) / 3)


def test_a_model_without_a_probe_is_helped_by_the_cross_encoder(encoder: SentenceEncoder) -> None:
    found = misstatements(likeness(SAID, encoder), "What is dropout?", FakeLLM(), Readers(Doubting("regulariser")))
    assert {one.sentence for one in found} == set(SAID)
    assert [one.sentence for one in found if one.flagged] == [SAID[0]]


def test_a_sentence_is_read_beside_what_is_nearest_to_it(encoder: SentenceEncoder) -> None:
    cross = Doubting("nothing")
    alike = likeness(SAID, encoder, LISTED, ("A batch has many examples.", "Dropout regularises."))
    misstatements(alike, "What is dropout?", FakeLLM(), Readers(cross))
    assert [one.sentence for one in cross.compared] == list(SAID)
    assert cross.compared[1].claim == ON.claim
    assert cross.compared[1].true[0] == ON.correction
    assert cross.compared[0].true[0] == "Dropout regularises."


def test_a_false_sentence_that_nobody_listed_stands_against_what_is_true(encoder: SentenceEncoder) -> None:
    said, true = ("Bread is baked in a freezer.",), ("Bread is baked in an oven.", "Dropout drops units at random.")
    [found] = read(Reading("freezer"), likeness(said, encoder, LISTED, true))
    assert found.misconception == Misconception(said[0], true[0])
    assert found.probability > 0.5


def test_a_misconception_less_near_than_the_truth_is_not_what_a_false_sentence_says(encoder: SentenceEncoder) -> None:
    said = ("Dropout is applied at inference to make the forward pass cheaper.",)
    true = ("Dropout at inference would not make the forward pass cheaper.",)
    [found] = read(Reading("cheaper"), likeness(said, encoder, LISTED, true))
    assert found.flagged
    assert found.misconception == Misconception(said[0], true[0])


def test_without_anything_true_there_is_nothing_to_judge_by(encoder: SentenceEncoder) -> None:
    assert read(Reading("stays"), likeness(SAID, encoder, (), ())) == ()


SIZE = Misconception("A 28 by 28 input becomes 21 by 21.", "A 28 by 28 input becomes 22 by 22.")


def test_a_figure_of_the_correction_clears_a_sentence_and_one_of_the_claim_convicts_it() -> None:
    def sign(said: str, listed: bool = True) -> float:
        return Candidate(said, SIZE, 0.8, 0.0, listed).figures

    assert sign("That gives twenty-two by twenty-two.") < 0 < sign("That gives 21 by 21.")
    assert sign("That gives 21 by 21.", listed=False) == sign("That gives less.") == 0
