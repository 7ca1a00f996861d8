"""Which sentences of an answer say something false: a listed misconception rather than what is true.

Misconceptions near to a stretch of the answer are found by likeness, those first that it is nearer to than to anything
true in the entry. Whether the sentence says one of them is asked of the language model, once for the misconception and
once for its correction. What counts is how much more it says yes to the first, so that a model which leans to yes needs
no calibration.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from coach.grounding import yes_over_no
from coach.knowledge import Misconception
from coach.llm import LLM
from coach.prompts import YES_NO, same_prompt
from coach.retrieval import Encoder
from coach.stretches import Stretches

# `benchmarks/grading.py --errors --fit`, development half.
BIAS, WEIGHTS = -3.56, (1.9, 2.21, 6.68)  # of `Candidate.features`
MIN_NEARNESS = 0.5  # cosine with a claim from which the model is asked
MAX_ASKED = 3  # claims that the model is asked about: more caught no further error there
MAX_PER_SENTENCE = 2


@dataclass(frozen=True)
class Misstatement:
    """A sentence of an answer that may say a misconception, and how probably it does."""

    sentence: str
    misconception: Misconception
    probability: float


@dataclass(frozen=True)
class Candidate:
    """A misconception near to a sentence.

    `nearness` is the cosine of a stretch of the sentence with the claim, `beyond_truth` how much more that is than the
    greatest with anything true.
    """

    sentence: str
    misconception: Misconception
    nearness: float
    beyond_truth: float

    def features(self, lead: float) -> tuple[float, ...]:
        """What its probability is judged by; `lead` is that of the claim over its correction, in log-odds."""
        return (lead, self.nearness, self.beyond_truth)


def misstatements(
    found: Stretches,
    misconceptions: Sequence[Misconception],
    true: Sequence[str],
    llm: LLM,
    encoder: Encoder,
) -> tuple[Misstatement, ...]:
    """For each sentence near a misconception the likeliest one, in no particular order; `true` is what is so."""
    near = candidates(found, misconceptions, true, encoder)
    best: dict[str, Misstatement] = {}
    for one, lead in zip(near, leads(near, llm), strict=True):
        probability = _probability(one.features(lead))
        if one.sentence not in best or probability > best[one.sentence].probability:
            best[one.sentence] = Misstatement(one.sentence, one.misconception, probability)
    return tuple(best.values())


def candidates(
    found: Stretches,
    misconceptions: Sequence[Misconception],
    true: Sequence[str],
    encoder: Encoder,
) -> list[Candidate]:
    """The misconceptions nearest to what was said, each with the sentence that it is nearest to."""
    if not misconceptions:
        return []
    claims = found.vectors @ encoder.encode([m.claim for m in misconceptions]).T
    truth = (found.vectors @ encoder.encode([*true, *(m.correction for m in misconceptions)]).T).max(axis=1)
    beyond = claims - truth[:, None]
    near: list[Candidate] = []
    compared: dict[int, set[int]] = {}  # with each sentence, by place
    for flat in (-(claims + beyond)).argsort(axis=None):
        place, claim = divmod(int(flat), len(misconceptions))
        owner = found.owners[place]
        with_owner = compared.setdefault(owner, set())
        if claims[place, claim] < MIN_NEARNESS or claim in with_owner or len(with_owner) == MAX_PER_SENTENCE:
            continue
        with_owner.add(claim)
        distances = float(claims[place, claim]), float(beyond[place, claim])
        near.append(Candidate(found.sentences[owner], misconceptions[claim], *distances))
        if len(near) == MAX_ASKED:
            break
    return near


def leads(near: Sequence[Candidate], llm: LLM) -> list[float]:
    """How much more the model takes each sentence to say the claim than to say its correction, in log-odds."""
    if not near:
        return []
    chats = [same_prompt(one.sentence, one.misconception.claim) for one in near]
    chats += [same_prompt(one.sentence, one.misconception.correction) for one in near]
    odds = [yes_over_no(row) for row in llm.choice_logprobs(chats, YES_NO)]
    return [claim - correction for claim, correction in zip(odds[: len(near)], odds[len(near) :], strict=True)]


def _probability(features: Sequence[float]) -> float:
    return 1.0 / (1.0 + math.exp(-(BIAS + sum(w * f for w, f in zip(WEIGHTS, features, strict=True)))))
