"""A cross-encoder: how probably a candidate's sentence is false, read beside what is true and a misconception.

It is MiniLM, the encoder that also searches, with differences of low rank to its weights, trained on sentences of
candidates that are marked true or false (`benchmarks/train_cross_encoder.py`). It needs no language model, so that it
reads for those that have no probe, an answer in a tenth of a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from coach.encoder import without_bars
from coach.errors import CoachError
from coach.plain_text import readable
from coach.weights import encoder_folder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DIFFERENCES = Path(__file__).with_name("probes") / "minilm.npz"  # written by `benchmarks/train_cross_encoder.py`
MAX_TOKENS = 200  # of a sentence and what it is read beside: 16 of the 30,254 examples trained on have more
AT_ONCE = 32  # sentences in a batch
NEAREST = 2  # true statements that a sentence is read beside


@dataclass(frozen=True)
class Beside:
    """A sentence with the true statements nearest to it and the misconception nearest to it; empty if there is none."""

    sentence: str
    true: tuple[str, ...]
    claim: str = ""

    def texts(self, question: str) -> tuple[str, str]:
        """What the cross-encoder reads: the sentence, and all that it is compared with."""
        compared = [question, *(f"+ {statement}" for statement in self.true), *([f"- {self.claim}"] * bool(self.claim))]
        return readable(self.sentence), readable(" ".join(compared))


class Contradictions(Protocol):
    """Anything that tells false sentences from true ones."""

    def odds(self, question: str, compared: Sequence[Beside]) -> list[float]:
        """For each sentence how much likelier it is false than true, in log-odds, not calibrated."""
        ...


class CrossEncoder:
    """A transformer encoder with a linear layer on its first state and on the mean state of the sentence."""

    def __init__(self, model: Any, tokenizer: Any, head: Any) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.head = head

    @classmethod
    def untrained(cls) -> CrossEncoder:
        """MiniLM as it comes, with a head that says nothing yet; raises `WeightsError` where it is not installed."""
        import torch
        from transformers import AutoModel, AutoTokenizer

        folder = encoder_folder()
        without_bars()
        # Drawing what to drop would take a third of the time of training.
        still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        model = AutoModel.from_pretrained(folder, **still)
        head = torch.nn.Linear(2 * model.config.hidden_size, 1)
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
        return cls(model, AutoTokenizer.from_pretrained(folder), head)

    @classmethod
    def load(cls) -> CrossEncoder | None:
        """The trained one; None where MiniLM is not installed."""
        import numpy as np
        import torch

        try:
            read = cls.untrained()
        except CoachError:
            return None
        with np.load(DIFFERENCES) as kept:
            arrays = {name: torch.tensor(kept[name].astype(np.float32)) for name in kept.files}
        with torch.no_grad():
            for name, weight in (*read.model.named_parameters(), *read.head.named_parameters(prefix="head")):
                if f"{name}.rows" in arrays:
                    weight += arrays[f"{name}.rows"] @ arrays[f"{name}.columns"]
                elif name in arrays:
                    weight += arrays[name]
        read.model.eval()
        return read

    def odds(self, question: str, compared: Sequence[Beside]) -> list[float]:
        """For each sentence how much likelier it is false than true, in log-odds, not calibrated."""
        return self.odds_of([one.texts(question) for one in compared])

    def odds_of(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """The same for pairs of texts as `Beside.texts` makes them."""
        import torch

        found: list[float] = []
        with torch.inference_mode():
            for begin in range(0, len(pairs), AT_ONCE):
                found += self.logits(pairs[begin : begin + AT_ONCE]).tolist()
        return found

    def logits(self, pairs: Sequence[tuple[str, str]]) -> Any:
        """The log-odds as a tensor of shape (pairs,)."""
        import torch

        read = self.tokenizer(
            [said for said, _ in pairs],
            [compared for _, compared in pairs],
            truncation=True,
            max_length=MAX_TOKENS,
            padding=True,
            return_tensors="pt",
        )
        states = self.model(**read).last_hidden_state.float()
        own = ((read["token_type_ids"] == 0) & (read["attention_mask"] == 1))[..., None]
        mean = (states * own).sum(dim=1) / own.sum(dim=1)
        return self.head(torch.cat([states[:, 0], mean], dim=-1))[:, 0]


def low_rank(difference: NDArray[np.float32], rank: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Two factors, (rows, rank) and (rank, columns), whose product is the nearest of that rank to a matrix."""
    import numpy as np

    rows, sizes, columns = np.linalg.svd(difference, full_matrices=False)
    root = np.sqrt(sizes[:rank])
    return rows[:, :rank] * root, root[:, None] * columns[:rank]
