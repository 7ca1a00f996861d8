"""The language model boundary: messages in, typed chunks or log-probabilities out.

An engine knows nothing of interviews. A new one is a class with these two methods.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from coach.adapters import Adapters

    States = NDArray[np.float32]

Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True)
class Message:
    """One message of a chat."""

    role: Role
    content: str


@dataclass(frozen=True)
class GenerationOptions:
    """How to generate: `temperature` 0 is greedy; `seed` makes sampling repeatable; `stop` strings end the text."""

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chunk:
    """A piece of generated text; the last one has a finish reason.

    `omitted_tokens` counts prompt tokens that had to be left out to stay inside the model's context; it is
    set on the first chunk.
    """

    text: str
    finish_reason: FinishReason | None = None
    omitted_tokens: int = 0


class LLM(Protocol):
    """A chat language model."""

    @property
    def name(self) -> str:
        """What to call the model on the page, such as "Qwen 1.5B"."""
        ...

    def stream(
        self,
        messages: Sequence[Message],
        options: GenerationOptions = GenerationOptions(),
        stop: threading.Event | None = None,
    ) -> Iterator[Chunk]:
        """Generate a reply as chunks; the last chunk, and only it, has a finish reason.

        Setting `stop` from any thread ends the stream with "cancelled" within one token. Closing the iterator
        stops the generation too.
        """
        ...

    def choice_logprobs(
        self, messages_list: Sequence[Sequence[Message]], choices: Sequence[str]
    ) -> list[tuple[float, ...]]:
        """Log-probability (nats) of each choice as the beginning of the reply, one tuple per chat.

        The chats are computed in one batch that shares their longest common prefix. A choice of several
        tokens gets the sum over its tokens. Raises `ModelError` when there are no choices.
        """
        ...


@runtime_checkable
class HiddenStates(Protocol):
    """What an engine may offer beyond `LLM`: a look at what the model makes of a chat, for a probe."""

    def hidden_states(
        self,
        messages_list: Sequence[Sequence[Message]],
        layers: Sequence[int],
        beginning: Sequence[Message],
        adapters: Adapters | None = None,
    ) -> list[States]:
        """For each chat the residual stream after the first n layers, for each n of `layers` in rising order.

        The shape is (tokens, layers times width), each layer's part with a mean square of 1. The stream is that of the
        model as published, however the engine holds it. The tokens are those from where the chats part from one another
        and from `beginning`, a chat that begins as they do. Later layers are not computed. With `adapters` on these
        tokens, the stream after layer `adapters.last` stands beside the others. Raises `ModelError` where a model
        cannot be read so.
        """
        ...


@runtime_checkable
class ChoiceStates(Protocol):
    """What an engine may offer beyond `LLM`: judging, with a look at what the model makes of each choice."""

    def choice_states(
        self, messages: Sequence[Message], choices: Sequence[str], layers: Sequence[int]
    ) -> tuple[tuple[float, ...], States]:
        """`LLM.choice_logprobs` of one chat, and for each choice the residual stream before its last token.

        The shape of the latter is (choices, layers times width), as in `HiddenStates`. All layers are computed. Raises
        `ModelError` where a model cannot be read so.
        """
        ...
