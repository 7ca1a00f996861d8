"""The curated entries: what they hold, and how they are read and checked."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from coach.errors import KnowledgeError
from coach.sentences import split_sentences

Topic = Literal["foundations", "training", "regularisation", "architectures", "vision", "language", "practice"]
TOPICS: tuple[str, ...] = get_args(Topic)

ANSWER_WORDS = (120, 220)
SPOKEN_WORDS = (140, 220)
KEY_POINTS = (4, 7)
MIN_ALIASES = 8
MIN_MISCONCEPTIONS = 3
MIN_FOLLOW_UPS = 3

_SHOWN = 80  # characters of a faulty value in a message

_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_URL = re.compile(r"https?://\S+\.\S+")
_FIELDS = frozenset(
    "id number question topic difficulty aliases answer spoken facts key_points misconceptions follow_ups "
    "references".split()
)


@dataclass(frozen=True)
class KeyPoint:
    """One checkable statement that a good answer contains; `weight` 1 (nice) to 3 (essential)."""

    id: str
    text: str
    weight: int = 1
    why: str = ""


@dataclass(frozen=True)
class Misconception:
    """A false statement that candidates make, and what is true instead."""

    claim: str
    correction: str


@dataclass(frozen=True)
class FollowUp:
    """A question that an interviewer asks next; `probes` is the id of the key point behind it."""

    question: str
    probes: str
    expects: tuple[str, ...]


@dataclass(frozen=True)
class Reference:
    """A primary source."""

    title: str
    authors: str
    year: int
    url: str


@dataclass(frozen=True)
class Entry:
    """One interview question with its curated answer and what a grader and a coach need to know about it.

    `facts` are true statements beyond the answer: questions about them are answered, and a grader does not take them
    for errors.
    """

    id: str
    question: str
    answer: str
    number: int | None = None
    topic: str = "practice"
    difficulty: int = 2
    aliases: tuple[str, ...] = ()
    spoken: str = ""
    facts: tuple[str, ...] = ()
    key_points: tuple[KeyPoint, ...] = ()
    misconceptions: tuple[Misconception, ...] = ()
    follow_ups: tuple[FollowUp, ...] = ()
    references: tuple[Reference, ...] = ()

    @property
    def title(self) -> str:
        """A short name for lists and citations, made from the id."""
        words = self.id.replace("-", " ")
        return _TITLES.get(self.id, words[:1].upper() + words[1:])

    def key_point(self, key: str) -> KeyPoint:
        """The key point with this id; raises `KeyError`."""
        for point in self.key_points:
            if point.id == key:
                return point
        raise KeyError(key)


_TITLES = {
    "cnn": "Convolutional neural network",
    "lstm": "LSTM",
    "gan": "GAN",
    "gpu": "GPU",
    "llm-ethics": "LLM ethics",
    "bias-variance": "Bias and variance",
    "epoch-iteration-batch": "Epoch, iteration, batch",
    "single-vs-multilayer-perceptron": "Single-layer and multilayer perceptron",
    "forward-backward-propagation": "Forward and backward propagation",
    "deep-learning-vs-machine-learning": "Deep learning or classical machine learning",
    "fine-tuning": "Fine-tuning",
}


def key_points_from(answer: str) -> tuple[KeyPoint, ...]:
    """Key points of equal weight, one for each sentence of an answer that says something."""
    sentences = [s for s in split_sentences(answer) if len(s.split()) >= 3] or list(split_sentences(answer))
    return tuple(KeyPoint(f"point-{n}", sentence, 2) for n, sentence in enumerate(sentences, 1))


@dataclass
class _Reader:
    """Reads one file's table and collects its faults."""

    file: str
    table: dict[str, object]
    strict: bool
    faults: list[str] = field(default_factory=list)

    def fault(self, name: str, problem: str) -> None:
        self.faults.append(f"{self.file}: {name}: {problem}")

    def text(self, name: str, table: dict[str, object] | None = None, prefix: str = "", required: bool = True) -> str:
        table = self.table if table is None else table
        value = table.get(name)
        if value is None and not required:
            return ""
        if not isinstance(value, str) or not value.strip():
            got = "nothing" if value is None else _shown(value)
            self.fault(prefix + name, f"got {got}; write a text that is not empty.")
            return ""
        return value.strip()

    def whole(self, name: str, low: int, high: int, default: int, prefix: str = "", **where: object) -> int:
        table = where.get("table", self.table)
        value = table.get(name) if isinstance(table, dict) else None
        if value is None and not self.strict:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            self.fault(prefix + name, f"got {_shown(value)}; write a whole number from {low} to {high}.")
            return default
        return value

    def texts(
        self, name: str, least: int, table: dict[str, object] | None = None, prefix: str = "", required: bool = True
    ) -> tuple[str, ...]:
        value = (self.table if table is None else table).get(name)
        if value is None and not (required and self.strict):
            return ()
        if not isinstance(value, list) or not all(isinstance(v, str) and v.strip() for v in value):
            self.fault(prefix + name, f"got {_shown(value)}; write a list of texts, none empty.")
            return ()
        if len(value) < least and self.strict:
            self.fault(prefix + name, f"got {len(value)}; write at least {least}.")
        if len({v.strip().lower() for v in value}) < len(value):
            self.fault(prefix + name, "holds the same text twice; remove one.")
        return tuple(v.strip() for v in value)

    def tables(self, name: str, least: int, most: int | None = None) -> list[dict[str, object]]:
        value = self.table.get(name)
        if value is None and not self.strict:
            return []
        if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
            self.fault(name, f"got {_shown(value)}; write one [[{name}]] table for each.")
            return []
        if self.strict and (len(value) < least or (most is not None and len(value) > most)):
            wanted = f"at least {least}" if most is None else f"{least} to {most}"
            self.fault(name, f"got {len(value)}; write {wanted}.")
        return value

    def length(self, name: str, text: str, low: int, high: int) -> None:
        count = len(text.split())
        if self.strict and text and not low <= count <= high:
            self.fault(name, f"has {count} words; write {low} to {high}.")


