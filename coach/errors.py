"""Every error the coach raises on purpose. Each message says what happened, what was got, what to do.

CoachError
├── KnowledgeError     an entry or a folder of entries is faulty (carries every fault found)
├── SettingsError      an option or environment variable cannot be used
├── RetrievalError     the encoder or the index cannot be used
├── ModelError         a language model cannot be loaded or run
│   └── WeightsError   embedded model files are missing, damaged or cannot be converted
├── GradingError       an answer could not be graded
├── AudioError         a recording cannot be read or transcribed
└── InputError         what the user sent cannot be used
"""

from __future__ import annotations

from collections.abc import Sequence


class CoachError(Exception):
    """The root of all errors that the coach raises on purpose."""


class KnowledgeError(CoachError):
    """One or more entries are faulty; `faults` holds one line for each, with file, field and remedy."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        noun = "fault" if len(self.faults) == 1 else "faults"
        super().__init__(f"{len(self.faults)} {noun} in the knowledge:\n" + "\n".join(f"- {f}" for f in faults))


class SettingsError(CoachError):
    """An option or environment variable has a value that cannot be used."""


class RetrievalError(CoachError):
    """The sentence encoder or the index cannot be used."""


class ModelError(CoachError):
    """A language model cannot be loaded or run."""


class WeightsError(ModelError):
    """Embedded model files are missing, damaged or cannot be converted."""


class GradingError(CoachError):
    """An answer could not be graded; there is no score."""


class AudioError(CoachError):
    """A recording cannot be read or transcribed."""


class InputError(CoachError):
    """What the user sent cannot be used."""
