"""Which sentences of an answer say something false: a listed misconception, or what the true statements deny.

Where a probe was trained for the language model (`coach/probe.py`), it reads each sentence beside what is true; for
other models a cross-encoder does (`coach/cross_encoder.py`). Misconceptions near to a stretch of the answer are found
by likeness; whether the likeliest sentence says its own is asked of the model, once for the misconception and once for
its correction. What counts is how much more it says yes to the first, so that a model which leans to yes needs no
calibration. Where there is nothing to read with, this has to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from coach.cross_encoder import NEAREST, Beside, Contradictions, CrossEncoder
from coach.grading import logistic
from coach.grounding import yes_over_no
from coach.knowledge import Misconception
from coach.llm import LLM
from coach.numerals import contrast
from coach.probe import Probe, reference_for
from coach.prompts import YES_NO, same_prompt
from coach.retrieval import Encoder
from coach.sentences import runs_on
from coach.stretches import Stretches

if TYPE_CHECKING:
    from coach.retrieval import Vectors

# Logistic regressions on the development halves of `benchmarks/errors.py` and `grading.py`, 528 answers: on the row of
# `Signs` with the odds of the probe, with those of the cross-encoder (198 answers), and on lead, nearness and beyond
# the truth alone. With both odds there were more alarms in the held-back half than with the probe's alone; with a
# sentence's length and the number of sentences fewer errors are flagged where few alarms are.
PROBED_BIAS, PROBED_WEIGHTS = -7.0, (1.69, 4.47, 1.49, 2.09, 0.8, -0.37)
READ_BIAS, READ_WEIGHTS = -2.77, (0.94, 1.62, 5.26, 4.05, 0.99, 0.0)
BIAS, WEIGHTS = -3.56, (1.9, 2.21, 6.68)
# A candidate's manner of speaking moves the odds of all sentences alike. Of the answer's other sentences each says at
# most as much as here, so that an answer full of errors excuses none of them; one true sentence is always among them.
# Of 348 answers this flagged 141 of 182 errors where 8 of 166 answers without one are, instead of 136. In one of them
# the mean of all is above 0, and it has an error; of an answer turned round, which got 5 points of 10 before this was
# looked at, it is 0.5. Off the topic it is so in true answers too.
MOST_OF_OTHERS, OF_A_TRUE_ONE = -2.0, -4.8
# What is taken off the log-odds of talk without punctuation, which a probe stumbles at wherever it was cut. Of 42 such
# development answers 5 of 18 without an error were flagged, and 9 of 24 with one; with this 0 and 6.
RUN_ON = 1.6
MIN_NEARNESS = 0.5  # cosine with a claim from which the model is asked, and from which a sentence is said to say it
MAX_ASKED = 3  # claims that the model is asked about: more caught no further error there
MAX_PER_SENTENCE = 2
MAX_CONFIRMED = 1  # sentences that the model is asked about where they were read: a second finds one error more of 92
ASKED_FROM = 0.1  # what the probability has to be for that: three answers of four have such a sentence
# Probabilities from which a sentence is flagged: with the probe, with the cross-encoder, and by likeness and the model
# alone. On those 528 answers, entries left out in turn, the first flags 206 of 242 errors and 14 of 286 answers without
# one; of 198 answers the second 39 of 92 and 3 of 106, the third 30 and (of 75 answers) 2.
FLAGGED = 0.56
FLAGGED_READ = 0.7
FLAGGED_ASKED = 0.35
CONFIRMED = 0.5  # the same as the third where something read the sentence
# How much nearer to a misconception than to anything true a sentence is when the model is asked about it whatever was
# read: of the errors there a reader takes three of a hundred for true that stand almost word for word in the list.
PLAIN = 0.08
# How much more the model has to take it for the claim than for the correction for the claim to be told as what was
# said, where it is less plain than that: of 160 false development sentences that are nearer to a misconception than to
# anything true some 100 say it, and 59 of the 70 that are told so (read by one who knew the rule).
SAYS_IT = 0.5
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

    @property
    def figures(self) -> float:
        """Whether the figures of the sentence are those of the claim (1), of its correction (−1), or tell nothing."""
        return contrast(self.sentence, self.misconception.claim, self.misconception.correction) if self.listed else 0.0


@dataclass(frozen=True)
class Signs:
    """What a sentence's probability of being false is judged by.

    `odds` are the log-odds of what reads it, the probe if `by_probe`, and `others` those of the answer's other
    sentences (`of_others`). `lead` is how much more the model takes it for the claim than for its correction (0 if it
    was not asked), `plain_lead` the same of one that was asked about for its likeness alone: that it says a claim in so
    many words counts, that it does not tells nothing. The rest are those of a `Candidate`. `unmarked`: it is talk
    without punctuation.
    """

    odds: float
    nearness: float
    beyond_truth: float
    figures: float
    lead: float
    others: float
    by_probe: bool
    unmarked: bool = False
    plain_lead: float = 0.0

    @property
    def row(self) -> tuple[float, ...]:
        """As features of a logistic regression."""
        return (self.odds, self.nearness, self.beyond_truth, self.figures, self.lead, self.others)

    @property
    def probability(self) -> float:
        """How probably the sentence is false."""
        bias, weights = (PROBED_BIAS, PROBED_WEIGHTS) if self.by_probe else (READ_BIAS, READ_WEIGHTS)
        return logistic(bias - RUN_ON * self.unmarked, weights, self.row)

    @property
    def flagged(self) -> bool:
        """Whether that is enough to flag it."""
        return self.probability >= (FLAGGED if self.by_probe else FLAGGED_READ)


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

    def beside(self) -> list[Beside]:
        """Each sentence with what a cross-encoder reads it beside."""
        found = []
        for place, sentence in enumerate(self.found.sentences):
            true = tuple(self.true[int(n)] for n in (-self.truth[place]).argsort()[:NEAREST])
            own = [row for row, owner in enumerate(self.found.owners) if owner == place]
            nearest = self.misconceptions[int(self.claims[own].max(axis=0).argmax())] if self.misconceptions else None
            found.append(Beside(sentence, true, nearest.claim if nearest else ""))
        return found

    def reference(self) -> list[str]:
        """The true statements that a probe judges the sentences by."""
        return reference_for(self.truth[: len(self.found.sentences)], self.true)


@dataclass(frozen=True)
class Readers:
    """What reads an answer's sentences beside what is true: the probe where there is one, else the cross-encoder."""

    cross: Contradictions | None = None
    probe: Probe | None = None

    @classmethod
    def of(cls, llm: LLM) -> Readers:
        """The probe that was trained for a language model, or else the cross-encoder where it is installed."""
        probe = Probe.of(llm)
        return cls(None if probe else CrossEncoder.load(), probe)

    def odds(self, likeness: Likeness, question: str) -> list[float] | None:
        """For each sentence how much likelier it is false than true, in log-odds; None with nothing to read by.

        Where it was cut out of a longer one, alone and within that have half the say each: a long sentence reads false
        though it is true, and a piece of it true though it is false. Of 31 errors in development answers with such
        sentences 28 are flagged like this, 25 by the pieces alone and 27 by the whole ones.
        """
        if self.probe is not None and likeness.true:
            found = likeness.found
            texts = list(dict.fromkeys((*found.sentences, *found.wholes)))
            odds = dict(zip(texts, self.probe.odds(question, likeness.reference(), texts), strict=True))
            return [(odds[said] + odds[whole]) / 2 for said, whole in zip(found.sentences, found.wholes, strict=True)]
        if self.cross is not None and likeness.true:
            return self.cross.odds(question, likeness.beside())
        return None


