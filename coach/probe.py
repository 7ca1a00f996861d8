"""A linear probe: how probably a candidate's sentence is false, read from a model's hidden states.

A small model that reads a false sentence beside true ones stumbles at the words that are wrong, long before it can say
so. The probe looks at each token of the sentence and takes the strongest stumble. It is trained on sentences of
candidates that people marked true or false (`benchmarks/train_probe.py`), on all topics alike.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from coach.llm import LLM, HiddenStates
from coach.prompts import truth_prompt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BUILT_IN = Path(__file__).with_name("probes.json")  # written by `python benchmarks/train_probe.py`
SHARPNESS = 2.0  # of the soft maximum over the tokens; training and use have to agree
NEAREST = 3  # true statements that each sentence brings into the reference
MAX_REFERENCE = 12  # true statements in the reference of an answer
_STAND_IN = "x"  # begins the sentence in the prompt from which all others part


@dataclass(frozen=True)
class Probe:
    """Weights on the states of one model after some of its layers, side by side."""

    llm: HiddenStates
    layers: tuple[int, ...]
    bias: float
    weights: NDArray[np.float32]

    @classmethod
    def of(cls, llm: LLM) -> Probe | None:
        """The probe that was trained for a model; None where there is none."""
        import numpy as np

        kept = json.loads(BUILT_IN.read_text(encoding="utf-8")).get(llm.name)
        if kept is None or not isinstance(llm, HiddenStates):
            return None
        return cls(llm, tuple(kept["layers"]), kept["bias"], np.array(kept["weights"], dtype=np.float32))

    def odds(self, question: str, reference: Sequence[str], sentences: Sequence[str]) -> list[float]:
        """For each sentence how much likelier it is false than true, in log-odds, not calibrated."""
        return [self.odds_of(s) for s in states_of(self.llm, self.layers, question, reference, sentences)]

    def odds_of(self, states: NDArray[np.float32]) -> float:
        """The log-odds of one sentence from its states: the soft maximum over its tokens."""
        import numpy as np

        each = SHARPNESS * (states @ self.weights + self.bias)
        return float((np.logaddexp.reduce(each) - np.log(len(each))) / SHARPNESS)


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
