"""Products of int8 matrices on the processor: the ways torch has, and which of them serve on this machine.

Measured per layer of 8960 × 1536 on one Zen 5 core (`benchmarks/generation.py` measures the whole): oneDNN with
prepared weights 0.40 ms for one row, 0.45 for two, 2.4 for 64, 8.2 for 256; `_int_mm` 0.45, 1.4, 3.4 and 9.1; bf16
1.6, 1.6, 5.3 and 16.6.

The module is imported where a model is loaded, so it may import torch at its top.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import torch

LEVELS = 127
"""Quantised numbers go from -127 to 127, so that negation is exact."""

_OFFSET = 128  # shifts signed numbers into uint8, which processors multiply with int8 in one instruction
_TEST_ROWS, _TEST_COLUMNS = 512, 1024  # of the weights that the ways are tried on
_TEST_TOKENS = (1, 256)  # a step of decoding, and a piece of a prompt
_TOO_SLOW = 0.02  # seconds; kernels take 0.001 for the larger of these, torch's plain loops 0.1
_ROUNDED = 4  # of sums up to 2^24: processors with AMX bring them to float32 while the offset is still in them
_TRIES = 8  # a busy machine can delay a few, hardly all

Multiply = Callable[[torch.Tensor], torch.Tensor]
"""From int8 (tokens, columns), which it may overwrite, to float32 (tokens, rows) scaled by the weights' scales."""


class Product(Protocol):
    """A way to multiply."""

    name: str

    def prepared(self, weight: torch.Tensor, scale: torch.Tensor) -> Multiply:
        """The product with int8 weights (rows, columns) and their scales (rows)."""
        ...


class OneDNN:
    """oneDNN's linear layer for uint8 activations, with weights brought into its own order once."""

    name = "oneDNN int8"

    def prepared(self, weight: torch.Tensor, scale: torch.Tensor) -> Multiply:
        """Reorder the weights (0.1 s for 14 MB on one core)."""
        ops = torch.ops.onednn
        packed = ops.qlinear_prepack(weight, None)
        zeros = torch.zeros(len(weight), dtype=torch.int64)

        def multiply(numbers: torch.Tensor) -> torch.Tensor:
            shifted = numbers.bitwise_xor_(-_OFFSET).view(torch.uint8)  # adds the offset: flips the highest bit
            out: torch.Tensor = ops.qlinear_pointwise(
                shifted, 1.0, _OFFSET, packed, scale, zeros, None, 1.0, 0, torch.float32, "none", [], ""
            )
            return out

        return multiply


class IntMM:
    """torch's own int8 product, which reads the weights as they are."""

    name = "int8"

    def prepared(self, weight: torch.Tensor, scale: torch.Tensor) -> Multiply:
        """Nothing to prepare."""
        columns = weight.t()
        return lambda numbers: torch._int_mm(numbers, columns).float().mul_(scale)


def choose_product() -> Product | None:
    """The first way that is right here and no plain loop, or None; tried in 20 ms, not looked up by name."""
    return next((product for product in (OneDNN(), IntMM()) if _serves(product)), None)


def _serves(product: Product) -> bool:
    generator = torch.Generator().manual_seed(0)
    shape = (_TEST_ROWS, _TEST_COLUMNS)
    weight = torch.randint(-LEVELS, LEVELS + 1, shape, generator=generator, dtype=torch.int8)
    weight[:2] = torch.tensor([[LEVELS], [-LEVELS]])  # sums at the edge overflow where products are cut to 16 bits
    expected = weight.float().t()
    try:
        multiply = product.prepared(weight, torch.ones(_TEST_ROWS))
        for tokens in _TEST_TOKENS:
            numbers = torch.randint(-LEVELS, LEVELS + 1, (tokens, _TEST_COLUMNS), generator=generator, dtype=torch.int8)
            numbers[0] = LEVELS
            if not torch.allclose(multiply(numbers.clone()), numbers.float() @ expected, rtol=0, atol=_ROUNDED):
                return False
            if not _is_quick(multiply, numbers):
                return False
    except (RuntimeError, AttributeError, NotImplementedError):  # this build of torch lacks it: the next one is tried
        return False
    return True


def _is_quick(multiply: Multiply, numbers: torch.Tensor) -> bool:
    for _ in range(_TRIES):
        copy = numbers.clone()
        began = time.perf_counter()
        multiply(copy)
        if time.perf_counter() - began < _TOO_SLOW:
            return True
    return False
