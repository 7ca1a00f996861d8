"""What the coach says while it works: a page or a terminal shows each event as it comes."""

from __future__ import annotations

from dataclasses import dataclass

from coach.grading import Scorecard
from coach.knowledge import Entry
from coach.llm import FinishReason
from coach.session import Session


@dataclass(frozen=True)
class Source:
    """An entry that the answer stands on; `passages` are its sentences that were used, word for word."""

    entry: Entry
    passages: tuple[str, ...]


@dataclass(frozen=True)
class SourcesFound:
    """The sources of the answer that follows; comes before its first word."""

    sources: tuple[Source, ...]


@dataclass(frozen=True)
class Text:
    """A piece of Markdown to append to the reply; `curated` when it stands word for word in the knowledge."""

    text: str
    curated: bool


@dataclass(frozen=True)
class Refused:
    """A sentence of the model that the check did not let through; it is not shown, and benchmarks count it."""

    text: str


@dataclass(frozen=True)
class Progress:
    """What the coach is doing while nothing else appears, such as "checking a sentence against its source"."""

    text: str


@dataclass(frozen=True)
class Graded:
    """A scorecard, or why there is none (`scorecard` is None then, and `failure` says why)."""

    scorecard: Scorecard | None
    failure: str = ""


@dataclass(frozen=True)
class Kept:
    """The session with what was graded, for a visitor who does not wait for the words that follow."""

    session: Session


@dataclass(frozen=True)
class Suggestions:
    """Two or three questions to click."""

    questions: tuple[str, ...]


@dataclass(frozen=True)
class Finished:
    """The last event: the session as it is now, and how the reply ended.

    `first_token` and `total` are seconds since the call.
    """

    session: Session
    text: str
    citations: tuple[str, ...]
    answerable: bool
    finish_reason: FinishReason
    first_token: float
    total: float


Event = SourcesFound | Text | Refused | Progress | Graded | Kept | Suggestions | Finished
