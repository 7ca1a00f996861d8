"""The residual stream of a model, watched while it computes, and changed by adapters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from coach.adapters import Adapters
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


def deepest(layers: Sequence[int], adapters: Adapters | None) -> int:
    """How many layers are computed to read `layers` and what `adapters` lead to."""
    return max(*layers, adapters.last if adapters else 0)


def states(
    loaded: Loaded,
    cache: Any,
    inputs: Mapping[str, Any],
    layers: Sequence[int],
    adapters: Adapters | None = None,
    begin: int = 0,
) -> States:
    """The residual stream after each of `layers`, side by side, for the tokens of a row from `begin` on.

    With `adapters` on these, the stream that they lead to stands beside the others. `cache` is the one in `inputs`, and
    keeps of the layers that are computed twice what the adapters changed.
    """
    known = cache.get_seq_length()
    wanted = sorted({*layers, *([adapters.first] if adapters else [])})
    with watched(loaded.model, wanted) as seen:
        # As far as the adapters reach all is computed, because they see what stands before the tokens that they change.
        _through(loaded.model, 0, deepest(layers, adapters), inputs)
    streams = dict(zip(wanted, seen, strict=True))
    found = [streams[layer][begin:] for layer in sorted(layers)]
    if adapters:
        for layer in cache.layers[adapters.first : adapters.last]:
            layer.cut_to(known + begin)
        beside = {name: value for name, value in inputs.items() if name != "input_ids"}
        beside["position_ids"] = inputs["position_ids"][:, begin:]
        beside["attention_mask"] = inputs["attention_mask"][:, :, begin:]
        found.append(_adapted(loaded, adapters, streams[adapters.first][begin:], beside))
    return side_by_side(found, loaded)


def _through(model: Any, first: int, last: int, inputs: Mapping[str, Any]) -> None:
    """Compute the layers after the first `first` up to `last`, and no others."""
    base = model.base_model
    every = base.layers
    base.layers = every[first:last]
    try:
        base(**inputs)
    finally:
        base.layers = every


def _adapted(loaded: Loaded, adapters: Adapters, stream: torch.Tensor, inputs: Mapping[str, Any]) -> torch.Tensor:
    """The stream after layer `adapters.last`, (tokens, hidden), from that after `adapters.first`, all tokens changed.

    `inputs` are those of the model but for the ids.
    """
    model = loaded.model

    def hook(number: int) -> Any:
        def change(module: Any, given: Any, out: Any) -> None:
            tokens = (out[0] if isinstance(out, tuple) else out)[0]
            tokens.copy_(_changed(loaded, adapters, number, tokens.float()))

        return change

    layers = model.base_model.layers[adapters.first : adapters.last - 1]
    handles = [layer.register_forward_hook(hook(number)) for number, layer in enumerate(layers, 1)]
    try:
        with watched(model, [adapters.last]) as seen:
            changed = _changed(loaded, adapters, 0, stream.to(model.device))
            embedded = {"inputs_embeds": changed[None].to(model.dtype)}
            _through(model, adapters.first, adapters.last, {**inputs, **embedded})
    finally:
        for handle in handles:
            handle.remove()
    return seen[0]


def _changed(loaded: Loaded, adapters: Adapters, number: int, stream: torch.Tensor) -> torch.Tensor:
    """A stream (tokens, hidden) as one of the adapters leaves it."""
    import torch

    down, bias, up = (torch.from_numpy(part[number]).to(stream) for part in (adapters.down, adapters.bias, adapters.up))
    published = loaded.as_published(stream)
    size = published.pow(2).mean(-1, keepdim=True).sqrt()
    return stream + loaded.as_held(torch.relu(published / size @ down + bias) @ up * size)


def side_by_side(streams: Sequence[torch.Tensor], loaded: Loaded) -> States:
    """Streams as the model was published, each with a mean square of 1: (tokens, layers times width)."""
    import numpy as np

    published = [loaded.as_published(stream) for stream in streams]
    return np.concatenate([s * s.pow(2).mean(-1, keepdim=True).rsqrt() for s in published], axis=1)
