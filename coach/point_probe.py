"""A probe for key points: how probably an answer makes a point, read from the state in which a model is to say so.

A small model that is asked whether a point is stated knows more than its yes or no tells, above all where a candidate
says it by an example or in words of their own. The probe is a logistic regression on that state, trained on answers
whose points people and readers marked, on half of the topics (`benchmarks/train_point_probe.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from coach.llm import LLM, ChoiceStates
from coach.probe import points_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class PointProbe:
    """A direction in the states of some layers side by side, (layers times width), along which points are made."""

    layers: tuple[int, ...]
    direction: NDArray[np.float32]

    @classmethod
    def of(cls, llm: LLM) -> PointProbe | None:
        """The probe that was trained for a model; None where there is none."""
        path = points_file(llm.name)
        return cls.load(path) if isinstance(llm, ChoiceStates) and path.exists() else None

    def odds(self, states: NDArray[np.float32]) -> tuple[float, ...]:
        """How much likelier each point is made than not, in log-odds up to a constant, from states (points, width)."""
        return tuple(float(odds) for odds in states @ self.direction)

    @classmethod
    def load(cls, path: Path) -> PointProbe:
        """Read the weights from a file."""
        import numpy as np

        with np.load(path) as kept:
            return cls(tuple(int(layer) for layer in kept["layers"]), kept["direction"].astype(np.float32))

    def save(self, path: Path) -> None:
        """Write the weights to a file."""
        import numpy as np

        path.parent.mkdir(exist_ok=True)
        np.savez_compressed(path, layers=self.layers, direction=self.direction)