def misstatements(
    likeness: Likeness, question: str, llm: LLM, readers: Readers, on_topic: bool = True
) -> tuple[Misstatement, ...]:
    """For each sentence that may be false what it says and how probably it is, in no particular order.

    `on_topic`: the answer speaks of what it was asked, so that what is true can say something about it.
    """
    signs = read(likeness, question, llm, readers, on_topic)
    if signs is not None:
        return tuple(_judged(one, row, likeness) for one, row in signs)
    near = likeness.candidates() if likeness.misconceptions else []
    best: dict[str, Misstatement] = {}
    for one, lead in zip(near, leads(near, llm), strict=True):
        probability = _asked(one, lead)
        if one.sentence not in best or probability > best[one.sentence].probability:
            best[one.sentence] = Misstatement(
                one.sentence, one.misconception, probability, probability >= FLAGGED_ASKED
            )
    return tuple(best.values())


def _judged(one: Candidate, signs: Signs, likeness: Likeness) -> Misstatement:
    """A sentence judged by what was read, and by what the model was asked if it was: either can be sure alone.

    A misconception that is hardly nearer than something true, and that the model does not take it for, is not what it
    says.
    """
    probability = signs.probability
    lead = signs.lead or signs.plain_lead
    asked = _asked(one, lead) if lead else 0.0
    flagged = signs.flagged or asked >= CONFIRMED
    says = one.misconception if one.beyond_truth >= PLAIN or lead >= SAYS_IT else likeness.denied(one.sentence)
    return Misstatement(one.sentence, says, max(probability, asked), flagged)


