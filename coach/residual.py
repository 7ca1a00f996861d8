"""The residual stream of a model, watched while it computes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from coach.llm import States
    from coach.loading import Loaded


@contextmanager
def watched(model: Any, layers: Sequence[int]) -> Iterator[list[torch.Tensor]]:
    """What a model's `layers` pass on while it computes one row: (tokens, hidden) each, in rising order."""
    seen: list[torch.Tensor] = []

    def look(module: Any, given: Any, out: Any) -> None:
        seen.append((out[0] if isinstance(out, tuple) else out)[0].float().cpu())

    handles = [model.base_model.layers[layer - 1].register_forward_hook(look) for layer in sorted(layers)]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def side_by_side(streams: Sequence[torch.Tensor], loaded: Loaded) -> States:
    """Streams as the model was published, each with a mean square of 1: (tokens, layers times width)."""
    import numpy as np

    published = [loaded.as_published(stream) for stream in streams]
    return np.concatenate([s * s.pow(2).mean(-1, keepdim=True).rsqrt() for s in published], axis=1)
