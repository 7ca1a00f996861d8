"""A coach that answers from the real entries without a model, at a pace the tests choose: for tests of the page."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from coach.coach import CoachStatus
from coach.config import BUILT_IN_KNOWLEDGE, Settings
from coach.errors import CoachError, ModelError
from coach.events import Event, Finished, Progress, Source, SourcesFound, Suggestions, Text
from coach.knowledge import Entry, load_entries
from coach.llm import FinishReason
from coach.sentences import split_sentences
from coach.session import Exchange, Session


class FakeCoach:
    """Speaks of dropout and batch normalisation. A question with "slow" takes long, one with "break" fails."""

    def __init__(self, pause: float = 0.02) -> None:
        self.entries = load_entries(BUILT_IN_KNOWLEDGE)
        self.settings = Settings()
        self.pause = pause
        self.llm = None
        self.status = CoachStatus("ready", "ready", "Fake 0B", "CPU", None, "ready · Fake 0B · CPU")
        self.stopped = threading.Event()  # set when a reply was stopped, for tests to see
        self.asked: list[str] = []

    def entry(self, key: str) -> Entry:
        for entry in self.entries:
            if entry.id == key:
                return entry
        raise CoachError(f"There is no entry {key!r}.")

    def ask(self, session: Session, text: str, stop: threading.Event | None = None) -> Iterator[Event]:
        stop = stop or threading.Event()
        self.asked.append(text)
        began = time.monotonic()
        if "explode" in text:
            raise ZeroDivisionError("as a bug would")
        if "break" in text:
            yield Progress("Writing the answer")
            raise ModelError("The model ran out of memory; close other programs or use --model small.")
        if "recipe" in text:
            reply = "My answers do not cover that. The nearest topics are Dropout or GPU."
            yield Text(reply, True)
            yield Finished(session.asked(Exchange(text, reply, (), (), False)), reply, (), False, "stop", 0.1, 0.1)
            return
        found = [self.entry("dropout"), self.entry("batch-normalisation")]
        sources = tuple(Source(entry, split_sentences(entry.answer)[:2]) for entry in found)
        yield SourcesFound(sources)
        said = ""
        for source in sources:
            piece = " ".join(source.passages) + f" [{source.entry.id}]\n\n"
            said += piece
            yield Text(piece, True)
        yield Progress("Adding to the answer")
        slow = "slow" in text
        finish: FinishReason = "stop"
        for n in range(60 if slow else 3):
            # A slow reply comes to a halt in the end, and then only a stop ends it.
            if stop.wait(60 if slow and n == 59 else self.pause):
                finish = "cancelled"
                self.stopped.set()
                break
            piece = f"Sentence {n} about {text[:60]!r}, with $a < b$. "
            said += piece
            yield Text(piece, False)
        offers = ("And at inference?", "Where in a network would you put it?")
        yield Suggestions(offers)
        took = time.monotonic() - began
        ids = tuple(entry.id for entry in found)
        exchange = Exchange(text, said, ids, offers)
        yield Finished(session.asked(exchange), said, ids, True, finish, 0.01, took)
