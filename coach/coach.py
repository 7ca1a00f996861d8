"""The coach: the one object that a page or a terminal talks to, and the only place that wires the parts together."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, TimeoutError
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from coach import exercise
from coach.answering import answer
from coach.config import BUILT_IN_KNOWLEDGE, Settings
from coach.errors import CoachError, GradingError, InputError, ModelError, RetrievalError
from coach.events import Event, Progress
from coach.feedback import next_question
from coach.grading import Scorecard
from coach.judge import Judge, Task
from coach.knowledge import Entry, load_entries
from coach.llm import LLM
from coach.misstatements import Readers
from coach.point_probe import PointProbe
from coach.retrieval import Index
from coach.session import Exercise, Session
from coach.wording import Wording

log = logging.getLogger(__name__)

WAIT_STEP = 0.1  # seconds between looks at whether a model that is loading is there

Readiness = Literal["loading", "ready", "failed", "off"]
Part = TypeVar("Part")


@dataclass(frozen=True)
class CoachStatus:
    """What is ready: `progress` (0 to 1) is set while weights are converted, `message` says it in words."""

    encoder: Readiness
    model: Readiness
    model_name: str
    device: str
    progress: float | None
    message: str


class Coach:
    """Answers, asks and grades; holds no visitor's words, so that one serves all visitors."""

    def __init__(
        self,
        entries: Sequence[Entry],
        index: Future[Index],
        llm: Future[LLM] | None,
        settings: Settings = Settings(),
    ) -> None:
        self.entries = tuple(entries)
        self.settings = settings
        self._index = index
        self._llm = llm
        self._ready_judge: Judge | None = None
        self._chance = random.Random()
        self._progress: tuple[float, str] | None = None

    @classmethod
    def of(cls, entries: Sequence[Entry], index: Index, llm: LLM | None, settings: Settings = Settings()) -> Coach:
        """A coach from parts that are ready."""
        return cls(entries, _done(index), None if llm is None else _done(llm), settings)

    @classmethod
    def load(cls, settings: Settings) -> Coach:
        """Read the knowledge now and load encoder and language model in the background.

        Raises `KnowledgeError` when an entry is faulty.
        """
        entries = load_entries(BUILT_IN_KNOWLEDGE, settings.knowledge)
        index: Future[Index] = Future()
        llm: Future[LLM] | None = None if settings.model == "none" else Future()
        coach = cls(entries, index, llm, settings)

        def load_parts() -> None:
            _fulfil(index, lambda: _load_index(entries, settings))
            if llm is not None:
                _fulfil(llm, lambda: _load_llm(settings, coach._report))

        threading.Thread(target=load_parts, name="coach-load", daemon=True).start()
        return coach

    def _report(self, share: float, what: str) -> None:
        self._progress = (share, what)

    @property
    def status(self) -> CoachStatus:
        """What is ready and what is still loading, in words."""
        encoder = _readiness(self._index)
        model: Readiness = "off" if self._llm is None else _readiness(self._llm)
        name, device, share = self.settings.model, "", None
        if self._llm is not None and model == "ready":
            llm = self._llm.result()
            name = llm.name
            device = str(getattr(llm, "device_name", ""))
        if model == "loading" and self._progress is not None:
            share = self._progress[0]
        return CoachStatus(encoder, model, name, device, share, self._words(encoder, model, name, device))

    def _words(self, encoder: Readiness, model: Readiness, name: str, device: str) -> str:
        if encoder == "failed":
            return str(self._index.exception())
        if encoder == "loading":
            return "Opening the knowledge"
        if model == "failed" and self._llm is not None:
            return str(self._llm.exception())
        if model == "loading":
            return self._progress[1] if self._progress else "Loading the language model"
        if model == "off":
            return "ready · curated answers only"
        return " · ".join(part for part in ("ready", name, device) if part)

    def wait_ready(self, model: bool = False, timeout: float | None = None) -> None:
        """Wait for the index, and for the language model when `model`; raises what loading ended with."""
        self._get(self._index, "the index", timeout)
        if model and self._llm is not None:
            self._get(self._llm, "the language model", timeout)

    @staticmethod
    def _get(part: Future[Part], what: str, timeout: float | None) -> Part:
        try:
            return part.result(timeout)
        except TimeoutError as error:
            raise CoachError(f"Loading {what} took longer than {timeout} s; wait or see `doctor`.") from error

    @property
    def index(self) -> Index:
        """The index, waited for; raises `RetrievalError` when it could not be opened."""
        return self._get(self._index, "the index", None)

    @property
    def llm(self) -> LLM | None:
        """The language model when it is ready, else None."""
        if self._llm is None or not self._llm.done() or self._llm.exception() is not None:
            return None
        return self._llm.result()

    def entry(self, key: str) -> Entry:
        """The entry with this id; raises `RetrievalError` that names what there is."""
        for entry in self.entries:
            if entry.id == key:
                return entry
        raise RetrievalError(f"There is no entry {key!r}; use one of {', '.join(e.id for e in self.entries)}.")

    def ask(self, session: Session, text: str, stop: threading.Event | None = None) -> Iterator[Event]:
        """Answer a question in its conversation: sources, curated sentences, additions, suggestions, `Finished`."""
        note = ""
        if self._llm is not None and self.llm is None:
            failed = self._llm.done()
            note = (
                f"The language model is not available: {self._llm.exception()}"
                if failed
                else "The language model is still loading; this is the curated answer."
            )
        return answer(session, text, self.index, self.llm, stop or threading.Event(), note)

    def begin(
        self,
        session: Session,
        entry: str | None = None,
        topic: str | None = None,
        difficulty: int | None = None,
        realistic: bool = False,
    ) -> Session:
        """A new exercise: the entry named, or one of a topic and difficulty, or any. Raises `InputError`."""
        if entry is not None:
            chosen = self.entry(entry)
        else:
            chosen = exercise.choose(self.entries, session, topic, difficulty, self._chance)
        self._prepare(chosen)
        session = replace(session, style="realistic" if realistic else "coached")
        return session.practising(Exercise(chosen.id, chosen.question))

    def entry_on(self, subject: str) -> str | None:
        """The id of the entry that a subject names or that covers it; None for one that no entry covers.

        While the index is loading it waits. A bare word says less than a question about it, so both are looked up.
        """
        named = self.index.named(subject)
        if named:
            return named[0]
        looked_up = (self.index.search(query, 1) for query in (subject, f"What is {subject}?"))
        return next((found.hits[0].entry.id for found in looked_up if found.answerable), None)

    def respond(self, session: Session, text: str, stop: threading.Event | None = None) -> Iterator[Event]:
        """Take a text typed or said during practice: an answer is graded, a question is answered."""
        if session.exercise is None or exercise.is_question(text):
            return self.ask(session, text, stop)
        return self._graded(session, text, self.entry(session.exercise.entry), stop or threading.Event())

    def _graded(self, session: Session, text: str, entry: Entry, stop: threading.Event) -> Iterator[Event]:
        """An answer graded as soon as the model is there: one sent while it loads waits, since it must not be lost."""
        if self._llm is not None and not self._llm.done():
            yield Progress("The language model is still loading; your answer is graded as soon as it is ready")
            while not (self._llm.done() or stop.wait(WAIT_STEP)):
                pass
        judge, why_not = self._judge()
        yield from exercise.respond(session, text, entry, judge, self.wording, self.foil(entry), why_not, stop)

    @property
    def wording(self) -> Wording:
        """What says feedback and follow-ups, in the model's words when it is ready."""
        return Wording(self.llm, self.index)

    def judge(self) -> Judge:
        """What grades; raises `GradingError` while there is no language model."""
        judge, why_not = self._judge()
        if judge is None:
            raise GradingError(why_not)
        return judge

    def grade(self, task: Task, answer: str) -> Scorecard:
        """The scorecard of an answer to any task; raises `GradingError`."""
        return self.judge().grade(task, answer)

    def hint(self, session: Session) -> tuple[Session, str]:
        """The next step of the hint ladder."""
        return exercise.hint(session, self._practised(session))

    def model_answer(self, session: Session, spoken: bool = False) -> str:
        """The entry's answer, in writing or as one would say it."""
        entry = self._practised(session)
        return entry.spoken if spoken and entry.spoken else f"{entry.answer} [{entry.id}]"

    def contest(
        self, session: Session, key_point_id: str, sentence: str, stop: threading.Event | None = None
    ) -> Iterator[Event]:
        """Judge a verdict again by the sentence that the candidate points to."""
        entry = self._practised(session)
        judge, why_not = self._judge()
        return exercise.contest(session, entry, key_point_id, sentence, judge, self.foil(entry), why_not)

    def rewrite(self, session: Session, stop: threading.Event | None = None) -> Iterator[Event]:
        """The last answer as it could be said, as a difference to the candidate's own words."""
        return exercise.rewrite(session, self._practised(session))

    def again(self, session: Session, key_point_id: str = "") -> Session:
        """The question once more, or only one of its key points."""
        entry = self._practised(session)
        if not key_point_id:
            return session.again(entry.question)
        point = entry.key_point(key_point_id)
        return session.again(f"{entry.question} Answer only this part: {point.id.replace('-', ' ')}.", key_point_id)

    def follow_up(self, session: Session) -> Session:
        """The follow-up that was offered, as the question to answer now. Raises `InputError` when none is left."""
        entry = self._practised(session)
        current = session.exercise
        assert current is not None
        card = next((a.scorecard for a in reversed(current.attempts) if not a.follow_up), None)
        asked = next_question(entry, card, current.follow_ups_asked)
        if not asked:
            raise InputError("There is no further follow-up to this question; take the next one.")
        return session.follow_up_asked(asked)

    def finish(self, session: Session) -> tuple[Session, str]:
        """The end of an exercise: the session without it, and a report in Markdown."""
        text = exercise.report(session, {entry.id: entry for entry in self.entries})
        return session.stopped(), text

    def prepare(self, entry: Entry) -> None:
        """Calibrate the judge for an entry now, so that its next grade takes no longer than any other."""
        self.judge().calibrate(Task.of_entry(entry, self.foil(entry)))

    def foil(self, entry: Entry | None) -> str:
        """An answer to another question, which must not make any point of this one."""
        others = [e for e in self.entries if e is not entry and e.spoken]
        if not others:
            return ""
        place = self.entries.index(entry) if entry is not None else 0
        return others[(place + 11) % len(others)].spoken

    def _practised(self, session: Session) -> Entry:
        if session.exercise is None:
            raise InputError("No exercise is under way; start one first.")
        return self.entry(session.exercise.entry)

    def _judge(self) -> tuple[Judge | None, str]:
        llm = self.llm
        if llm is None:
            return None, f"The language model that grades is not available ({self.status.message})."
        if self._ready_judge is None:
            self._ready_judge = Judge(llm, self.index, self.settings.cache_dir, Readers.of(llm), PointProbe.of(llm))
        return self._ready_judge, ""

    def _prepare(self, entry: Entry) -> None:
        """Calibrate the judge for an entry while the candidate thinks, so that the scorecard comes at once."""
        judge, _ = self._judge() if self._index.done() else (None, "")
        if judge is not None:
            task = Task.of_entry(entry, self.foil(entry))
            threading.Thread(target=_quietly, args=(judge, task), name="calibrate", daemon=True).start()


