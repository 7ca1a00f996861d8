"""Whether a generated sentence is carried by its sources: likeness first, then the model's own yes or no."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from coach.llm import LLM
from coach.prompts import YES_NO, support_prompt
from coach.retrieval import Encoder, terms
from coach.vocabulary import at_inference

if TYPE_CHECKING:
    from coach.retrieval import Vectors

# Chosen on the development half of `benchmarks/answers.py --check`: no false sentence passed there.
MIN_SIMILARITY = 0.70  # cosine to the nearest source sentence
MAX_STRANGE_TERMS = 0.25  # share of a sentence's words that no source sentence near it holds
MARGIN = 1.0  # nats of log-odds above those of a source that says nothing of the kind
NEAREST = 5  # source sentences that a statement is held against

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_NEGATION = re.compile(r"\b(?:not|no|never|without|neither|nor|cannot|none)\b|n't\b", re.IGNORECASE)
_OFF = re.compile(r"\boff\b", re.IGNORECASE)
# Pairs that turn a statement round: one side in the sentence and only the other in its source is a contradiction.
_OPPOSITES = (
    ("increase", "decrease"), ("increase", "reduce"), ("higher", "lower"), ("more", "less"), ("more", "fewer"),
    ("large", "small"), ("train", "inference"), ("train", "test"), ("before", "after"), ("up", "down"),
    ("first", "last"), ("multipl", "divid"), ("overfit", "underfit"), ("forward", "backward"), ("best", "worst"),
    ("bias", "variance"), ("encoder", "decoder"), ("generator", "discriminator"), ("precision", "recall"),
    ("fast", "slow"), ("early", "late"), ("linear", "non-linear"), ("always", "sometimes"), ("all", "some"),
)  # fmt: skip


@dataclass(frozen=True)
class Support:
    """How well the sources carry a sentence; `source` is the nearest source sentence."""

    sentence: str
    supported: bool
    source: str
    similarity: float
    log_odds: float | None  # of yes over no, above an unrelated source; None when it was settled before


@dataclass(frozen=True)
class Grounding:
    """Checks sentences against source sentences."""

    llm: LLM | None
    encoder: Encoder
    _known: dict[tuple[str, ...], Vectors] = field(default_factory=dict, init=False, repr=False, compare=False)

    def check(self, sentences: Sequence[str], sources: Sequence[str], unrelated: str = "") -> tuple[Support, ...]:
        """Whether the source sentences carry each sentence; without a model none is carried.

        The yes is set against that to `unrelated`, a source that carries none; by default the one least like it.
        """
        if not sentences or not sources:
            return tuple(Support(sentence, False, "", 0.0, None) for sentence in sentences)
        near = self.encoder.encode(list(sentences)) @ self._vectors_of(tuple(sources)).T
        results = []
        for sentence, row in zip(sentences, near, strict=True):
            order = [int(n) for n in (-row).argsort()]
            nearest = " ".join(sources[n] for n in order[:NEAREST])
            unlike = unrelated or sources[order[-1]]
            similarity = float(row[order[0]])
            if self.llm is None or similarity < MIN_SIMILARITY or not consistent(sentence, nearest, sources[order[0]]):
                results.append(Support(sentence, False, sources[order[0]], similarity, None))
                continue
            odds, null = self._log_odds([(nearest, sentence), (unlike, sentence)])
            carried = odds - null >= MARGIN and odds > 0
            results.append(Support(sentence, carried, sources[order[0]], similarity, odds - null))
        return tuple(results)

    def _vectors_of(self, sources: tuple[str, ...]) -> Vectors:
        """The sources' vectors; a reply's sentences are checked one by one against the same sources."""
        if sources not in self._known:
            self._known[sources] = self.encoder.encode(sources)
        return self._known[sources]

    def _log_odds(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        assert self.llm is not None
        chats = [support_prompt(source, statement) for source, statement in pairs]
        return [yes_over_no(row) for row in self.llm.choice_logprobs(chats, YES_NO)]


def yes_over_no(logprobs: Sequence[float]) -> float:
    """Log-odds of yes over no from the log-probabilities of `YES_NO`, capitals counted too."""
    yes, no, capital_yes, capital_no = logprobs
    return log_sum(yes, capital_yes) - log_sum(no, capital_no)


def log_sum(a: float, b: float) -> float:
    """The logarithm of the sum of two numbers given by their logarithms."""
    high = max(a, b)
    return high + math.log(math.exp(a - high) + math.exp(b - high)) if high > -math.inf else -math.inf


def consistent(sentence: str, source: str, nearest: str) -> bool:
    """Whether numbers, words, negation and direction of a sentence fit its source; needs no model."""
    sentence, source, nearest = map(at_inference, (sentence, source, nearest))
    if set(_NUMBER.findall(sentence)) - set(_NUMBER.findall(source)):
        return False
    own = set(terms(sentence))
    strange = [term for term in own if not _held(term, source.lower())]
    if own and len(strange) / len(own) > MAX_STRANGE_TERMS:
        return False
    if any(bool(sign.search(sentence)) != bool(sign.search(nearest)) for sign in (_NEGATION, _OFF)):
        return False
    return not _turned_round(sentence.lower(), source.lower())


def _held(term: str, source: str) -> bool:
    """Whether a source holds a word or one that begins like it ("scaled", "scaling")."""
    return term[: max(4, len(term) - 3)] in source


def _turned_round(sentence: str, source: str) -> bool:
    def holds(text: str, word: str) -> bool:
        return bool(re.search(rf"\b{word}", text))

    both_ways = [pair for one, other in _OPPOSITES for pair in ((one, other), (other, one))]
    return any(holds(sentence, a) and not holds(source, a) and holds(source, b) for a, b in both_ways)