def _asked(one: Candidate, lead: float) -> float:
    """The probability of a misstatement by likeness and by what the model was asked."""
    return logistic(BIAS, WEIGHTS, (lead, one.nearness, one.beyond_truth))


def read(
    likeness: Likeness, question: str, llm: LLM, readers: Readers, on_topic: bool = True
) -> list[tuple[Candidate, Signs]] | None:
    """Each sentence with what it may say, and what its probability is judged by; None with nothing to read by.

    About the likeliest one that says a listed misconception the model is asked, as it is without readers, and about the
    one that is most like a listed misconception: a reader can take an everyday error for true.
    """
    odds = readers.odds(likeness, question)
    if odds is None:
        return None
    near = likeness.nearest()
    by_probe = readers.probe is not None
    signs = [
        Signs(odd, one.nearness, one.beyond_truth, one.figures, 0.0, others, by_probe, runs_on(one.sentence))
        for one, odd, others in zip(near, odds, of_others(odds, on_topic), strict=True)
    ]
    listed = [n for n, one in enumerate(near) if one.listed]
    likely = [n for n in listed if signs[n].probability >= ASKED_FROM]
    likely = sorted(likely, key=lambda n: -signs[n].probability)[:MAX_CONFIRMED]
    plain = [n for n in listed if n not in likely and near[n].beyond_truth >= PLAIN]
    plain = sorted(plain, key=lambda n: -near[n].nearness - near[n].beyond_truth)[:MAX_CONFIRMED]
    asked = likely + plain
    for n, lead in zip(asked, leads([near[n] for n in asked], llm), strict=True):
        signs[n] = replace(signs[n], lead=lead) if n in likely else replace(signs[n], plain_lead=lead)
    return list(zip(near, signs, strict=True))


def of_others(odds: Sequence[float], on_topic: bool = True) -> list[float]:
    """For each sentence the mean log-odds of the others, as far as they tell how the candidate speaks.

    An answer on its topic that reads false as a whole tells nothing of that: it is false.
    """
    if on_topic and sum(odds) > 0:
        return [OF_A_TRUE_ONE] * len(odds)
    bounded = [min(odd, MOST_OF_OTHERS) for odd in odds]
    return [(sum(bounded) - own + OF_A_TRUE_ONE) / len(bounded) for own in bounded]


def leads(near: Sequence[Candidate], llm: LLM) -> list[float]:
    """How much more the model takes each sentence to say the claim than to say its correction, in log-odds."""
    if not near:
        return []
    chats = [same_prompt(one.sentence, one.misconception.claim) for one in near]
    chats += [same_prompt(one.sentence, one.misconception.correction) for one in near]
    odds = [yes_over_no(row) for row in llm.choice_logprobs(chats, YES_NO)]
    return [claim - correction for claim, correction in zip(odds[: len(near)], odds[len(near) :], strict=True)]
