"""What one visitor sees, as values: messages, mode, and what is open beside them; every step returns a new value."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from coach.events import Event, Finished, Graded, Kept, Progress, Refused, Source, SourcesFound, Suggestions, Text
from coach.grading import Scorecard
from coach.session import Attempt, Exchange, Session
from coach.timeline import clock
from coach.transcript import Transcript, Word

Speaker = Literal["user", "assistant"]
Mode = Literal["ask", "practise"]
Kind = Literal["words", "answer", "question", "spoken"]  # an answer to be graded, a question put, a text to hear

MAX_SAID = 120  # messages on the page; older ones leave it, so that a long session stays quick

_ENDINGS = {"length": "The reply reached its greatest length and was cut off here.", "cancelled": "Stopped."}


@dataclass(frozen=True)
class Light:
    """A span of a candidate's answer (character offsets) and the names of what rests on it."""

    start: int
    end: int
    names: tuple[str, ...]


@dataclass(frozen=True)
class Card:
    """A scorecard beside the chat: of which `answer`, and an earlier one to compare it with (`change` since when).

    `transcript` is there for a spoken answer.
    """

    graded: Graded
    answer: str
    previous: Scorecard | None = None
    change: str = ""
    transcript: Transcript | None = None


@dataclass(frozen=True)
class Said:
    """One message. A user's text is kept word for word; the coach's is Markdown with citations like [dropout].

    `note` says what is going on or how it ended; `before` is the session to go back to when the message is edited or
    sent again. `basis` is the source that feedback cites, `graded` says that the message came with a scorecard.
    """

    speaker: Speaker
    text: str = ""
    sources: tuple[Source, ...] = ()
    suggestions: tuple[str, ...] = ()
    note: str = ""
    waiting: bool = False
    failed: bool = False
    practice: bool = False
    kind: Kind = "words"
    lights: tuple[Light, ...] = ()
    before: Session | None = None
    transcript: Transcript | None = None
    basis: Source | None = None
    graded: bool = False

    def told(self, event: Event) -> Said:
        """The coach's message after one more event."""
        match event:
            case SourcesFound(sources):
                return replace(self, sources=sources, note="Writing the answer")
            case Text(text, _):
                return replace(self, text=self.text + text)
            case Progress(text):
                return replace(self, note=text)
            case Refused() | Kept():
                return self
            case Suggestions(questions):
                return replace(self, suggestions=questions)
            case Graded():
                sources = self.sources if self.basis is None else (self.basis,)
                return replace(self, note="Writing feedback", sources=sources, graded=True)
            case Finished():
                return replace(self, note=_ENDINGS.get(event.finish_reason, ""), waiting=False)


