"""Pacing of replies, stopping them, and one reply at a time."""

from __future__ import annotations

import threading
import time

import pytest

from coach.errors import ModelError
from coach.replies import Replies, paced


def test_events_come_in_batches_and_the_first_at_once() -> None:
    began = time.monotonic()
    times = []
    got: list[int] = []
    for batch in paced(iter(range(500)), threading.Event()):
        times.append(time.monotonic() - began)
        got += batch
    assert got == list(range(500))
    assert times[0] < 0.05
    assert len(times) < 10


def test_an_event_that_closes_its_batch_comes_before_what_follows() -> None:
    batches = list(paced(iter([1, 2, "sources", 3, 4]), threading.Event(), closing=(str,)))
    assert batches[0][-1] == "sources"
    assert [item for batch in batches for item in batch] == [1, 2, "sources", 3, 4]


def test_a_stop_is_noticed_while_the_events_keep_one_waiting() -> None:
    stop = threading.Event()

    def slow():  # type: ignore[no-untyped-def]
        yield 1
        stop.wait(30)
        yield 2

    threading.Timer(0.2, stop.set).start()
    began = time.monotonic()
    assert [n for batch in paced(slow(), stop) for n in batch] == [1, 2]
    assert time.monotonic() - began < 2


def test_closing_stops_and_errors_come_through() -> None:
    stop = threading.Event()
    batches = paced(iter(lambda: time.sleep(0.05), 1), stop)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert stop.is_set()

    def failing():  # type: ignore[no-untyped-def]
        yield 1
        raise ModelError("out of memory")

    with pytest.raises(ModelError, match="out of memory"):
        list(paced(failing(), threading.Event()))


def test_one_reply_at_a_time_for_each_visitor() -> None:
    replies = Replies()
    first = replies.begin("a")
    assert first is not None
    assert replies.begin("a") is None
    assert replies.begin("b") is not None
    replies.stop("a")
    assert first.stop.is_set()
    assert replies.under_way("a")
    replies.end("a")
    assert not replies.under_way("a")
    assert replies.begin("a") is not None


def test_a_cleared_page_is_noted_for_the_reply_under_way() -> None:
    replies = Replies()
    assert not replies.discard("a")
    reply = replies.begin("a")
    assert reply is not None
    assert replies.discard("a")
    assert reply.discarded
    assert reply.stop.is_set()


def test_what_a_visitor_turned_to_is_kept_for_the_end_of_the_reply() -> None:
    replies = Replies()
    assert not replies.turn("a", 3)
    reply = replies.begin("a")
    assert reply is not None
    assert not reply.turned
    assert replies.turn("a", 3)
    assert (reply.turned, reply.opened) == (True, 3)
    assert replies.turn("a", None)
    assert (reply.turned, reply.opened) == (True, None)