def _shown(value: object) -> str:
    """A value as a fault shows it: one line, not too long."""
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _read_key_points(reader: _Reader) -> tuple[KeyPoint, ...]:
    points = []
    for n, table in enumerate(reader.tables("key_points", *KEY_POINTS), 1):
        prefix = f"key_points[{n}]."
        given = table.get("id", "" if reader.strict else f"point-{n}")
        key = given if isinstance(given, str) else ""
        if not _ID.fullmatch(key):
            reader.fault(prefix + "id", f"got {_shown(given)}; write lower-case words joined by hyphens.")
        points.append(
            KeyPoint(
                key,
                reader.text("text", table, prefix),
                reader.whole("weight", 1, 3, 2, prefix, table=table),
                reader.text("why", table, prefix, required=reader.strict),
            )
        )
    keys = [point.id for point in points]
    for key in sorted({key for key in keys if key and keys.count(key) > 1}):
        reader.fault("key_points", f"the id {key!r} is used twice; give each point its own.")
    return tuple(points)


def _read_misconceptions(reader: _Reader) -> tuple[Misconception, ...]:
    return tuple(
        Misconception(
            reader.text("claim", table, f"misconceptions[{n}]."),
            reader.text("correction", table, f"misconceptions[{n}]."),
        )
        for n, table in enumerate(reader.tables("misconceptions", MIN_MISCONCEPTIONS), 1)
    )


def _read_follow_ups(reader: _Reader, points: Sequence[KeyPoint]) -> tuple[FollowUp, ...]:
    known = {point.id for point in points}
    follow_ups = []
    for n, table in enumerate(reader.tables("follow_ups", MIN_FOLLOW_UPS), 1):
        prefix = f"follow_ups[{n}]."
        probes = reader.text("probes", table, prefix, required=reader.strict)
        if probes and probes not in known:
            reader.fault(prefix + "probes", f"got {probes!r}; name one of the key points: {', '.join(sorted(known))}.")
        follow_ups.append(
            FollowUp(reader.text("question", table, prefix), probes, reader.texts("expects", 1, table, prefix))
        )
    return tuple(follow_ups)


