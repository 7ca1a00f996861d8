"""Which sentences of an answer say something false: a listed misconception rather than what is true.

Misconceptions near to a stretch of the answer are found by likeness, those first that it is nearer to than to anything
true in the entry. Whether the sentence says one of them is asked of the language model, once for the misconception and
once for its correction. What counts is how much more it says yes to the first, so that a model which leans to yes needs
no calibration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from coach.grading import logistic
from coach.grounding import yes_over_no
from coach.knowledge import Misconception
from coach.llm import LLM
from coach.prompts import YES_NO, same_prompt
from coach.retrieval import Encoder
from coach.stretches import Stretches

if TYPE_CHECKING:
    from coach.retrieval import Vectors

# Logistic regression on the development half of `benchmarks/grading.py --errors`, fitted once by hand while candidates
# were still chosen by their lead over the correction, six for an answer; `--errors --fit` fits them to those of now.
BIAS, WEIGHTS = -3.56, (1.9, 2.21, 6.68)  # of `Candidate.features`
MIN_NEARNESS = 0.5  # cosine with a claim from which the model is asked
MAX_ASKED = 3  # claims that the model is asked about: more caught no further error there
MAX_PER_SENTENCE = 2
# How much nearer a sentence may be to something true than to a misconception and still be doubted. In the development
# half 92 % of the sentences that make a point wrongly are this near, and 25 to 31 % of those that make one.
DOUBTFUL = 0.05


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
        probability = logistic(BIAS, WEIGHTS, one.features(lead))
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
    claims, beyond = _against_truth(found, misconceptions, true, encoder)
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


def doubtful(
    found: Stretches, misconceptions: Sequence[Misconception], true: Sequence[str], encoder: Encoder
) -> frozenset[str]:
    """The sentences that may well say something false, by likeness alone: no ground for praise."""
    if not misconceptions:
        return frozenset()
    _, beyond = _against_truth(found, misconceptions, true, encoder)
    # The first stretches are the whole sentences.
    return frozenset(s for s, row in zip(found.sentences, beyond, strict=False) if float(row.max()) > -DOUBTFUL)


def _against_truth(
    found: Stretches, misconceptions: Sequence[Misconception], true: Sequence[str], encoder: Encoder
) -> tuple[Vectors, Vectors]:
    """Cosines with the claims, and how much more they are than the greatest with anything true: (stretches, claims)."""
    claims = found.vectors @ encoder.encode([m.claim for m in misconceptions]).T
    truth = (found.vectors @ encoder.encode([*true, *(m.correction for m in misconceptions)]).T).max(axis=1)
    return claims, claims - truth[:, None]


def leads(near: Sequence[Candidate], llm: LLM) -> list[float]:
    """How much more the model takes each sentence to say the claim than to say its correction, in log-odds."""
    if not near:
        return []
    chats = [same_prompt(one.sentence, one.misconception.claim) for one in near]
    chats += [same_prompt(one.sentence, one.misconception.correction) for one in near]
    odds = [yes_over_no(row) for row in llm.choice_logprobs(chats, YES_NO)]
    return [claim - correction for claim, correction in zip(odds[: len(near)], odds[len(near) :], strict=True)]
