"""Which sentences of an answer say something false: a listed misconception, or what the true statements deny.

Where a probe was trained for the language model (see `coach/probe.py`), it reads each sentence beside what is true.
For other models misconceptions near to a stretch of the answer are found by likeness, those first that it is nearer to
than to anything true in the entry; whether the sentence says one of them is asked of the model, once for the
misconception and once for its correction. What counts is how much more it says yes to the first, so that a model which
leans to yes needs no calibration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from coach.grading import logistic
from coach.grounding import yes_over_no
from coach.knowledge import Misconception
from coach.llm import LLM
from coach.numerals import contrast
from coach.probe import Probe, reference_for
from coach.prompts import YES_NO, same_prompt
from coach.retrieval import Encoder
from coach.stretches import Stretches

if TYPE_CHECKING:
    from coach.retrieval import Vectors

# Logistic regressions on the development half of `benchmarks/errors.py`, 198 answers: with the probe (its odds,
# nearness, beyond the truth, figures, lead of the claim over its correction), and without (lead, nearness, beyond the
# truth). With a sentence's length and the number of sentences the likelihood is higher, but fewer errors are flagged
# where few alarms are.
PROBED_BIAS, PROBED_WEIGHTS = -0.83, (1.43, 0.5, 4.26, 3.0, 1.14)
BIAS, WEIGHTS = -3.56, (1.9, 2.21, 6.68)
MIN_NEARNESS = 0.5  # cosine with a claim from which the model is asked, and from which a sentence is said to say it
MAX_ASKED = 3  # claims that the model is asked about: more caught no further error there
MAX_PER_SENTENCE = 2
MAX_CONFIRMED = 1  # sentences that the model is asked about where a probe has read them: more found nothing more there
ASKED_FROM = 0.1  # what the probe's probability has to be for that: three answers of four have such a sentence
# Probabilities from which a sentence is flagged, by what the probe read and by what the model was asked. On the
# development half of `benchmarks/errors.py`, entries left out in turn, the first flags 60 of 92 errors and 5 of 106
# answers without one, the most that may be; the second alone, in a model without a probe, 30 of 92 and 2 of 75.
FLAGGED = 0.58
FLAGGED_ASKED = 0.35
# How much nearer a sentence may be to something true than to a misconception and still be doubted. In the development
# half 92 % of the sentences that make a point wrongly are this near, and 25 to 31 % of those that make one.
DOUBTFUL = 0.05


@dataclass(frozen=True)
class Misstatement:
    """A sentence of an answer that may say something false: what that is, how probably it does, whether to flag it."""

    sentence: str
    misconception: Misconception
    probability: float
    flagged: bool


@dataclass(frozen=True)
class Candidate:
    """A misconception near to a sentence.

    `nearness` is the cosine of a stretch of the sentence with the claim, `beyond_truth` how much more that is than the
    greatest with anything true. Where no misconception is near, the sentence stands for one that is not `listed`.
    """

    sentence: str
    misconception: Misconception
    nearness: float
    beyond_truth: float
    listed: bool = True

    def features(self, odds: float) -> tuple[float, ...]:
        """What its probability is judged by; `odds` are those of the probe, or of the claim over its correction."""
        return (odds, self.nearness, self.beyond_truth)

    def probed(self, odds: float) -> tuple[float, ...]:
        """The same where a probe has read the sentence: a figure, too, may tell claim and correction apart."""
        figures = contrast(self.sentence, self.misconception.claim, self.misconception.correction) if self.listed else 0
        return (*self.features(odds), figures)


@dataclass(frozen=True)
class Likeness:
    """How near an answer's stretches are to misconceptions and to what is true.

    `claims` are cosines with the claims, `beyond` how much more they are than the greatest with anything true, both of
    shape (stretches, misconceptions); `truth` are cosines with the statements in `true`, (stretches, statements).
    """

    found: Stretches
    misconceptions: tuple[Misconception, ...]
    true: tuple[str, ...]
    claims: Vectors
    beyond: Vectors
    truth: Vectors

    @classmethod
    def of(
        cls, found: Stretches, misconceptions: Sequence[Misconception], true: Sequence[str], encoder: Encoder
    ) -> Likeness:
        """Compare an answer with misconceptions and with what is true; corrections count among the latter."""
        import numpy as np

        statements = tuple(dict.fromkeys((*true, *(m.correction for m in misconceptions))))
        rows = len(found.vectors)
        nothing = np.zeros((rows, 0), dtype=np.float32)
        truth: Vectors = found.vectors @ encoder.encode(statements).T if statements else nothing
        claims: Vectors = (
            found.vectors @ encoder.encode([m.claim for m in misconceptions]).T if misconceptions else nothing
        )
        beyond = claims - (truth.max(axis=1, keepdims=True) if statements else 0.0)
        return cls(found, tuple(misconceptions), statements, claims, beyond, truth)

    @property
    def doubtful(self) -> frozenset[str]:
        """The sentences that may well say something false, by likeness alone: no ground for praise."""
        if not self.misconceptions:
            return frozenset()
        sentences = self.found.sentences  # the first stretches
        rows = zip(sentences, self.beyond, strict=False)
        return frozenset(sentence for sentence, row in rows if float(row.max()) > -DOUBTFUL)

    def candidates(self, most: int = MAX_ASKED, per_sentence: int = MAX_PER_SENTENCE) -> list[Candidate]:
        """The misconceptions nearest to what was said, each with the sentence that it is nearest to."""
        near: list[Candidate] = []
        compared: dict[int, set[int]] = {}  # with each sentence, by place
        for flat in (-(self.claims + self.beyond)).argsort(axis=None):
            place, claim = divmod(int(flat), len(self.misconceptions))
            owner = self.found.owners[place]
            with_owner = compared.setdefault(owner, set())
            if self.claims[place, claim] < MIN_NEARNESS or claim in with_owner or len(with_owner) == per_sentence:
                continue
            with_owner.add(claim)
            distances = float(self.claims[place, claim]), float(self.beyond[place, claim])
            near.append(Candidate(self.found.sentences[owner], self.misconceptions[claim], *distances))
            if len(near) == most:
                break
        return near

    def nearest(self) -> list[Candidate]:
        """For each sentence the misconception it may say; where none is near, the sentence itself against the truth."""
        listed = {one.sentence: one for one in self.candidates(len(self.claims), 1)}
        found = []
        for place, sentence in enumerate(self.found.sentences):
            beyond = -float(self.truth[place].max())
            unlisted = Candidate(sentence, self.denied(sentence), MIN_NEARNESS, beyond, listed=False)
            found.append(listed.get(sentence, unlisted))
        return found

    def denied(self, sentence: str) -> Misconception:
        """A sentence of the answer as a misconception of its own, with what is true and nearest to it."""
        place = self.found.sentences.index(sentence)
        return Misconception(sentence, self.true[int(self.truth[place].argmax())])

    def reference(self) -> list[str]:
        """The true statements that the sentences are judged by."""
        return reference_for(self.truth[: len(self.found.sentences)], self.true)


def misstatements(likeness: Likeness, question: str, llm: LLM, probe: Probe | None) -> tuple[Misstatement, ...]:
    """For each sentence that may be false what it says and how probably it is, in no particular order."""
    if probe is not None and likeness.true:
        return tuple(_judged(one, signs, likeness) for one, signs in probed(likeness, question, llm, probe))
    near = likeness.candidates() if likeness.misconceptions else []
    best: dict[str, Misstatement] = {}
    for one, lead in zip(near, leads(near, llm), strict=True):
        probability = logistic(BIAS, WEIGHTS, one.features(lead))
        if one.sentence not in best or probability > best[one.sentence].probability:
            best[one.sentence] = Misstatement(
                one.sentence, one.misconception, probability, probability >= FLAGGED_ASKED
            )
    return tuple(best.values())


def _judged(one: Candidate, signs: tuple[float, ...], likeness: Likeness) -> Misstatement:
    """A sentence judged by the probe, and by what the model was asked if it was: either can be sure alone.

    A misconception that is less near than something true, and that the model does not take it for, is not what it says.
    """
    probability, lead = logistic(PROBED_BIAS, PROBED_WEIGHTS, signs), signs[-1]
    asked = logistic(BIAS, WEIGHTS, one.features(lead)) if lead else 0.0
    flagged = probability >= FLAGGED or asked >= FLAGGED_ASKED
    says = one.misconception if one.beyond_truth >= 0 or lead > 0 else likeness.denied(one.sentence)
    return Misstatement(one.sentence, says, max(probability, asked), flagged)


def probed(likeness: Likeness, question: str, llm: LLM, probe: Probe) -> list[tuple[Candidate, tuple[float, ...]]]:
    """Each sentence with what it may say, and what its probability is judged by.

    About the likeliest that say a listed misconception the model is asked, as it is without a probe; for the others the
    last feature, the lead, is 0.
    """
    near = likeness.nearest()
    odds = probe.odds(question, likeness.reference(), [one.sentence for one in near])
    signs = [(*one.probed(odd), 0.0) for one, odd in zip(near, odds, strict=True)]
    first = [logistic(PROBED_BIAS, PROBED_WEIGHTS, row) for row in signs]
    listed = [n for n, one in enumerate(near) if one.listed and first[n] >= ASKED_FROM]
    asked = sorted(listed, key=lambda n: -first[n])[:MAX_CONFIRMED]
    for n, lead in zip(asked, leads([near[n] for n in asked], llm), strict=True):
        signs[n] = (*signs[n][:-1], lead)
    return list(zip(near, signs, strict=True))


def leads(near: Sequence[Candidate], llm: LLM) -> list[float]:
    """How much more the model takes each sentence to say the claim than to say its correction, in log-odds."""
    if not near:
        return []
    chats = [same_prompt(one.sentence, one.misconception.claim) for one in near]
    chats += [same_prompt(one.sentence, one.misconception.correction) for one in near]
    odds = [yes_over_no(row) for row in llm.choice_logprobs(chats, YES_NO)]
    return [claim - correction for claim, correction in zip(odds[: len(near)], odds[len(near) :], strict=True)]