def _read_references(reader: _Reader) -> tuple[Reference, ...]:
    references = []
    for n, table in enumerate(reader.tables("references", 1), 1):
        prefix = f"references[{n}]."
        url = reader.text("url", table, prefix, required=False) or reader.text("doi", table, prefix, required=False)
        if re.match(r"10\.\d{4,}/", url):
            url = f"https://doi.org/{url}"
        if not _URL.fullmatch(url):
            reader.fault(prefix + "url", f"got {url!r}; write a URL that starts with http, or a DOI.")
        references.append(
            Reference(
                reader.text("title", table, prefix),
                reader.text("authors", table, prefix, required=reader.strict),
                reader.whole("year", 1800, 2100, 0, prefix, table=table),
                url,
            )
        )
    return tuple(references)


def _read_entry(path: Path, strict: bool) -> tuple[Entry | None, list[str]]:
    label = f"{path.parent.name}/{path.name}"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        return None, [f"{label}: the file: cannot be read as UTF-8 text ({error}); check it and its permissions."]
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is no TOMLDecodeError
        return None, [f"{label}: the file: is not valid TOML ({error}); mend it there."]
    reader = _Reader(label, table, strict)
    key = reader.text("id")
    if key and not _ID.fullmatch(key):
        reader.fault("id", f"got {key!r}; write lower-case words joined by hyphens.")
    if key and strict and key != path.stem:
        reader.fault("id", f"got {key!r} in a file named {path.name!r}; give both the same name.")
    for name in sorted(set(table) - _FIELDS):
        reader.fault(name, f"is not a field; use {', '.join(sorted(_FIELDS))}.")
    topic = reader.text("topic", required=strict)
    if topic and topic not in TOPICS:
        reader.fault("topic", f"got {topic!r}; use one of {', '.join(TOPICS)}.")
    answer = reader.text("answer")
    spoken = reader.text("spoken", required=strict)
    reader.length("answer", answer, *ANSWER_WORDS)
    reader.length("spoken", spoken, *SPOKEN_WORDS)
    points = _read_key_points(reader) or key_points_from(answer)
    number = reader.whole("number", 0, 10_000, -1)
    entry = Entry(
        id=key,
        question=reader.text("question"),
        answer=answer,
        number=None if number < 0 else number,
        topic=topic or "practice",
        difficulty=reader.whole("difficulty", 1, 3, 2),
        aliases=reader.texts("aliases", MIN_ALIASES),
        spoken=spoken,
        facts=reader.texts("facts", 1, required=False),
        key_points=points,
        misconceptions=_read_misconceptions(reader),
        follow_ups=_read_follow_ups(reader, points),
        references=_read_references(reader),
    )
    return entry, reader.faults


def load_entries(built_in: Path | None, own: Sequence[Path] = ()) -> tuple[Entry, ...]:
    """All entries, ordered by number and then by id, checked file by file.

    `built_in` holds complete entries; each folder in `own` may hold minimal ones (`id`, `question` and
    `answer`; key points are then the answer's sentences). Raises `KnowledgeError` with every fault of every
    file, each naming file, field and remedy.
    """
    faults: list[str] = []
    found: dict[str, tuple[Entry, str]] = {}
    folders = ([(built_in, True)] if built_in is not None else []) + [(folder, False) for folder in own]
    for folder, strict in folders:
        if not folder.is_dir():
            faults.append(f"{folder}: is not a folder; name a folder that holds one TOML file an entry.")
            continue
        files = sorted(folder.glob("*.toml"))
        if not files:
            faults.append(f"{folder}: holds no .toml file; put one file for each entry there.")
        for path in files:
            entry, its_faults = _read_entry(path, strict)
            faults.extend(its_faults)
            if entry is None or not entry.id:
                continue
            if entry.id in found:
                faults.append(
                    f"{folder.name}/{path.name}: id: {entry.id!r} is already taken by {found[entry.id][1]}; "
                    "give this entry another id."
                )
                continue
            found[entry.id] = (entry, f"{folder.name}/{path.name}")
    if faults:
        raise KnowledgeError(faults)
    entries = [entry for entry, _ in found.values()]
    return tuple(sorted(entries, key=lambda e: (e.number is None, e.number or 0, e.id)))
