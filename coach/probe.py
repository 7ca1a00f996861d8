"""A probe: how probably a candidate's sentence is false, read from a model's hidden states.

A small model that reads a false sentence beside true ones stumbles at the words that are wrong, long before it can say
so. The probe, a small network, looks at each token of the sentence, and the strongest stumble counts. It is trained on
sentences of candidates that are marked true or false (`benchmarks/train_probe.py`), on all topics alike.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from coach.llm import LLM, HiddenStates
from coach.prompts import truth_prompt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BUILT_IN = Path(__file__).with_name("probes")  # files that `python benchmarks/train_probe.py` writes
SHARPNESS = 2.0  # of the soft maximum over the tokens; training and use have to agree
NEAREST = 3  # true statements that each sentence brings into the reference
MAX_REFERENCE = 12  # true statements in the reference of an answer
_STAND_IN = "x"  # begins the sentence in the prompt from which all others part


@dataclass(frozen=True)
class Weights:
    """A network with one hidden layer beside a direct path, read by token from states of some layers side by side.

    States are taken `(states - mean) / scale`; `hidden` has shape (width, units), `direct` (width,), `out` (units,).
    """

    layers: tuple[int, ...]
    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    hidden: NDArray[np.float32]
    hidden_bias: NDArray[np.float32]
    direct: NDArray[np.float32]
    out: NDArray[np.float32]
    bias: float

    def __call__(self, states: NDArray[np.float32]) -> NDArray[np.float32]:
        """How much likelier each token stands in a false sentence, (tokens,), from (tokens, width)."""
        import numpy as np

        x = (states - self.mean) / self.scale
        units = np.maximum(x @ self.hidden + self.hidden_bias, 0)
        return np.asarray(units @ self.out + x @ self.direct + self.bias, dtype=np.float32)

    @classmethod
    def load(cls, path: Path) -> Weights:
        """Read the weights from a file."""
        import numpy as np

        with np.load(path) as kept:
            arrays = {name: kept[name].astype(np.float32) for name in kept.files}
        layers, bias = arrays.pop("layers"), arrays.pop("bias")
        return cls(layers=tuple(int(layer) for layer in layers), bias=float(bias), **arrays)

    def save(self, path: Path) -> None:
        """Write the weights to a file, the large ones in 16 bits."""
        import numpy as np

        kept = {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}
        kept["hidden"] = kept["hidden"].astype(np.float16)
        path.parent.mkdir(exist_ok=True)
        np.savez_compressed(path, **kept)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Probe:
    """What reads the states of one model."""

    llm: HiddenStates
    weights: Weights

    @classmethod
    def of(cls, llm: LLM) -> Probe | None:
        """The probe that was trained for a model; None where there is none."""
        path = weights_file(llm.name)
        if not isinstance(llm, HiddenStates) or not path.exists():
            return None
        return cls(llm, Weights.load(path))

    def odds(self, question: str, reference: Sequence[str], sentences: Sequence[str]) -> list[float]:
        """For each sentence how much likelier it is false than true, in log-odds, not calibrated."""
        states = states_of(self.llm, self.weights.layers, question, reference, sentences)
        return [self.odds_of(each) for each in states]

    def odds_of(self, states: NDArray[np.float32]) -> float:
        """The log-odds of one sentence from its states: the soft maximum over its tokens."""
        import numpy as np

        each = SHARPNESS * self.weights(states)
        return float((np.logaddexp.reduce(each) - np.log(len(each))) / SHARPNESS)


def weights_file(model: str) -> Path:
    """Where the weights for a model of this name are kept."""
    return BUILT_IN / f"{re.sub(r'[^a-z0-9.]+', '-', model.lower()).strip('-')}.npz"


def states_of(
    llm: HiddenStates, layers: Sequence[int], question: str, reference: Sequence[str], sentences: Sequence[str]
) -> list[NDArray[np.float32]]:
    """The states that a probe reads: for each sentence beside the reference, (tokens, layers times width)."""
    chats = [truth_prompt(question, reference, sentence) for sentence in sentences]
    return llm.hidden_states(chats, layers, truth_prompt(question, reference, _STAND_IN))


def reference_for(nearness: NDArray[np.float32], true: Sequence[str]) -> list[str]:
    """The true statements that sentences are judged by, from cosines of shape (sentences, statements).

    Each sentence's nearest one comes before any sentence's second.
    """
    best: dict[int, float] = {}
    for row in nearness:
        for rank, place in enumerate((-row).argsort()[:NEAREST].tolist()):
            best[place] = max(best.get(place, -float(NEAREST)), float(row[place]) - rank)
    return [true[place] for place in sorted(best, key=lambda place: -best[place])[:MAX_REFERENCE]]
