"""What one visitor sees, as values: messages, mode, and what is open beside them; every step returns a new value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from coach.events import Event, Finished, Graded, Progress, Source, SourcesFound, Suggestions, Text
from coach.session import Exchange, Session

Speaker = Literal["user", "assistant"]
Mode = Literal["ask", "practise"]

_ENDINGS = {"length": "The reply reached its greatest length and was cut off here.", "cancelled": "Stopped."}


@dataclass(frozen=True)
class Light:
    """A span of a candidate's answer (character offsets) and the names of what rests on it."""

    start: int
    end: int
    names: tuple[str, ...]


@dataclass(frozen=True)
class Said:
    """One message. A user's text is kept word for word; the coach's is Markdown with citations like [dropout].

    `note` says what is going on or how it ended; `before` is the session to go back to when the message is edited or
    sent again.
    """

    speaker: Speaker
    text: str = ""
    sources: tuple[Source, ...] = ()
    suggestions: tuple[str, ...] = ()
    note: str = ""
    waiting: bool = False
    failed: bool = False
    practice: bool = False
    lights: tuple[Light, ...] = ()
    before: Session | None = None

    def told(self, event: Event) -> Said:
        """The coach's message after one more event."""
        match event:
            case SourcesFound(sources):
                return replace(self, sources=sources, note="Writing the answer")
            case Text(text, _):
                return replace(self, text=self.text + text)
            case Progress(text):
                return replace(self, note=text)
            case Suggestions(questions):
                return replace(self, suggestions=questions)
            case Graded():
                return replace(self, note="Writing feedback")
            case Finished():
                return replace(self, note=_ENDINGS.get(event.finish_reason, ""), waiting=False)


@dataclass(frozen=True)
class View:
    """One visitor's page. `opened` is the message whose sources are shown, `editing` the question being changed."""

    session: Session = field(default_factory=Session)
    said: tuple[Said, ...] = ()
    mode: Mode = "ask"
    opened: int | None = None
    editing: int | None = None
    graded: Graded | None = None

    def sent(self, text: str, note: str = "Looking it up") -> View:
        """With a user's message and the coach's, which is being written; an edited one replaces all that followed."""
        view = self if self.editing is None else self.back_to(self.editing)
        practice = view.mode == "practise" and view.session.exercise is not None
        asked = Said("user", text, before=view.session, practice=practice)
        reply = Said("assistant", note=note, waiting=True, before=view.session, practice=practice)
        return replace(view, said=(*view.said, asked, reply), opened=None, editing=None)

    def heard(self, events: Iterable[Event]) -> View:
        """With what the coach said meanwhile."""
        view = self
        for event in events:
            view = view._with_last(view.said[-1].told(event))
            match event:
                case SourcesFound():
                    view = replace(view, opened=len(view.said) - 1)
                case Graded():
                    view = replace(view, graded=event)
                case Finished(session):
                    view = replace(view, session=session)
        return view

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

    def added(self, text: str) -> View:
        """With something more said by the coach, such as a question to answer."""
        return replace(self, said=(*self.said, Said("assistant", text, practice=self.mode == "practise")))

    def back_to(self, number: int) -> View:
        """As it was before the question with this number, exercises aside; raises `IndexError` when there is none."""
        asked = self.said[number]
        if asked.before is None:
            raise IndexError(f"Message {number} is not a question that can be asked again.")
        session = replace(self.session, exchanges=asked.before.exchanges)
        if asked.practice:
            session = asked.before
        return replace(self, session=session, said=self.said[:number], opened=None, editing=None)

    def _with_last(self, message: Said) -> View:
        return replace(self, said=(*self.said[:-1], message))
