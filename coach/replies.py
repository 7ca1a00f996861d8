"""Replies under way: paced for the page, and found again by a second click, the Stop button and a closed tab."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Item = TypeVar("Item")

PACE = 0.07  # seconds between two updates of the page: 14 a second (an update of a full chat costs 3 to 7 ms)
PATIENCE = 0.5  # seconds after which an update comes though nothing happened, so that a visitor who left is noticed
GRACE = 3.0  # seconds that a stopped reply may take to end by itself before it is left to end alone


@dataclass
class Reply:
    """A reply under way, and what its visitor did meanwhile.

    `stop` asks it to end; `discarded` says that the page was cleared; `turned` that the visitor turned to the sources
    of message `opened`, or away from them (None).
    """

    stop: threading.Event = field(default_factory=threading.Event)
    discarded: bool = False
    turned: bool = False
    opened: int | None = None


class Replies:
    """Which visitors are being answered, by the page's own key for a visitor; holds no words."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, Reply] = {}

    def begin(self, visitor: str) -> Reply | None:
        """A new reply, or None while one is under way for this visitor."""
        with self._lock:
            if visitor in self._running:
                return None
            return self._running.setdefault(visitor, Reply())

    def under_way(self, visitor: str) -> bool:
        """Whether the visitor is being answered right now."""
        with self._lock:
            return visitor in self._running

    def stop(self, visitor: str) -> None:
        """Ask the visitor's reply to end, if there is one."""
        with self._lock:
            if visitor in self._running:
                self._running[visitor].stop.set()

    def discard(self, visitor: str) -> bool:
        """Ask the visitor's reply to end with an empty page; False when there is none."""
        with self._lock:
            reply = self._running.get(visitor)
            if reply is None:
                return False
            reply.discarded = True
            reply.stop.set()
            return True

    def turn(self, visitor: str, opened: int | None) -> bool:
        """Keep what the visitor turned to beside the conversation; False when no reply is under way."""
        with self._lock:
            reply = self._running.get(visitor)
            if reply is None:
                return False
            reply.turned, reply.opened = True, opened
            return True

    def end(self, visitor: str) -> None:
        """Forget the visitor's reply, and stop whatever still works on it."""
        with self._lock:
            reply = self._running.pop(visitor, None)
        if reply is not None:
            reply.stop.set()


class _End(Generic[Item]):
    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def paced(
    events: Iterator[Item], stop: threading.Event, pace: float = PACE, closing: tuple[type, ...] = ()
) -> Iterator[tuple[Item, ...]]:
    """The events in batches: the first at once, then at most one batch every `pace` seconds.

    An event of a type in `closing` ends its batch, so that it is shown before what follows it.

    The events are drawn in a thread of their own, so that setting `stop` is noticed while they keep one waiting; they
    then have `GRACE` seconds to end by themselves. A batch is empty when nothing happened for `PATIENCE` seconds.
    Closing this iterator sets `stop`. An error that ends the events is raised here.
    """
    waiting: queue.SimpleQueue[Item | _End[Item]] = queue.SimpleQueue()

    def draw() -> None:
        error: BaseException | None = None
        try:
            for event in events:
                waiting.put(event)
        except BaseException as raised:  # noqa: BLE001  (handed over and raised by the reader)
            error = raised
        waiting.put(_End(error))

    threading.Thread(target=draw, name="reply", daemon=True).start()
    stopped_at: float | None = None
    try:
        while True:
            began = time.monotonic()
            batch: list[Item] = []
            try:
                item = waiting.get(timeout=pace if stop.is_set() else PATIENCE)
            except queue.Empty:
                item = None
            while item is not None:
                if isinstance(item, _End):
                    if batch:
                        yield tuple(batch)
                    if item.error is not None:
                        raise item.error
                    return
                batch.append(item)
                if isinstance(item, closing):
                    break
                try:
                    item = waiting.get_nowait()
                except queue.Empty:
                    item = None
            yield tuple(batch)
            if stop.is_set():
                stopped_at = stopped_at or time.monotonic()
                if time.monotonic() - stopped_at > GRACE:
                    return
            rest = pace - (time.monotonic() - began)
            if rest > 0:
                time.sleep(rest)
    finally:
        stop.set()
