"""What null answers and model answers get from a judge, and disputed verdicts: kept on disk by model and task."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

BUILT_IN = Path(__file__).with_name("calibrations.json")  # written by `python benchmarks/calibrate.py`
CALIBRATION_FORMAT = 7  # part of the cache key: raise it when prompts, null answers or the probe for points change

# Spans between null and model answers below these are noise, so that a weak model's signs are not blown up.
MIN_ODDS_SPAN = 1.0  # nats
MIN_NOTE_SPAN = 2.0  # nats
MIN_READ_SPAN = 1.0  # nats
FARTHEST = 1.5  # spans beyond null or model answer at which a sign is cut off


@dataclass(frozen=True)
class Signs:
    """What a language model makes of an answer, for each key point.

    `odds` are the log-odds of "yes, it is stated"; `notes` the log-probability of naming the point in the first place;
    `reads` what a probe makes of the model's state (`coach.point_probe`), empty where there is none.
    """

    odds: tuple[float, ...]
    notes: tuple[float, ...]
    reads: tuple[float, ...] = ()

    def only(self, n: int) -> Signs:
        """The signs of point `n` alone."""
        return Signs((self.odds[n],), (self.notes[n],), self.reads[n : n + 1])

    def moved(self, n: int, one: Signs, choose: Callable[[float, float], float]) -> Signs:
        """With point `n` at what `choose` takes of its own signs and those of `one`, which has a single point."""

        def at(own: tuple[float, ...], other: tuple[float, ...]) -> tuple[float, ...]:
            return (*own[:n], choose(own[n], other[0]), *own[n + 1 :]) if own else ()

        return Signs(at(self.odds, one.odds), at(self.notes, one.notes), at(self.reads, one.reads))


@dataclass(frozen=True)
class Calibration:
    """What null answers get, and what model answers get."""

    null: Signs
    model: Signs

    @classmethod
    def of(cls, nulls: Sequence[Signs], models: Sequence[Signs]) -> Calibration:
        """From the signs of null answers and of model answers.

        Of what the model says of null answers the strongest counts, of what is read their mean: with the strongest,
        the development half of `benchmarks/grading.py` has a log loss of 0.22 instead of 0.13.
        """
        return cls(replace(_of_all(nulls, max), reads=_mean(nulls).reads), _mean(models))

    @classmethod
    def joined(cls, ones: Sequence[Calibration]) -> Calibration:
        """The calibration of several points from those of each."""
        return cls(_joined([one.null for one in ones]), _joined([one.model for one in ones]))

    def only(self, n: int) -> Calibration:
        """The calibration of point `n` alone."""
        return Calibration(self.null.only(n), self.model.only(n))

    def placed(self, signs: Signs) -> list[tuple[float, ...]]:
        """For each point where its signs lie: 0 at the null answers, 1 at the model answers."""
        kinds = (
            (signs.odds, self.null.odds, self.model.odds, MIN_ODDS_SPAN),
            (signs.notes, self.null.notes, self.model.notes, MIN_NOTE_SPAN),
            (signs.reads, self.null.reads, self.model.reads, MIN_READ_SPAN),
        )
        placed = [
            [_placed(*one, least) for one in zip(values, null, model, strict=True)]
            for values, null, model, least in kinds
            if values and null
        ]
        return list(zip(*placed, strict=True))


def _placed(value: float, null: float, model: float, least: float) -> float:
    return min(max((value - null) / max(model - null, least), -FARTHEST), FARTHEST)


@dataclass(frozen=True)
class Contest:
    """A verdict that a candidate disputed: the sentence they pointed to, and whether it was found to make the point."""

    question: str
    point: str
    sentence: str
    made: bool


class CalibrationStore:
    """A folder of calibrations and contests; without a folder nothing is kept.

    Those of the built-in entries with the embedded model come along, so that a first grade need not wait for them.
    """

    def __init__(self, cache_dir: Path | None, built_in: Path = BUILT_IN) -> None:
        self._folder = None if cache_dir is None else cache_dir / "calibration"
        self._built_in: dict[str, Any] = json.loads(built_in.read_text(encoding="utf-8")) if built_in.is_file() else {}

    @staticmethod
    def key(*parts: object) -> str:
        """A name for what a calibration depends on."""
        text = json.dumps([CALIBRATION_FORMAT, *parts], sort_keys=True)
        return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]

    def load(self, key: str) -> Calibration | None:
        """The calibration of this key, or None when there is none that can be read."""
        if key in self._built_in:
            return _calibration(self._built_in[key])
        if self._folder is None:
            return None
        try:
            return _calibration(json.loads((self._folder / f"{key}.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError):
            return None  # not there, or damaged: measured again

    def save(self, key: str, found: Calibration) -> None:
        """Keep a calibration."""
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=self._folder, suffix=".tmp")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(asdict(found), file)
        os.replace(temporary, self._folder / f"{key}.json")

    def contests(self, question: str) -> tuple[Contest, ...]:
        """The disputes that were decided about a question's points, oldest first."""
        if self._folder is None or not self._contests(self._folder).is_file():
            return ()
        path = self._contests(self._folder)
        found = []
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                found.append(Contest(**json.loads(line)))
            except (ValueError, TypeError):
                log.warning("a damaged line of %s is left out", path)
        return tuple(contest for contest in found if contest.question == question)

    def contested(self, contest: Contest) -> None:
        """Keep a dispute."""
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._contests(self._folder).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(contest)) + "\n")

    @staticmethod
    def _contests(folder: Path) -> Path:
        return folder / "contested.jsonl"


def _calibration(values: dict[str, Any]) -> Calibration:
    return Calibration(_signs(values["null"]), _signs(values["model"]))


def _signs(values: dict[str, Sequence[float]]) -> Signs:
    return Signs(*(tuple(float(v) for v in values[kind]) for kind in ("odds", "notes", "reads")))


def _mean(all_signs: Sequence[Signs]) -> Signs:
    return _of_all(all_signs, lambda values: sum(values) / len(values))


def _joined(ones: Sequence[Signs]) -> Signs:
    return Signs(*(tuple(value for values in kind for value in values) for kind in _kinds(ones)))


def _kinds(ones: Sequence[Signs]) -> tuple[list[tuple[float, ...]], ...]:
    return [s.odds for s in ones], [s.notes for s in ones], [s.reads for s in ones]


def _of_all(all_signs: Sequence[Signs], joined: Callable[[Sequence[float]], float]) -> Signs:
    """For each point what `joined` makes of several answers' signs."""
    return Signs(*(tuple(joined(row) for row in zip(*rows, strict=True)) for rows in _kinds(all_signs)))
