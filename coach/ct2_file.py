"""A model in CTranslate2's binary format: where its matrices lie, and how changes of low rank are added to them."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from coach.errors import WeightsError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION = 6  # of the format (ctranslate2/specs/model_spec.py writes it)
FLOAT16 = 4  # how the format numbers 16-bit floating point among its types
UP, DOWN = "/up", "/down"  # how the two factors of a change are named in a file of them


@dataclass(frozen=True)
class Variable:
    """A named array of a model file: its type as the format numbers it, its shape, and where its bytes begin."""

    kind: int
    shape: tuple[int, ...]
    offset: int

    def values(self, path: Path) -> NDArray[np.float16]:
        """What it holds; the type has to be `FLOAT16`."""
        import numpy as np

        flat = np.fromfile(path, dtype="<f2", count=math.prod(self.shape), offset=self.offset)
        return flat.reshape(self.shape).astype(np.float16, copy=False)


def variables(path: Path) -> dict[str, Variable]:
    """The arrays of a model file by name; raises `WeightsError` when it is of another version or cut off."""
    found: dict[str, Variable] = {}
    with path.open("rb") as file:
        try:
            version = _number(file, "I")
            if version != VERSION:
                raise WeightsError(f"{path} is in version {version} of its format; version {VERSION} can be read.")
            _text(file)  # what kind of model
            _number(file, "I")  # its revision
            for _ in range(_number(file, "I")):
                name = _text(file)
                shape = tuple(_number(file, "I") for _ in range(_number(file, "B")))
                kind, size = _number(file, "B"), _number(file, "I")
                found[name] = Variable(kind, shape, file.tell())
                file.seek(size, 1)
        except struct.error as error:
            raise WeightsError(f"{path} ends before its arrays do; delete it and start again.") from error
    return found


def add_changes(path: Path, changes: Mapping[str, NDArray[np.float16]]) -> None:
    """Add to matrices of a model file, in place, the products `up` (rows, rank) times `down` (rank, columns).

    `changes` holds both under the matrix's name followed by `UP` and `DOWN` (Hu et al. 2021, arXiv 2106.09685).
    """
    held = variables(path)
    with path.open("r+b") as file:
        for name in (key.removesuffix(UP) for key in changes if key.endswith(UP)):
            up, down = changes[name + UP].astype("f4"), changes[name + DOWN].astype("f4")
            matrix = held.get(name)
            if matrix is None or matrix.kind != FLOAT16 or matrix.shape != (len(up), down.shape[1]):
                raise WeightsError(
                    f"The change for {name!r} is for 16 bits of shape {(len(up), down.shape[1])}; {path} has {matrix}."
                )
            changed = matrix.values(path).astype("f4") + up @ down
            file.seek(matrix.offset)
            file.write(changed.astype("<f2").tobytes())


def _number(file: BinaryIO, kind: str) -> int:
    layout = "<" + kind
    number: int = struct.unpack(layout, file.read(struct.calcsize(layout)))[0]
    return number


def _text(file: BinaryIO) -> str:
    return file.read(_number(file, "H"))[:-1].decode()
