"""A probe: how probably a candidate's sentence is false, read from a model's hidden states.

A small model that reads a false sentence beside true ones stumbles at the words that are wrong, long before it can say
so. The probe, a few small networks, looks at each token of the sentence, and the strongest stumble counts. Some read
the model as it is, others with adapters between its layers. They are trained on sentences of candidates that are marked
true or false, on all topics alike (`benchmarks/train_probe.py`, `train_attention.py` and `train_adapters.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from coach.adapters import Adapters
from coach.attention import Attention
from coach.llm import LLM, HiddenStates
from coach.prompts import truth_prompt
from coach.tokenwise import Tokenwise

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BUILT_IN = Path(__file__).with_name("probes")  # files that the scripts write
# Of what adapters lead to, beside 1 of the other networks: 204 of 242 development errors at 13 alarms; with half of it
# 201, with twice 204 at 14, with the adapters alone 193 at 13 (`benchmarks/README.md`).
ADAPTED_SAY = 1.0
SHARPNESS = 2.0  # of the soft maximum over the tokens; training and use have to agree
NEAREST = 3  # true statements that each sentence brings into the reference
MAX_REFERENCE = 12  # true statements in the reference of an answer
_STAND_IN = "x"  # begins the sentence in the prompt from which all others part


@dataclass(frozen=True)
class Adapted:
    """Adapters for one model, and the networks by token that read the stream they lead to."""

    adapters: Adapters
    reader: Tokenwise

    @classmethod
    def load(cls, model: str) -> Adapted | None:
        """Those that were trained for a model of this name; None where there are none."""
        path = adapters_file(model)
        return cls(Adapters.load(path), Tokenwise.load(adapted_file(model))) if path.exists() else None

    def save(self, model: str) -> None:
        """Write them to where `load` looks for them."""
        self.adapters.save(adapters_file(model))
        self.reader.save(adapted_file(model))


@dataclass(frozen=True)
class Probe:
    """What reads the states of one model: networks by token, and networks with attention that have half the say.

    Where there are adapters, what they make of the model has `ADAPTED_SAY` times the say of these.
    """

    llm: HiddenStates
    tokenwise: Tokenwise
    attention: tuple[Attention, ...] = ()
    adapted: Adapted | None = None

    @classmethod
    def of(cls, llm: LLM) -> Probe | None:
        """The probe that was trained for a model; None where there is none."""
        path, beside = weights_file(llm.name), attention_file(llm.name)
        if not isinstance(llm, HiddenStates) or not path.exists():
            return None
        attention = Attention.load(beside) if beside.exists() else ()
        return cls(llm, Tokenwise.load(path), attention, Adapted.load(llm.name))

    def odds(self, question: str, reference: Sequence[str], sentences: Sequence[str]) -> list[float]:
        """For each sentence how much likelier it is false than true, in log-odds, not calibrated."""
        adapters = self.adapted.adapters if self.adapted else None
        states = states_of(self.llm, self.tokenwise.layers, question, reference, sentences, adapters)
        return [self.odds_of(each) for each in states]

    def odds_of(self, states: NDArray[np.float32]) -> float:
        """The log-odds of one sentence from its states, those that adapters lead to after the others."""
        width = len(self.tokenwise.mean)
        plain, changed = states[:, :width], states[:, width:]
        odds = soft_maximum(self.tokenwise(plain))
        if self.attention:
            odds = (odds + sum(soft_maximum(each(plain)) for each in self.attention) / len(self.attention)) / 2
        if self.adapted:
            odds = (odds + ADAPTED_SAY * soft_maximum(self.adapted.reader(changed))) / (1 + ADAPTED_SAY)
        return odds


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


def adapters_file(model: str) -> Path:
    """Where the adapters for a model of this name are kept."""
    return BUILT_IN / f"{_plain(model)}-adapters.npz"


def adapted_file(model: str) -> Path:
    """Where the networks that read a model of this name with its adapters are kept."""
    return BUILT_IN / f"{_plain(model)}-adapted.npz"


def points_file(model: str) -> Path:
    """Where the probe for key points of a model of this name is kept."""
    return BUILT_IN / f"{_plain(model)}-points.npz"


def _plain(model: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", model.lower()).strip("-")


def states_of(
    llm: HiddenStates,
    layers: Sequence[int],
    question: str,
    reference: Sequence[str],
    sentences: Sequence[str],
    adapters: Adapters | None = None,
) -> list[NDArray[np.float32]]:
    """The states that a probe reads: for each sentence beside the reference, (tokens, layers times width)."""
    chats = [truth_prompt(question, reference, sentence) for sentence in sentences]
    return llm.hidden_states(chats, layers, truth_prompt(question, reference, _STAND_IN), adapters)


def reference_for(nearness: NDArray[np.float32], true: Sequence[str]) -> list[str]:
    """The true statements that sentences are judged by, from cosines of shape (sentences, statements).

    Each sentence's nearest one comes before any sentence's second.
    """
    best: dict[int, float] = {}
    for row in nearness:
        for rank, place in enumerate((-row).argsort()[:NEAREST].tolist()):
            best[place] = max(best.get(place, -float(NEAREST)), float(row[place]) - rank)
    return [true[place] for place in sorted(best, key=lambda place: -best[place])[:MAX_REFERENCE]]
