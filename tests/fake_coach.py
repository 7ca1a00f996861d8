"""A coach that answers from the real entries without a model, at a pace the tests choose: for tests of the page."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from coach.audio import Samples, Span
from coach.coach import CoachStatus
from coach.config import BUILT_IN_KNOWLEDGE, Settings
from coach.errors import CoachError, InputError, ModelError
from coach.events import Event, Finished, Graded, Kept, Progress, Source, SourcesFound, Suggestions, Text
from coach.grading import Flag, Scorecard, Verdict
from coach.knowledge import Entry, load_entries
from coach.llm import FinishReason
from coach.sentences import split_sentences
from coach.session import Attempt, Exchange, Exercise, Session
from coach.transcript import Transcript, Word
from coach.voice import wave_bytes


class FakeTranscriber:
    """Hears the same answer in every recording, with a doubtful term in it."""

    said = "Dropout sets, um, activations to zero at random. At test time it is off. Drop out is never redrawn."

    def transcribe(self, audio: Samples, sample_rate: int, terms: Sequence[str] = ()) -> Transcript:
        if not np.abs(audio).max() > 0.01:
            return Transcript((), (), len(audio) / sample_rate)
        parts = self.said.split()
        step = 0.4  # seconds for each word
        words = tuple(
            Word(part, n * step, n * step + 0.3, 0.2 if part == "Dropout" else 0.95) for n, part in enumerate(parts)
        )
        return Transcript(words, (Span(0.0, len(parts) * step),), len(parts) * step)


class FakeVoice:
    """Beeps."""

    def wave(self, text: str, pace: float = 1.0) -> bytes:
        return wave_bytes(0.1 * np.sin(np.arange(8000) / 8).astype(np.float32), 16_000)


class FakeCoach:
    """Speaks of dropout and batch normalisation. A question with "slow" takes long, one with "break" fails."""

    def __init__(self, pause: float = 0.02, settings: Settings = Settings()) -> None:
        self.entries = load_entries(BUILT_IN_KNOWLEDGE)
        self.settings = settings
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

    def entry_on(self, subject: str) -> str | None:
        return "dropout" if "dropout" in subject else None

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

    # Practise: each sentence stands for one key point in turn; one with "never" in it is a false statement.

    def begin(
        self,
        session: Session,
        entry: str | None = None,
        topic: str | None = None,
        difficulty: int | None = None,
        realistic: bool = False,
    ) -> Session:
        wanted = [e for e in self.entries if e.id == (entry or "dropout") and topic in (None, e.topic)]
        if not wanted:
            raise CoachError("There is no question of that topic and level; choose another topic or any level.")
        session = replace(session, style="realistic" if realistic else "coached")
        return session.practising(Exercise(wanted[0].id, wanted[0].question))

    def grade(self, session: Session, text: str) -> Scorecard:
        assert session.exercise is not None
        points = self.entry(session.exercise.entry).key_points
        sentences = split_sentences(text, loose=True)
        states = [("covered", 0.95), ("partial", 0.5), ("missed", 0.04), ("unsure", 0.45)]
        verdicts = []
        for n, point in enumerate(points):
            state, share = states[n % 4] if n < len(sentences) else ("missed", 0.03)
            verdicts.append(Verdict(point, state, share, sentences[n] if n < min(2, len(sentences)) else ""))  # type: ignore[arg-type]
        false = [s for s in sentences if "never" in s]
        fix = "A new dropout mask is drawn at every forward pass with probability $p$."
        return Scorecard(tuple(verdicts), tuple(Flag("The mask is fixed.", fix, s, 0.9) for s in false))

    def respond(self, session: Session, text: str, stop: threading.Event | None = None) -> Iterator[Event]:
        stop = stop or threading.Event()
        if text.endswith("?"):
            yield from self.ask(session, text, stop)
            return
        assert session.exercise is not None
        if "break" in text:
            attempt = Attempt(text, None, "The model ran out of memory.", session.exercise.follow_up)
            session = session.attempted(attempt)
            yield Kept(session)
            yield Graded(None, attempt.failure)
            yield Finished(session, "", (), True, "stop", 0.1, 0.1)
            return
        card = self.grade(session, text)
        asked = session.exercise.follow_up
        session = session.attempted(Attempt(text, card, "", asked))
        if session.style == "realistic":
            said = "Noted. What changes at inference?"
            yield Text(said, True)
            yield Finished(session, said, (), True, "stop", 0.1, 0.1)
            return
        yield Kept(session)
        yield Graded(card)
        said = "You named the random mask. What is missing is the rescaling [dropout]."
        yield Text(said, True)
        if stop.wait(60 if "slow" in text else self.pause):
            self.stopped.set()
            time.sleep(60)  # as a model in the midst of a long prompt
        yield Text("\n\nFollow-up: What changes at inference?", True)
        yield Finished(session, said, ("dropout",), True, "stop", 0.1, 0.1)

    def hint(self, session: Session) -> tuple[Session, str]:
        session = session.hinted()
        assert session.exercise is not None
        return session, f"Hint {session.exercise.hints}: think of what happens at inference."

    def model_answer(self, session: Session, spoken: bool = False) -> str:
        assert session.exercise is not None
        entry = self.entry(session.exercise.entry)
        return entry.spoken if spoken else f"{entry.answer} [{entry.id}]"

    def contest(
        self, session: Session, key_point_id: str, sentence: str, stop: threading.Event | None = None
    ) -> Iterator[Event]:
        assert session.exercise is not None
        assert session.exercise.last is not None
        last = session.exercise.last
        assert last.scorecard is not None
        verdicts = tuple(
            Verdict(v.key_point, "covered", 0.9, sentence) if v.key_point.id == key_point_id else v
            for v in last.scorecard.verdicts
        )
        card = replace(last.scorecard, verdicts=verdicts)
        yield Progress("Judging the point again")
        session = session.reattempted(replace(last, scorecard=card))
        yield Kept(session)
        yield Graded(card)
        yield Text("You are right: that sentence makes the point.", True)
        yield Finished(session, "", (), True, "stop", 0.1, 0.1)

    def rewrite(self, session: Session, stop: threading.Event | None = None) -> Iterator[Event]:
        yield Text("I would say: dropout zeroes activations at random.\n\n", False)
        yield Text("~~It drops~~ **It zeroes** activations at random *(makes: random zeroing)*.", False)
        yield Finished(session, "", (), True, "stop", 0.1, 0.1)

    def again(self, session: Session, key_point_id: str = "") -> Session:
        assert session.exercise is not None
        only = f" Answer only this part: {key_point_id.replace('-', ' ')}." if key_point_id else ""
        return session.again(self.entry(session.exercise.entry).question + only, key_point_id)

    def follow_up(self, session: Session) -> Session:
        assert session.exercise is not None
        if session.exercise.follow_ups_asked:
            raise InputError("There is no further follow-up to this question; take the next one.")
        return session.follow_up_asked("What changes at inference?")

    def finish(self, session: Session) -> tuple[Session, str]:
        return session.stopped(), "**Report.** You practised one question."
