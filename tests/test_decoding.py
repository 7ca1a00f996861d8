from __future__ import annotations

from coach.decoding import guess


def test_is_what_followed_the_longest_run_last_time() -> None:
    assert guess([1, 2, 3, 4, 5, 9, 2, 3]) == [4, 5, 9]
    assert guess([7, 2, 3, 4, 8, 2, 3, 5, 7, 2, 3]) == [4, 8, 2]
    assert guess([2, 3, 4, 8, 2, 3, 5, 6, 2, 3]) == [5, 6, 2]


def test_is_empty_for_what_is_new_or_not_wanted() -> None:
    assert guess([1, 2, 3, 4]) == []
    assert guess([1]) == []
    assert guess([1, 2, 1, 2], most=0) == []
