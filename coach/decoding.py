"""Choosing tokens: greedy, drawn, or guessed ahead from what the text says already."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from coach.llm import GenerationOptions

if TYPE_CHECKING:
    import torch

    from coach.kv_cache import FixedCache, GrowingCache

log = logging.getLogger(__name__)

GUESS = 3  # tokens guessed at a time: four rows cost the int8 layers 1.3 times as much as one
_RUNS = (4, 3, 2)  # tokens that must repeat before what followed them is guessed; the longest run is tried first


def generator_for(options: GenerationOptions) -> torch.Generator | None:
    """A random generator with the options' seed, or None when nothing is drawn."""
    if options.temperature <= 0:
        return None
    import torch

    generator = torch.Generator()
    generator.manual_seed(options.seed if options.seed is not None else torch.seed())
    return generator


def choose(logits: torch.Tensor, options: GenerationOptions, generator: torch.Generator | None) -> int:
    """The next token from logits (vocabulary): the likeliest, or drawn from the smallest set of mass `top_p`."""
    import torch

    if generator is None:
        return int(logits.argmax())
    probabilities = torch.softmax(logits / options.temperature, dim=-1)
    if options.top_p < 1:
        ordered, order = probabilities.sort(descending=True)
        outside = ordered.cumsum(0) - ordered >= options.top_p
        probabilities = torch.zeros_like(probabilities).scatter_(0, order, ordered.masked_fill(outside, 0.0))
    return int(torch.multinomial(probabilities, 1, generator=generator))


def guess(ids: Sequence[int], most: int = GUESS) -> list[int]:
    """What followed the last few tokens where they stood before, at most `most`; empty when they are new.

    Prompt lookup (https://github.com/apoorvumang/prompt-lookup-decoding): replies quote their sources.
    """
    if most <= 0:
        return []
    for run in _RUNS:
        end = list(ids[-run:])
        for at in range(len(ids) - run - 1, -1, -1):
            if ids[at] == end[0] and ids[at : at + run] == end:
                return list(ids[at + run : at + run + most])
    return []


class FixedSteps:
    """One-token computations over buffers that never move, so that a graphics processor can replay a recording.

    Launching the hundreds of small kernels of a step one by one takes longer than they run; a CUDA graph
    (https://pytorch.org/blog/accelerating-pytorch-with-cuda-graphs/) launches them as one. One text at a time.
    """

    def __init__(self, model: Any, room: int, record: bool) -> None:
        from coach.kv_cache import cache_keyword

        self.model = model
        self._cache_name = cache_keyword(model)
        self.room = room
        self.record = record
        self._cache: FixedCache | None = None
        self._graph: Any = None

    def begin(self, cache: GrowingCache) -> bool:
        """Take over a text; False when recording fails here, so that steps have to be computed in the usual way."""
        import torch

        from coach.kv_cache import FixedCache

        with torch.inference_mode():
            if self._cache is None:
                self._cache = FixedCache.like(cache, self.room)
                self._prepare(self._cache.position.device)
                if self.record and not self._recorded():
                    return False
            self._cache.take(cache)
        return True

    def end(self, cache: GrowingCache, length: int) -> None:
        """Give the text back, `length` tokens long."""
        import torch

        assert self._cache is not None
        with torch.inference_mode():
            self._cache.give(cache, length)

    def step(self, token: int, position: int) -> torch.Tensor:
        """Logits (1, vocabulary) in float32 on the processor after `token` at `position`."""
        import torch

        assert self._cache is not None
        with torch.inference_mode():
            self._token.fill_(token)
            self._cache.position.fill_(position)
            if self._graph is None:
                self._logits = self._compute()
            else:
                self._graph.replay()
            logits: torch.Tensor = self._logits.float().cpu()
        return logits

    def _prepare(self, device: torch.device) -> None:
        import torch

        self._token = torch.zeros((1, 1), dtype=torch.int64, device=device)
        self._places = torch.arange(self.room, device=device)

    def _compute(self) -> torch.Tensor:
        assert self._cache is not None
        out = self.model(
            input_ids=self._token,
            position_ids=self._cache.position[None],
            attention_mask=(self._places <= self._cache.position)[None, None, None],
            use_cache=True,
            **{self._cache_name: self._cache},
        )
        logits: torch.Tensor = out.logits[0]
        return logits

    def _recorded(self) -> bool:
        import torch

        try:
            side: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):  # libraries set themselves up in the first runs, which must not be recorded
                for _ in range(2):
                    self._compute()
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self._logits = self._compute()
        except RuntimeError as error:
            log.warning("steps cannot be recorded as a CUDA graph (%s); they are computed one by one", error)
            return False
        self._graph = graph
        return True
