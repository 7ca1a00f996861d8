"""A language model that does what a test tells it to: for failures that a real one shows once in a hundred runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

from coach.llm import Chunk, FinishReason, GenerationOptions, Message

Write = Callable[[Sequence[Message]], Iterable[str]]
Judge = Callable[[Sequence[Message]], Sequence[float]]


def text_of(messages: Sequence[Message]) -> str:
    """All that a prompt says."""
    return "\n".join(message.content for message in messages)


def silent(messages: Sequence[Message]) -> Iterable[str]:
    """Writes nothing."""
    return ()


def believing(messages: Sequence[Message]) -> Sequence[float]:
    """Says yes to everything."""
    return (-0.05, -3.0)


def refusing(*false: str) -> Judge:
    """Says no to every chat that holds one of these texts, and yes to the others."""

    def judge(messages: Sequence[Message]) -> Sequence[float]:
        said = text_of(messages)
        return (-4.0, -0.02) if any(text in said for text in false) else (-0.02, -4.0)

    return judge


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
        return [tuple(self._judge(messages)) for messages in messages_list]
