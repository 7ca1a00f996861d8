"""Networks of a probe that judge each token of a sentence by its own state alone."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Tokenwise:
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
        return self.of_scaled(self.scaled(states))

    def scaled(self, states: NDArray[np.float32]) -> NDArray[np.float32]:
        """States as the network takes them."""
        return (states - self.mean) / self.scale

    def of_scaled(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the network makes of scaled states, (tokens,)."""
        import numpy as np

        units = np.maximum(x @ self.hidden + self.hidden_bias, 0)
        return np.asarray(units @ self.out + x @ self.direct + self.bias, dtype=np.float32)

    @classmethod
    def load(cls, path: Path) -> Tokenwise:
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
