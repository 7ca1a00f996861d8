"""Networks of a probe in which the tokens of a sentence look at each other before each is judged.

What is false is often a matter of two words together ("the gradient … upwards"). One block of a transformer encoder
(Vaswani et al. 2017; normalised first, as in Xiong et al. 2020) over the states that the probe reads sees them so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coach.tokenwise import Tokenwise

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HEADS = 4
TINY = 1e-5  # beside a variance, as in training
_ALONE = "alone_"  # before the names of the arrays of the part that judges each token alone


@dataclass(frozen=True)
class Attention:
    """A network that adds to what each token says `alone` what the tokens say together.

    `inward` has shape (width, units), `places` (longest sentence, units), `mixed` (units, 3 units) for queries, keys
    and values, `joined` (units, units), `wide` (units, more), `narrow` (more, units), `out` (units,), each with its
    bias; `norm_…` are pairs of gain and offset, (2, units).
    """

    alone: Tokenwise
    inward: NDArray[np.float32]
    inward_bias: NDArray[np.float32]
    places: NDArray[np.float32]
    norm_before: NDArray[np.float32]
    mixed: NDArray[np.float32]
    mixed_bias: NDArray[np.float32]
    joined: NDArray[np.float32]
    joined_bias: NDArray[np.float32]
    norm_between: NDArray[np.float32]
    wide: NDArray[np.float32]
    wide_bias: NDArray[np.float32]
    narrow: NDArray[np.float32]
    narrow_bias: NDArray[np.float32]
    norm_after: NDArray[np.float32]
    out: NDArray[np.float32]

    def __call__(self, states: NDArray[np.float32]) -> NDArray[np.float32]:
        """How much likelier each token stands in a false sentence, (tokens,), from (tokens, width)."""
        import numpy as np

        x = self.alone.scaled(states)
        places = np.minimum(np.arange(len(x)), len(self.places) - 1)  # what lies beyond the longest lies at its end
        h = x @ self.inward + self.inward_bias + self.places[places]
        h = h + self._looked(_normalised(h, self.norm_before))
        wide = np.maximum(_normalised(h, self.norm_between) @ self.wide + self.wide_bias, 0)
        h = h + wide @ self.narrow + self.narrow_bias
        return np.asarray(_normalised(h, self.norm_after) @ self.out + self.alone.of_scaled(x), dtype=np.float32)

    def _looked(self, h: NDArray[np.float32]) -> NDArray[np.float32]:
        """What each token takes from the others, (tokens, units)."""
        import numpy as np

        tokens, units = h.shape
        split = (h @ self.mixed + self.mixed_bias).reshape(tokens, 3, HEADS, units // HEADS)
        query, key, value = split.transpose(1, 2, 0, 3)
        scores = query @ key.transpose(0, 2, 1) / np.sqrt(units // HEADS)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        together = (weights @ value).transpose(1, 0, 2).reshape(tokens, units)
        return np.asarray(together @ self.joined + self.joined_bias)

    @classmethod
    def load(cls, path: Path) -> tuple[Attention, ...]:
        """Read the networks of a file."""
        import numpy as np

        with np.load(path) as kept:
            arrays = {name: kept[name].astype(np.float32) for name in kept.files}
        layers = tuple(int(layer) for layer in arrays.pop("layers"))
        networks = []
        for n in range(len(arrays["out"])):
            own = {name: array[n] for name, array in arrays.items()}
            parts = {name.removeprefix(_ALONE): own.pop(name) for name in list(own) if name.startswith(_ALONE)}
            alone = Tokenwise(layers=layers, bias=float(parts.pop("bias")), **parts)
            networks.append(cls(alone=alone, **own))
        return tuple(networks)


def of_encoder_layer(arrays: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """The arrays of an `Attention` that those of a `torch.nn.TransformerEncoderLayer` are, from its by their names."""
    import numpy as np

    def pair(norm: str) -> NDArray[np.float32]:
        return np.stack([arrays[f"{norm}.weight"], arrays[f"{norm}.bias"]])

    return {
        "norm_before": pair("norm1"),
        "mixed": arrays["self_attn.in_proj_weight"].T,
        "mixed_bias": arrays["self_attn.in_proj_bias"],
        "joined": arrays["self_attn.out_proj.weight"].T,
        "joined_bias": arrays["self_attn.out_proj.bias"],
        "norm_between": pair("norm2"),
        "wide": arrays["linear1.weight"].T,
        "wide_bias": arrays["linear1.bias"],
        "narrow": arrays["linear2.weight"].T,
        "narrow_bias": arrays["linear2.bias"],
    }


def save(networks: tuple[Attention, ...], path: Path) -> None:
    """Write networks that read the same layers to a file, matrices in 16 bits."""
    import numpy as np

    parts = {field.name: [getattr(network, field.name) for network in networks] for field in fields(Attention)[1:]}
    parts |= {_ALONE + f.name: [getattr(network.alone, f.name) for network in networks] for f in fields(Tokenwise)[1:]}
    kept = {name: np.stack(arrays) for name, arrays in parts.items()}
    kept = {name: array.astype(np.float16) if array.ndim == 3 else array for name, array in kept.items()}
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(path, layers=networks[0].alone.layers, **kept)  # type: ignore[arg-type]


def _normalised(h: NDArray[np.floating[Any]], norm: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each row with mean 0 and variance 1, then scaled and moved (Ba, Kiros and Hinton 2016)."""
    import numpy as np

    centred = h - h.mean(axis=1, keepdims=True)
    gain, offset = norm
    return np.asarray(centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + TINY) * gain + offset)
