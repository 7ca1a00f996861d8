"""The coach: the one object that a page or a terminal talks to, and the only place that wires the parts together."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, TimeoutError
from dataclasses import dataclass
from typing import Literal, TypeVar

from coach.answering import answer
from coach.config import BUILT_IN_KNOWLEDGE, Settings
from coach.errors import CoachError, ModelError, RetrievalError
from coach.events import Event
from coach.knowledge import Entry, load_entries
from coach.llm import LLM
from coach.retrieval import Index
from coach.session import Session

log = logging.getLogger(__name__)

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
