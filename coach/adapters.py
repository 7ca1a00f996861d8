"""Adapters: small networks between the layers of a model that make it a reader of one kind of text.

Each adds to a token's state what one hidden layer makes of it; the model's own weights stay as they are (Houlsby et al.
2019, https://arxiv.org/abs/1902.00751). They take a state with a mean square of 1 and add in proportion to its size, so
that they need not know how large states are in a layer.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Adapters:
    """Networks after layer `first` and after each further one, and what is read is the stream a layer after the last.

    `down` has shape (layers, width, units), `bias` (layers, units), `up` (layers, units, width).
    """

    first: int
    down: NDArray[np.float32]
    bias: NDArray[np.float32]
    up: NDArray[np.float32]

    @property
    def last(self) -> int:
        """The layer after which the stream is read."""
        return self.first + len(self.down)

    @classmethod
    def load(cls, path: Path) -> Adapters:
        """Read them from a file."""
        import numpy as np

        with np.load(path) as kept:
            arrays = {name: kept[name].astype(np.float32) for name in kept.files}
        return cls(first=int(arrays.pop("first")), **arrays)

    def save(self, path: Path) -> None:
        """Write them to a file, matrices in 16 bits."""
        import numpy as np

        kept = {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}
        kept |= {name: kept[name].astype(np.float16) for name in ("down", "up")}
        path.parent.mkdir(exist_ok=True)
        np.savez_compressed(path, **kept)  # type: ignore[arg-type]