@dataclass(frozen=True)
class View:
    """One visitor's page. `opened` is the message whose sources are shown, `editing` the question being changed.

    `card` is the scorecard shown in practice, `contested` the key point that the candidate says they made,
    `transcript` what was recorded and not sent yet, and `heard_note` what is said about it.
    """

    session: Session = field(default_factory=Session)
    said: tuple[Said, ...] = ()
    mode: Mode = "ask"
    opened: int | None = None
    editing: int | None = None
    card: Card | None = None
    contested: str = ""
    transcript: Transcript | None = None
    heard_note: str = ""

    @property
    def answering(self) -> bool:
        """Whether what is typed now answers a question of the coach."""
        return self.mode == "practise" and self.session.exercise is not None

    @property
    def asked_for(self) -> Literal["ask", "answer", "follow-up"]:
        """What the composer is for now."""
        if not self.answering or self.session.exercise is None:
            return "ask"
        return "follow-up" if self.session.exercise.follow_up else "answer"

    def sent(self, text: str, asking: bool = False, basis: Source | None = None) -> View:
        """With a user's message and the coach's, which is being written; an edited one replaces all that followed.

        `asking`: the message is a question even in practice. `basis` is what feedback to an answer rests on.
        """
        view = self if self.editing is None else self.back_to(self.editing)
        answers = view.answering and not asking
        kind: Kind = "answer" if answers else "words"
        # The words may have been corrected; a text that shares too little with the recording was typed instead.
        spoken = view.transcript if view.transcript and view.answering and view.transcript.locate(text) else None
        asked = Said("user", text, before=view.session, practice=view.answering, kind=kind, transcript=spoken)
        note = "Reading your answer" if answers else "Looking it up"
        reply = Said("assistant", note=note, waiting=True, before=view.session, practice=view.answering, basis=basis)
        view = replace(view, opened=None, editing=None, contested="", transcript=None, heard_note="")
        return replace(view, said=(*view.said, asked, reply)[-MAX_SAID:])

    def transcribed(self, transcript: Transcript, doubts: tuple[Word, ...]) -> View:
        """With a recording written down, to be checked before it is sent; `doubts` are terms that may be wrong."""
        note = "Check the words, then send them."
        if doubts:
            words = ", ".join(f"“{word.text.strip('.,;:?!')}” at {clock(word.start)}" for word in doubts)
            note = f"Did you say {words}? I did not hear it clearly; correct it if not, then send."
        return replace(self, transcript=transcript, heard_note=note)

    def objected(self, text: str) -> View:
        """With the coach's message being written on something else than a new message; `text` is what it is about."""
        asked = (Said("user", text, practice=True),) if text else ()
        note = "Judging it again" if text else "Rewriting your answer"
        reply = Said("assistant", note=note, waiting=True, practice=True)
        return replace(self, said=(*self.said, *asked, reply), opened=None, editing=None, contested="")

    def heard(self, events: Iterable[Event]) -> View:
        """With what the coach said meanwhile."""
        view = self
        for event in events:
            view = view._with_last(view.said[-1].told(event))
            match event:
                case SourcesFound():
                    view = replace(view, opened=len(view.said) - 1)
                case Graded():
                    view = view._graded(event)
                case Kept(session):
                    view = replace(view, session=session)
                case Finished(session):
                    view = replace(view, session=session)._known()
        return view

    def _known(self) -> View:
        """With a message in practice that turned out to be a question no longer taken for an answer."""
        asked, reply = self.said[-2:] if len(self.said) > 1 else (None, None)
        if asked is None or reply is None or asked.kind != "answer" or reply.graded or self.session.style != "coached":
            return self
        return replace(self, said=(*self.said[:-2], replace(asked, kind="words"), reply))

    def _graded(self, graded: Graded) -> View:
        """With a scorecard, compared with the last one of the same question, and its evidence lit in the answer."""
        number = max((n for n, said in enumerate(self.said) if said.kind == "answer"), default=None)
        if number is None:
            return replace(self, card=Card(graded, ""), opened=None)
        answer, spoken = self.said[number].text, self.said[number].transcript
        if number < len(self.said) - 2 and self.card is not None:  # judged again, after an objection
            card = Card(graded, answer, self.card.graded.scorecard, "after your objection", spoken)
        else:
            earlier = _last_graded(self.said[-2].before)
            card = Card(graded, answer, earlier.scorecard if earlier else None, "since your last answer", spoken)
        lit = replace(self.said[number], lights=_lights(answer, graded.scorecard))
        return replace(self, card=card, opened=None, said=(*self.said[:number], lit, *self.said[number + 1 :]))

    def ended(self) -> View:
        """After the reply's last event; one that was stopped before it could finish keeps what was said."""
        last = self.said[-1]
        if not last.waiting:
            return self
        session = self.session
        if last.text and not last.practice:
            cited = tuple(source.entry.id for source in last.sources)
            session = session.asked(Exchange(self.said[-2].text, last.text.strip(), cited, (), bool(cited)))
        return replace(self, session=session)._with_last(replace(last, waiting=False, note="Stopped."))

    def failed(self, message: str) -> View:
        """With the reply ended by an error, told where it happened."""
        return self._with_last(replace(self.said[-1], waiting=False, failed=True, note=message))

    def added(self, text: str, kind: Kind = "words", sources: tuple[Source, ...] = ()) -> View:
        """With something more said by the coach, such as a question to answer."""
        return replace(self, said=(*self.said, Said("assistant", text, sources, practice=self.answering, kind=kind)))

    def refused(self, message: str) -> View:
        """With an error told in a message of its own."""
        return replace(self, said=(*self.said, Said("assistant", note=message, failed=True)))

    def back_to(self, number: int) -> View:
        """As it was before the message with this number; exercises stay when it was a question in Ask.

        Raises `IndexError` when the message is none that can be sent again.
        """
        asked = self.said[number]
        if asked.before is None:
            raise IndexError(f"Message {number} is not one that can be sent again.")
        session = asked.before if asked.practice else replace(self.session, exchanges=asked.before.exchanges)
        return replace(self, session=session, said=self.said[:number], opened=None, editing=None, contested="")

    def _with_last(self, message: Said) -> View:
        return replace(self, said=(*self.said[:-1], message))


def _last_graded(session: Session | None) -> Attempt | None:
    """The latest graded attempt at the question that a session is at."""
    exercise = session.exercise if session else None
    if exercise is None:
        return None
    same = [a for a in exercise.attempts if a.scorecard is not None and a.follow_up == exercise.follow_up]
    return same[-1] if same else None


def _lights(answer: str, card: Scorecard | None) -> tuple[Light, ...]:
    """Where the evidence of a scorecard stands in the answer."""
    if card is None:
        return ()
    named = [(verdict.key_point.id, verdict.evidence) for verdict in card.verdicts]
    named += [(f"flag-{n}", flag.evidence) for n, flag in enumerate(card.misconceptions, 1)]
    found = []
    for name, evidence in named:
        # Evidence is word for word, but a line break may have become a space.
        place = re.search(r"\s+".join(re.escape(word) for word in evidence.split()), answer) if evidence else None
        if place is not None:
            found.append(Light(place.start(), place.end(), (name,)))
    return tuple(found)
