"""Whether a generated sentence is carried by its sources: similarity first, then the model's own yes or no."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from coach.knowledge import Entry
from coach.llm import LLM
from coach.prompts import YES_NO, notes_of, support_prompt
from coach.retrieval import Encoder
from coach.sentences import split_sentences

# Chosen on the development half of `benchmarks/answers.py --check`: no false sentence passed, with the largest share
# of true ones kept.
MIN_SIMILARITY = 0.55  # cosine to the nearest source sentence below which nothing is asked
REPEATS = 0.90  # cosine to a sentence already said above which it adds nothing
MARGIN = 0.6  # share of the way from the strongest false statement to the median true one

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_NEGATION = re.compile(r"\b(?:not|no|never|without|neither|nor|cannot|n't)\b|n't\b", re.IGNORECASE)


@dataclass(frozen=True)
class Support:
    """How well the sources carry a sentence; `source` is the nearest source sentence."""

    sentence: str
    supported: bool
    source: str
    similarity: float
    log_odds: float | None  # of yes against no; None when similarity or numbers had settled it


@dataclass
class Grounding:
    """Checks sentences against entries; what was calibrated is kept per entry."""

    llm: LLM
    encoder: Encoder
    _thresholds: dict[tuple[str, ...], float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def check(
        self, sentences: Sequence[str], entries: Sequence[Entry], extra: Sequence[str] = ()
    ) -> tuple[Support, ...]:
        """Whether the entries (and the `extra` sources) carry each sentence, in one batch."""
        if not sentences:
            return ()
        notes = notes_of(entries)
        sources = [*split_sentences(notes), *extra]
        near = self.encoder.encode(list(sentences)) @ self.encoder.encode(sources).T
        known_numbers = set(_NUMBER.findall(" ".join([notes, *extra])))
        results: list[Support | None] = []
        asked: list[int] = []
        for n, sentence in enumerate(sentences):
            best = int(near[n].argmax())
            similarity = float(near[n][best])
            strange = set(_NUMBER.findall(sentence)) - known_numbers
            if similarity < MIN_SIMILARITY or strange:
                results.append(Support(sentence, False, sources[best], similarity, None))
            else:
                results.append(Support(sentence, True, sources[best], similarity, None))
                asked.append(n)
        threshold = self.threshold(entries)
        body = "\n".join([notes, *extra])
        odds = self._log_odds(body, [sentences[n] for n in asked])
        for n, value in zip(asked, odds, strict=True):
            old = results[n]
            assert old is not None
            results[n] = Support(old.sentence, value >= threshold, old.source, old.similarity, value)
        return tuple(r for r in results if r is not None)

    def threshold(self, entries: Sequence[Entry]) -> float:
        """Log-odds from which a statement counts as carried, from the entries' own true and false statements."""
        key = tuple(entry.id for entry in entries)
        with self._lock:
            known = self._thresholds.get(key)
        if known is not None:
            return known
        true = [point.text for entry in entries for point in entry.key_points][:6]
        false = [m.claim for entry in entries for m in entry.misconceptions][:6]
        odds = self._log_odds(notes_of(entries), true + false)
        value = _between(odds[: len(true)], odds[len(true) :])
        with self._lock:
            self._thresholds[key] = value
        return value

    def _log_odds(self, notes: str, statements: Sequence[str]) -> list[float]:
        if not statements:
            return []
        chats = [support_prompt(notes, statement) for statement in statements]
        return [yes - no for yes, no in self.llm.choice_logprobs(chats, YES_NO)]


def _between(true: Sequence[float], false: Sequence[float]) -> float:
    middle = sorted(true)[len(true) // 2]
    if not false:
        return middle - 1.0
    strongest = max(false)
    return strongest + MARGIN * max(middle - strongest, 0.0)
