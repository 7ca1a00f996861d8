"""Reading GGUF files: metadata, tensors, and the blocks that llama.cpp packs weights into.

Only what a converter needs. The layout follows the GGUF specification (ggml, `docs/gguf.md`), the blocks follow
`block_q4_K` and `block_q6_K` of ggml. The types that Q4_K_M files are made of are unpacked with torch on all
cores, several times as fast as the `gguf` package's numpy; every other type is left to that package.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coach.errors import WeightsError

if TYPE_CHECKING:
    import numpy as np
    import torch

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_Q4_K, _Q6_K = 12, 14
_CHUNK = 1 << 20  # values unpacked at a time, so that the pieces stay in the processor's cache


@dataclass(frozen=True)
class Tensor:
    """Where a tensor lies: `shape` is (rows, …, columns) as torch counts; `kind` is ggml's type number."""

    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int  # bytes from the start of the file


class GGUFFile:
    """An open GGUF file; raises `WeightsError` when it is not one."""

    def __init__(self, path: Path, metadata: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        self.path = path
        self.metadata = metadata
        self.tensors = tensors

    @classmethod
    def open(cls, path: Path) -> GGUFFile:
        """Read the metadata and the list of tensors."""
        with path.open("rb") as file:
            if file.read(4) != _MAGIC:
                raise WeightsError(f"{path} is not a GGUF file: it does not begin with GGUF. Name another file.")
        import numpy as np

        data = np.memmap(path, dtype=np.uint8, mode="r")
        try:
            metadata, tensors = _parse(data.data)
        except (struct.error, KeyError, UnicodeDecodeError, IndexError) as error:
            raise WeightsError(
                f"{path} is not a readable GGUF file: {error!r}. Fetch it again, or name another file."
            ) from error
        return cls(path, metadata, tensors)

    @property
    def architecture(self) -> str:
        """The model family, such as "qwen2"."""
        return str(self.metadata.get("general.architecture", ""))

    def field(self, name: str) -> Any:
        """A metadata field of the model's own family (`qwen2.block_count`); raises `WeightsError`."""
        key = f"{self.architecture}.{name}"
        if key not in self.metadata:
            raise WeightsError(f"{self.path} has no field {key}. Fetch it again, or name another file.")
        return self.metadata[key]

    def tensor(self, name: str, dtype: torch.dtype) -> torch.Tensor:
        """One tensor with its values unpacked, in `dtype`; raises `WeightsError` when it is missing or cut off."""
        import numpy as np
        import torch

        if name not in self.tensors:
            raise WeightsError(f"{self.path} has no tensor {name}. Fetch it again, or name another file.")
        tensor = self.tensors[name]
        block_values, block_bytes = _block(tensor.kind)
        count = int(np.prod(tensor.shape))
        size = count // block_values * block_bytes
        data = np.memmap(self.path, dtype=np.uint8, mode="r")[tensor.offset : tensor.offset + size]
        if len(data) != size:
            raise WeightsError(f"{self.path} ends inside tensor {name}. Fetch it again, or name another file.")
        unpack = {_Q4_K: _unpack_q4_k, _Q6_K: _unpack_q6_k}.get(tensor.kind)
        out = torch.empty(count, dtype=dtype)
        step = _CHUNK // block_values
        blocks = data.reshape(-1, block_bytes)
        for begin in range(0, len(blocks), step):
            piece = blocks[begin : begin + step]
            if unpack is None:
                values = torch.from_numpy(_dequantise(np.array(piece).reshape(-1), tensor.kind))
            else:
                values = unpack(torch.from_numpy(np.array(piece)))
            out[begin * block_values : begin * block_values + values.numel()] = values.view(-1)
        return out.view(tensor.shape)


def _block(kind: int) -> tuple[int, int]:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    values, size = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
    return int(values), int(size)


def _dequantise(piece: np.ndarray[Any, Any], kind: int) -> np.ndarray[Any, Any]:
    """Values of any type, float32; `piece` is flat because the package goes row by row in Python."""
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize

    values: np.ndarray[Any, Any] = dequantize(piece, GGMLQuantizationType(kind))
    return values.reshape(-1).astype("float32")


def _half(blocks: torch.Tensor, at: int) -> torch.Tensor:
    import torch

    return blocks[:, at : at + 2].contiguous().view(torch.float16).float()


def _unpack_q4_k(blocks: torch.Tensor) -> torch.Tensor:
    """(blocks, 144) bytes to (blocks, 256) values: eight groups of 32 with a six-bit scale and minimum each."""
    import torch

    scale, minimum = _half(blocks, 0), _half(blocks, 2)
    packed = blocks[:, 4:16]
    low, mid, high = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scales = torch.cat([low & 63, (high & 15) | (low >> 6 << 4)], dim=1).float() * scale
    minima = torch.cat([mid & 63, (high >> 4) | (mid >> 6 << 4)], dim=1).float() * minimum
    quants = blocks[:, 16:].view(-1, 4, 32)
    values = torch.stack([quants & 15, quants >> 4], dim=2).view(-1, 8, 32).float()
    return values.mul_(scales[:, :, None]).sub_(minima[:, :, None])


def _unpack_q6_k(blocks: torch.Tensor) -> torch.Tensor:
    """(blocks, 210) bytes to (blocks, 256) values: sixteen groups of 16 with an eight-bit scale each."""
    import torch

    low = blocks[:, :128].view(-1, 2, 64)
    high = blocks[:, 128:192].view(-1, 2, 32)
    scales = blocks[:, 192:208].contiguous().view(torch.int8).float() * _half(blocks, 208)
    low = torch.stack([low & 15, low >> 4], dim=2).view(-1, 2, 4, 32)
    high = torch.stack([high & 3, high >> 2 & 3, high >> 4 & 3, high >> 6], dim=2)
    values = (low | high << 4).view(-1, 16, 16).float().sub_(32)
    return values.mul_(scales[:, :, None])


def _parse(data: memoryview) -> tuple[dict[str, Any], dict[str, Tensor]]:
    version, tensor_count, field_count = struct.unpack_from("<IQQ", data, 4)
    if version not in _VERSIONS:
        raise WeightsError(f"GGUF version {version} is not known; known are {_VERSIONS}. Convert the file anew.")
    at = 24
    metadata: dict[str, Any] = {}
    for _ in range(field_count):
        key, at = _string(data, at)
        (kind,) = struct.unpack_from("<I", data, at)
        metadata[key], at = _value(data, at + 4, kind)
    places: list[tuple[str, tuple[int, ...], int, int]] = []
    for _ in range(tensor_count):
        name, at = _string(data, at)
        (rank,) = struct.unpack_from("<I", data, at)
        shape = struct.unpack_from(f"<{rank}Q", data, at + 4)
        kind, offset = struct.unpack_from("<IQ", data, at + 4 + 8 * rank)
        at += 16 + 8 * rank
        places.append((name, tuple(reversed(shape)), kind, offset))
    alignment = int(metadata.get("general.alignment", 32))
    start = -(-at // alignment) * alignment
    return metadata, {n: Tensor(n, shape, kind, start + offset) for n, shape, kind, offset in places}


def _string(data: memoryview, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("<Q", data, at)
    begin = at + 8
    return bytes(data[begin : begin + length]).decode("utf-8"), begin + int(length)


def _value(data: memoryview, at: int, kind: int) -> tuple[Any, int]:
    if kind == _STRING:
        return _string(data, at)
    if kind != _ARRAY:
        form = "<" + _SCALARS[kind]
        return struct.unpack_from(form, data, at)[0], at + struct.calcsize(form)
    inner, length = struct.unpack_from("<IQ", data, at)
    at += 12
    if inner in _SCALARS:
        form = f"<{length}{_SCALARS[inner]}"
        return list(struct.unpack_from(form, data, at)), at + struct.calcsize(form)
    values = []
    for _ in range(length):
        value, at = _value(data, at, inner)
        values.append(value)
    return values, at
