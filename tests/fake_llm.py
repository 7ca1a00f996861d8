"""A language model that does what a test tells it to: for failures that a real one shows once in a hundred runs."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from coach.adapters import Adapters
from coach.cross_encoder import Beside
from coach.llm import Chunk, FinishReason, GenerationOptions, Message
from coach.tokenwise import Tokenwise

Write = Callable[[Sequence[Message]], Iterable[str]]
Judge = Callable[[Sequence[Message]], float]
"""The log-odds of yes over no for a chat."""

CARRIED = 0.6  # share of a statement's longer words that a source must hold for `Reader` to say yes


def text_of(messages: Sequence[Message]) -> str:
    """All that a prompt says."""
    return "\n".join(message.content for message in messages)


def silent(messages: Sequence[Message]) -> Iterable[str]:
    """Writes nothing."""
    return ()


def writing(*pieces: str) -> Write:
    """Writes these pieces, whatever is asked."""
    return lambda messages: pieces


def believing(messages: Sequence[Message]) -> float:
    """Says yes to everything."""
    return 3.0


class Reader:
    """A careful judge: yes when the statement's words stand in the rest of the prompt as well, no otherwise.

    Statements in `false` get a no wherever they stand.
    """

    def __init__(self, *false: str) -> None:
        self._false = false

    def __call__(self, messages: Sequence[Message]) -> float:
        asked = messages[-1].content
        stated = re.search(r"^(?:Statement|Point|Reference answer): (.+)$", asked, re.MULTILINE)
        assert stated is not None, f"no statement in {asked!r}"
        statement = stated.group(1)
        words = re.findall(r"[a-z]{4,}", statement.lower())
        rest = asked.replace(stated.group(), "", 1).lower()
        carried = words and sum(word in rest for word in words) >= CARRIED * len(words)
        return 4.0 if carried and statement not in self._false else -4.0


class FakeLLM:
    """Writes what `write` yields, piece by piece, and judges as `judge` says; whatever they raise comes through."""

    name = "Fake 0B"

    def __init__(self, write: Write = silent, judge: Judge = believing, finish: FinishReason = "stop") -> None:
        self._write = write
        self._judge = judge
        self._finish = finish
        self.prompts: list[Sequence[Message]] = []  # what `stream` was called with
        self.judged: list[Sequence[Message]] = []  # what `choice_logprobs` was called with
        self.closed = 0  # streams that have ended, however

    def stream(
        self,
        messages: Sequence[Message],
        options: GenerationOptions = GenerationOptions(),
        stop: threading.Event | None = None,
    ) -> Iterator[Chunk]:
        self.prompts.append(tuple(messages))
        try:
            for piece in self._write(messages):
                if stop is not None and stop.is_set():
                    yield Chunk("", "cancelled")
                    return
                yield Chunk(piece)
            cancelled = stop is not None and stop.is_set()
            yield Chunk("", "cancelled" if cancelled else self._finish)
        finally:
            self.closed += 1

    def choice_logprobs(
        self, messages_list: Sequence[Sequence[Message]], choices: Sequence[str]
    ) -> list[tuple[float, ...]]:
        self.judged.extend(tuple(messages) for messages in messages_list)
        if all(choice.strip().lower() in ("yes", "no") for choice in choices):
            return [_shared_out(self._judge(messages), choices) for messages in messages_list]
        return [tuple(self._named(messages, choice) for choice in choices) for messages in messages_list]

    def _named(self, messages: Sequence[Message], reply: str) -> float:
        """Log-probability of a reply that names something and says yes or no to it."""
        named, _, answer = reply.rpartition(" ")
        *before, asked = messages
        odds = self._judge((*before, Message(asked.role, f"{asked.content}\n{named}")))
        return _likely(text_of(messages), named) + _shared_out(odds, (answer, "no" if answer == "yes" else "yes"))[0]


def _likely(prompt: str, text: str) -> float:
    """Log-probability of a text as a reply: words of the prompt come easily, others don't."""
    return sum(-0.5 if word in prompt.lower() else -4.0 for word in re.findall(r"\w+", text.lower()))


def _shared_out(odds: float, choices: Sequence[str]) -> tuple[float, ...]:
    """Log-probabilities of the choices: those that say yes share one part, the others the rest."""
    yes = [choice.strip().lower().startswith("y") for choice in choices]

    def log_share(sign: float, among: int) -> float:
        return -math.log1p(math.exp(-sign * odds)) - math.log(among)

    return tuple(log_share(1.0, sum(yes)) if is_yes else log_share(-1.0, len(yes) - sum(yes)) for is_yes in yes)


class Listed(FakeLLM):
    """A model whose states are given."""

    def __init__(self, *states: Sequence[Sequence[float]], name: str = "Listed 0B") -> None:
        super().__init__()
        self.name = name
        self._states = [np.array(rows, dtype=np.float32) for rows in states]
        self.asked: list[str] = []
        self.adapters: Adapters | None = None

    def hidden_states(
        self,
        messages_list: Sequence[Sequence[Message]],
        layers: Sequence[int],
        beginning: Sequence[Message],
        adapters: Adapters | None = None,
    ) -> list[NDArray[np.float32]]:
        self.asked = [messages[-1].content for messages in (*messages_list, beginning)]
        self.adapters = adapters
        return self._states


class Doubting:
    """Finds the sentences false that hold `word`, as sure of itself as `odds`, and no others."""

    def __init__(self, word: str, odds: float = 4.0) -> None:
        self.word = word
        self.certainty = odds
        self.compared: Sequence[Beside] = ()

    def odds(self, question: str, compared: Sequence[Beside]) -> list[float]:
        self.compared = compared
        return [self.certainty if self.word in one.sentence else -self.certainty for one in compared]


def weights(direct: Sequence[float], bias: float = 0.0, unit: Sequence[float] = ()) -> Tokenwise:
    """Weights of one hidden unit that counts as it is, and of the direct path."""
    return Tokenwise(
        layers=(3,),
        mean=np.zeros(len(direct), np.float32),
        scale=np.ones(len(direct), np.float32),
        hidden=np.array(unit or [0.0] * len(direct), np.float32)[:, None],
        hidden_bias=np.zeros(1, np.float32),
        direct=np.array(direct, np.float32),
        out=np.ones(1, np.float32),
        bias=bias,
    )