def _quietly(judge: Judge, task: Task) -> None:
    try:
        judge.calibrate(task)
    except CoachError as error:
        log.warning("calibration failed, grading will try again: %s", error)


def _readiness(part: Future[Part]) -> Readiness:
    if not part.done():
        return "loading"
    return "failed" if part.exception() is not None else "ready"


def _done(value: Part) -> Future[Part]:
    future: Future[Part] = Future()
    future.set_result(value)
    return future


def _fulfil(future: Future[Part], make: Callable[[], Part]) -> None:
    """Complete a future with what `make` returns or raises; anything unforeseen becomes a `CoachError`."""
    try:
        future.set_result(make())
    except CoachError as error:
        future.set_exception(error)
    except Exception as error:
        log.exception("loading failed")
        future.set_exception(ModelError(f"Loading failed unexpectedly: {error!r}. The log has the whole trace."))


def _load_index(entries: Sequence[Entry], settings: Settings) -> Index:
    from coach.retrieval import SentenceEncoder
    from coach.weights import encoder_folder

    name = str(encoder_folder()) if settings.encoder == "default" else settings.encoder
    index = Index.build(entries, SentenceEncoder.load(name, device="cpu"), settings.cache_dir)
    index.search("warm up")
    return index


def _load_llm(settings: Settings, report: Callable[[float, str], None]) -> LLM:
    from coach.transformers_llm import TransformersLLM

    return TransformersLLM.load(settings, progress=report)
