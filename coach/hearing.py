"""A stretch of sound as Whisper's encoder hears it, and what its decoder makes of a text for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from coach.audio import HOP, Samples, Window
from coach.mishearing import TOKENS_AFTER, Change

Item = TypeVar("Item")
Result = TypeVar("Result")

# Hundredths of a second of silence that the encoder hears after a window, and what it hears at least. It was trained on
# 30 s, which cost as much whatever the window; on the 98 dev recordings of benchmarks/speech.py it makes no difference.
SILENCE_AFTER, LEAST_HEARD = 200, 1000


@dataclass(frozen=True)
class Tried:
    """A change, how much log-probability it costs, a few tokens after it included, and how probable its tokens are."""

    change: Change
    cost: float
    probabilities: NDArray[np.float64]

    @property
    def worth(self) -> float:
        """The log-odds that the change is right."""
        return self.change.worth(self.cost)


@dataclass(frozen=True)
class Alignment:
    """The tokens of a text, when each starts in seconds (and the last one ends), and how probable each is."""

    tokens: tuple[int, ...]
    starts: NDArray[np.float64]
    probabilities: NDArray[np.float64]

    def changed(self, tried: Sequence[Tried]) -> Alignment:
        """With changes that are apart made; their tokens share the time of those that they replace."""
        tokens, starts, probabilities = list(self.tokens), self.starts, self.probabilities
        for one in sorted(tried, key=lambda one: -one.change.first):
            first, last, new = one.change.first, one.change.last, one.change.tokens
            between = np.linspace(starts[first], starts[last], len(new), endpoint=False)
            tokens[first:last] = new
            starts = np.concatenate([starts[:first], between, starts[last:]])
            probabilities = np.concatenate([probabilities[:first], one.probabilities, probabilities[last:]])
        return Alignment(tuple(tokens), starts, probabilities)


@dataclass(frozen=True)
class Heard:
    """A window as the model's encoder hears it."""

    model: Any
    window: Window
    encoded: Any
    frames: int  # of 10 ms, silence apart

    @classmethod
    def of(cls, model: Any, window: Window, audio: Samples) -> Heard:
        """A window of a recording, with as much silence after it as Whisper needs to hear that it ends."""
        from faster_whisper.audio import pad_or_trim

        features = model.feature_extractor(window.samples(audio), padding=HOP)
        most = model.feature_extractor.nb_max_frames
        frames = min(features.shape[-1], most)
        with_silence = min(max(LEAST_HEARD, frames + SILENCE_AFTER), most)
        with_silence += with_silence % 2  # the encoder takes frames in pairs
        return cls(model, window, model.encode(pad_or_trim(features[:, :frames], with_silence)), frames)

    def align(self, start: list[int], tokens: list[int]) -> Alignment:
        """When each token of a text is said, and how probable it is after a prompt."""
        found = self.model.model.align(self.encoded, start, [tokens], self.frames)[0]
        steps, frames = np.array(found.alignments).T
        firsts = frames[np.concatenate([[True], np.diff(steps) > 0])] / self.model.tokens_per_second
        starts = firsts[np.minimum(np.arange(len(tokens) + 1), len(firsts) - 1)]
        return Alignment(tuple(tokens), starts, np.array(found.text_token_probs[: len(tokens)]))

    def tried(self, start: list[int], alignment: Alignment, changes: Sequence[Change]) -> list[Tried]:
        """The cost of each change, changes in order and apart."""
        changed: list[int] = []
        places: list[int] = []
        done = 0
        for change in changes:
            changed += alignment.tokens[done : change.first]
            places.append(len(changed))
            changed += change.tokens
            done = change.last
        changed += alignment.tokens[done : done + TOKENS_AFTER]
        heard = self.align(start, changed).probabilities
        results: list[Tried] = []
        for place, change in zip(places, changes, strict=True):
            end = place + len(change.tokens)
            after = min(TOKENS_AFTER, len(alignment.tokens) - change.last)
            before = _log_sum(alignment.probabilities[change.first : change.last + after])
            results.append(Tried(change, before - _log_sum(heard[place : end + after]), heard[place:end]))
        return results


def _log_sum(probabilities: NDArray[np.float64]) -> float:
    return float(np.sum(np.log(np.maximum(probabilities, 1e-6))))


def at_once(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """What the function makes of each item, all at the same time; the model shares them out among its workers."""
    waiting = list(items)
    if len(waiting) < 2:
        return [function(item) for item in waiting]
    with ThreadPoolExecutor(len(waiting)) as pool:
        return list(pool.map(function, waiting))
