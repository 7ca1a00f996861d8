"""A probe: how probably a candidate's sentence is false, read from a model's hidden states.

A small model that reads a false sentence beside true ones stumbles at the words that are wrong, long before it can say
so. The probe, a few small networks, looks at each token of the sentence, and the strongest stumble counts. They are
trained on sentences of candidates that are marked true or false, on all topics alike (`benchmarks/train_probe.py` and
`benchmarks/train_attention.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from coach.attention import Attention
from coach.llm import LLM, HiddenStates
from coach.prompts import truth_prompt
from coach.tokenwise import Tokenwise

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BUILT_IN = Path(__file__).with_name("probes")  # files that the scripts write
SHARPNESS = 2.0  # of the soft maximum over the tokens; training and use have to agree
NEAREST = 3  # true statements that each sentence brings into the reference
MAX_REFERENCE = 12  # true statements in the reference of an answer
_STAND_IN = "x"  # begins the sentence in the prompt from which all others part


@dataclass(frozen=True)
class Probe:
    """What reads the states of one model: networks by token, and networks with attention that have half the say."""

    llm: HiddenStates
    tokenwise: Tokenwise
    attention: tuple[Attention, ...] = ()

    @classmethod
    def of(cls, llm: LLM) -> Probe | None:
        """The probe that was trained for a model; None where there is none."""
        path, beside = weights_file(llm.name), attention_file(llm.name)
        if not isinstance(llm, HiddenStates) or not path.exists():
            return None
        return cls(llm, Tokenwise.load(path), Attention.load(beside) if beside.exists() else ())

    def odds(self, question: str, reference: Sequence[str], sentences: Sequence[str]) -> list[float]:
        """For each sentence how much likelier it is false than true, in log-odds, not calibrated."""
        states = states_of(self.llm, self.tokenwise.layers, question, reference, sentences)
        return [self.odds_of(each) for each in states]

    def odds_of(self, states: NDArray[np.float32]) -> float:
        """The log-odds of one sentence from its states."""
        alone = soft_maximum(self.tokenwise(states))
        if not self.attention:
            return alone
        together = sum(soft_maximum(network(states)) for network in self.attention) / len(self.attention)
        return (alone + together) / 2


def soft_maximum(odds: NDArray[np.float32]) -> float:
    """A sentence's log-odds from those of its tokens: the strongest stumbles count."""
    import numpy as np

    each = SHARPNESS * odds
    return float((np.logaddexp.reduce(each) - np.log(len(each))) / SHARPNESS)


def weights_file(model: str) -> Path:
    """Where the networks by token for a model of this name are kept."""
    return BUILT_IN / f"{_plain(model)}.npz"


def attention_file(model: str) -> Path:
    """Where the networks with attention for a model of this name are kept."""
    return BUILT_IN / f"{_plain(model)}-attention.npz"


def points_file(model: str) -> Path:
    """Where the probe for key points of a model of this name is kept."""
    return BUILT_IN / f"{_plain(model)}-points.npz"


def _plain(model: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", model.lower()).strip("-")


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
