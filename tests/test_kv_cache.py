from __future__ import annotations

import pytest
import torch

from coach.kv_cache import GrowingCache, PrefixStore, common_length


def filled(ids: tuple[int, ...]) -> GrowingCache:
    cache = GrowingCache.empty(2, len(ids))
    states = torch.tensor(ids, dtype=torch.float32).view(1, 1, -1, 1)
    for layer in range(2):
        cache.update(states, -states, layer)
    return cache


def test_gives_the_longest_known_beginning_and_leaves_the_last_token() -> None:
    store = PrefixStore(2, 1 << 20)
    store.keep((1, 2, 3, 4), filled((1, 2, 3, 4)))
    store.keep((1, 9), filled((1, 9)))
    cache, held = store.begin((1, 2, 3, 7), 10)
    assert held == 3
    assert cache.layers[1].keys.flatten().tolist() == [1, 2, 3]
    assert store.begin((1, 2, 3, 4), 10)[1] == 3
    assert store.begin((5,), 10)[1] == 0


def test_a_caller_cannot_change_what_is_kept() -> None:
    store = PrefixStore(2, 1 << 20)
    store.keep((1, 2, 3), filled((1, 2, 3)))
    cache, held = store.begin((1, 2, 8), 10)
    cache.update(torch.full((1, 1, 1, 1), 8.0), torch.full((1, 1, 1, 1), 8.0), 0)
    assert held == 2
    again, _ = store.begin((1, 2, 3, 4), 10)
    assert again.layers[0].keys.flatten().tolist() == [1, 2, 3]


def test_the_least_recently_used_goes_when_the_budget_is_exceeded() -> None:
    size = filled((0, 1, 2)).size
    store = PrefixStore(2, 2 * size)
    for first in (10, 20):
        store.keep((first, 1, 2), filled((first, 1, 2)))
    store.begin((10, 1, 5), 5)
    store.keep((30, 1, 2), filled((30, 1, 2)))
    assert [store.begin((first, 1, 2, 3), 5)[1] for first in (10, 20, 30)] == [3, 0, 3]


def test_a_longer_text_replaces_the_shorter_that_it_covers() -> None:
    store = PrefixStore(2, 1 << 20)
    store.keep((1, 2), filled((1, 2)))
    store.keep((1, 2, 3), filled((1, 2, 3)))
    store.keep((1,), filled((1,)))
    assert len(store) == 1


def test_buffers_grow_and_keep_what_they_held() -> None:
    cache = filled((1, 2, 3))
    for token in range(4, 700):
        for layer in range(2):
            keys, values = cache.update(torch.full((1, 1, 1, 1), token), torch.full((1, 1, 1, 1), -token), layer)
    assert keys.flatten().tolist() == list(range(1, 700))
    assert values.flatten().tolist() == [-n for n in range(1, 700)]


@pytest.mark.parametrize(("a", "b"), [((), ()), ((1, 2), (1, 2, 3)), ((1, 2, 4), (1, 2, 3)), ((5,), (6,))])
def test_common_length(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    expected = next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    assert common_length(a, b) == common_length(b, a) == expected
