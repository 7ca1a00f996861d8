"""Keys and values of prompts that were computed before, so that a stable beginning is computed once.

The module is imported where a model is loaded, so it may import torch at its top.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer

_STEP = 256  # tokens that a buffer grows by, so that most decoding steps need no new memory


class GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """One layer's keys and values, (1, heads, tokens, head size), in buffers that are written in place.

    transformers' own layer joins old and new tensors at each token, which copies all of them.
    """

    def __init__(self, room: int = 0) -> None:
        super().__init__()
        self.room = room
        self.length = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Make the buffers in the shape, type and place of the first states."""
        self.dtype, self.device = key_states.dtype, key_states.device
        capacity = max(self.room, key_states.shape[-2])
        self._keys = key_states.new_empty((*key_states.shape[:2], capacity, key_states.shape[-1]))
        self._values = value_states.new_empty((*value_states.shape[:2], capacity, value_states.shape[-1]))
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append states and return all keys and values so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        begin, end = self.length, self.length + key_states.shape[-2]
        if end > self._keys.shape[-2]:
            self._grow(end)
        self._keys[:, :, begin:end] = key_states
        self._values[:, :, begin:end] = value_states
        self.length = end
        self.keys, self.values = self._keys[:, :, :end], self._values[:, :, :end]
        return self.keys, self.values

    def _grow(self, least: int) -> None:
        capacity = max(least, 2 * self._keys.shape[-2]) + _STEP
        for name in ("_keys", "_values"):
            old = getattr(self, name)
            new = old.new_empty((*old.shape[:2], capacity, old.shape[-1]))
            new[:, :, : self.length] = old[:, :, : self.length]
            setattr(self, name, new)

    def get_seq_length(self) -> int:
        """How many tokens are held."""
        return self.length

    def cut_to(self, length: int) -> None:
        """Forget all tokens after the first `length`."""
        if self.is_initialized:
            self.length = min(length, self.length)
            self.keys, self.values = self._keys[:, :, : self.length], self._values[:, :, : self.length]

    def copy(self, length: int, room: int) -> GrowingLayer:
        """A layer of its own with the first `length` tokens and buffers for `room`."""
        other = GrowingLayer(max(room, length))
        other.update(self._keys[:, :, :length], self._values[:, :, :length])
        return other


class GrowingCache(Cache):  # type: ignore[misc]
    """The keys and values of one text through all layers."""

    def __init__(self, layers: Sequence[GrowingLayer]) -> None:
        super().__init__(layers=list(layers))

    @classmethod
    def empty(cls, layer_count: int, room: int) -> GrowingCache:
        """A cache with nothing in it whose buffers will have `room` tokens."""
        return cls([GrowingLayer(room) for _ in range(layer_count)])

    def copy(self, length: int, room: int) -> GrowingCache:
        """A cache of its own with the first `length` tokens."""
        return GrowingCache([layer.copy(length, room) for layer in self.layers])

    def cut_to(self, length: int) -> None:
        """Forget all tokens after the first `length`."""
        for layer in self.layers:
            layer.cut_to(length)

    @property
    def size(self) -> int:
        """Bytes held, unused room included."""
        return sum(t.numel() * t.element_size() for layer in self.layers for t in (layer._keys, layer._values))


class FixedLayer(DynamicLayer):  # type: ignore[misc]
    """One layer's keys and values in buffers that never move, written at `position`: what a recorded step needs."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, position: torch.Tensor) -> None:
        super().__init__()
        self.keys, self.values, self.position = keys, values, position
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write one token's states and return the whole buffers, of which a mask hides what is not written yet."""
        self.keys.index_copy_(2, self.position, key_states)
        self.values.index_copy_(2, self.position, value_states)
        return self.keys, self.values


class FixedCache(Cache):  # type: ignore[misc]
    """Room for the keys and values of one text through all layers, at fixed places in memory."""

    def __init__(self, layers: Sequence[FixedLayer], position: torch.Tensor) -> None:
        super().__init__(layers=list(layers))
        self.position = position

    @classmethod
    def like(cls, cache: GrowingCache, room: int) -> FixedCache:
        """Buffers of the shapes, types and devices in `cache`, for `room` tokens."""
        position = torch.zeros(1, dtype=torch.int64, device=cache.layers[0].keys.device)
        layers = []
        for layer in cache.layers:
            shape = (*layer.keys.shape[:2], room, layer.keys.shape[-1])
            layers.append(FixedLayer(layer.keys.new_zeros(shape), layer.values.new_zeros(shape), position))
        return cls(layers, position)

    def take(self, cache: GrowingCache) -> None:
        """Copy what `cache` holds to the beginning of the buffers."""
        length = cache.get_seq_length()
        for mine, theirs in zip(self.layers, cache.layers, strict=True):
            mine.keys[:, :, :length] = theirs.keys
            mine.values[:, :, :length] = theirs.values

    def give(self, cache: GrowingCache, length: int) -> None:
        """Append to `cache` what it lacks of the first `length` tokens."""
        begin = cache.get_seq_length()
        if begin < length:
            for index, mine in enumerate(self.layers):
                cache.update(mine.keys[:, :, begin:length], mine.values[:, :, begin:length], index)


@dataclass(frozen=True)
class _Kept:
    ids: tuple[int, ...]
    cache: GrowingCache
    size: int


class PrefixStore:
    """Caches of past prompts by their tokens; the least recently used go when `budget` bytes are exceeded."""

    def __init__(self, layer_count: int, budget: int) -> None:
        self.layer_count = layer_count
        self.budget = budget
        self._kept: list[_Kept] = []  # least recently used first
        self._lock = threading.Lock()

    def begin(self, ids: Sequence[int], room: int) -> tuple[GrowingCache, int]:
        """A cache with as many of the first tokens of `ids` as are known, and their number.

        At least the last token is left to compute, because its output is what the caller is after.
        """
        wanted = tuple(ids[:-1])
        with self._lock:
            best, length = None, 0
            for kept in self._kept:
                common = common_length(kept.ids, wanted)
                if common > length:
                    best, length = kept, common
            if best is None:
                return GrowingCache.empty(self.layer_count, room), 0
            self._kept.remove(best)
            self._kept.append(best)
            return best.cache.copy(length, room), length

    def keep(self, ids: Sequence[int], cache: GrowingCache) -> None:
        """Take over a cache that holds `ids` (and is used by nobody else); shorter ones it covers are dropped."""
        ids = tuple(ids)
        if cache.get_seq_length() != len(ids):
            raise ValueError(f"the cache holds {cache.get_seq_length()} tokens, not {len(ids)}")
        with self._lock:
            if any(kept.ids[: len(ids)] == ids for kept in self._kept):
                return
            self._kept = [kept for kept in self._kept if ids[: len(kept.ids)] != kept.ids]
            self._kept.append(_Kept(ids, cache, cache.size))
            while len(self._kept) > 1 and sum(kept.size for kept in self._kept) > self.budget:
                self._kept.pop(0)

    def __len__(self) -> int:
        return len(self._kept)


def common_length(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    """How many first tokens two texts share."""
    shared = min(len(a), len(b))
    if a[:shared] == b[:shared]:
        return shared
    low, high = 0, shared  # a[:low] is shared, a[:high] is not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if a[:middle] == b[:middle] else (low, middle)
    return low


def cache_keyword(model: Any) -> str:
    """What a model's `forward` calls its cache: `cache` from transformers 5.24 on, `past_key_values` before."""
    return "cache" if "cache" in signature(model.forward).parameters else "past_key_values"
