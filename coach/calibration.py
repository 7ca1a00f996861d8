"""What null answers and model answers get from a judge, and disputed verdicts: kept on disk by model and task."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

BUILT_IN = Path(__file__).with_name("calibrations.json")  # written by `python benchmarks/calibrate.py`
CALIBRATION_FORMAT = 5  # part of the cache key: raise it when prompts or null answers change

# Spans between null and model answers below these are noise, so that a weak model's signs are not blown up.
MIN_ODDS_SPAN = 1.0  # nats
MIN_NOTE_SPAN = 2.0  # nats
FARTHEST = 1.5  # spans beyond null or model answer at which a sign is cut off


@dataclass(frozen=True)
class Signs:
    """What a language model makes of an answer, for each key point.

    `odds` are the log-odds of "yes, it is stated"; `notes` the log-probability of naming the point in the first place.
    """

    odds: tuple[float, ...]
    notes: tuple[float, ...]

    def only(self, n: int) -> Signs:
        """The signs of point `n` alone."""
        return Signs((self.odds[n],), (self.notes[n],))

    def moved(self, n: int, one: Signs, choose: Callable[[float, float], float]) -> Signs:
        """With point `n` at what `choose` takes of its own signs and those of `one`, which has a single point."""

        def at(own: tuple[float, ...], other: float) -> tuple[float, ...]:
            return (*own[:n], choose(own[n], other), *own[n + 1 :])

        return Signs(at(self.odds, one.odds[0]), at(self.notes, one.notes[0]))


@dataclass(frozen=True)
class Calibration:
    """The signs of the strongest null answer, and the mean of those of the model answers."""

    null: Signs
    model: Signs

    def placed(self, signs: Signs) -> list[tuple[float, float]]:
        """For each point where odds and notes lie: 0 at the null answers, 1 at the model answers."""
        odds = zip(signs.odds, self.null.odds, self.model.odds, strict=True)
        notes = zip(signs.notes, self.null.notes, self.model.notes, strict=True)
        return [
            (_placed(*one, MIN_ODDS_SPAN), _placed(*other, MIN_NOTE_SPAN))
            for one, other in zip(odds, notes, strict=True)
        ]


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
    return Signs(tuple(float(v) for v in values["odds"]), tuple(float(v) for v in values["notes"]))


def strongest(all_signs: Sequence[Signs]) -> Signs:
    """For each point the highest of several answers' signs."""
    return Signs(
        tuple(max(row) for row in zip(*(s.odds for s in all_signs), strict=True)),
        tuple(max(row) for row in zip(*(s.notes for s in all_signs), strict=True)),
    )


def mean(all_signs: Sequence[Signs]) -> Signs:
    """For each point the mean of several answers' signs."""
    return Signs(
        tuple(sum(row) / len(row) for row in zip(*(s.odds for s in all_signs), strict=True)),
        tuple(sum(row) / len(row) for row in zip(*(s.notes for s in all_signs), strict=True)),
    )
