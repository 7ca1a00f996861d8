"""Products of int8 matrices on the processor: the ways torch has, and which of them serve on this machine.

Measured per layer of 8960 × 1536 on one Zen 5 core (`benchmarks/generation.py` measures the whole): oneDNN with
prepared weights 0.40 ms for one row, 0.45 for two, 2.4 for 64, 8.2 for 256; `_int_mm` 0.45, 1.4, 3.4 and 9.1; bf16
1.6, 1.6, 5.3 and 16.6. For 17,920 × 1,536 on two Zen 3 cores, which have AVX2 alone: FBGEMM 0.8 ms for one row, 1.2 for
four, 14 for 64, 62 for 256; oneDNN, which there is wrong with all levels, 4.0, 6.5, 18 and 45; float32 6.6, 22,
46 and 130.

The module is imported where a model is loaded, so it may import torch at its top.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Protocol

import torch

LEVELS = 127
"""Quantised weights go from -127 to 127, so that negation is exact; activations as far as their product allows."""

# Shifts signed numbers into uint8, which processors multiply with int8 in one instruction.
_OFFSET = 128
# Processors without VNNI cut the sum of two products to 16 bits: 2 · 127 · (64 + 65) just fits.
_FEWER_LEVELS, _SMALLER_OFFSET = 64, 65
_TEST_ROWS, _TEST_COLUMNS = 512, 1024  # of the weights that the ways are tried on
_TEST_TOKENS = (1, 256)  # a step of decoding, and a piece of a prompt
_TOO_SLOW = 0.02  # seconds; kernels take 0.001 for the larger of these, torch's plain loops 0.1
_ROUNDED = 4  # of sums up to 2^24: processors with AMX bring them to float32 while the offset is still in them
_TRIES = 8  # a busy machine can delay a few, hardly all

Multiply = Callable[[torch.Tensor], torch.Tensor]
"""From int8 (tokens, columns), which it may overwrite, to float32 (tokens, rows) scaled by the weights' scales."""


class Product(Protocol):
    """A way to multiply; activations may go from `-levels` to `levels`."""

    name: str
    levels: int

    def prepared(self, weight: torch.Tensor, scale: torch.Tensor) -> Multiply:
        """The product with int8 weights (rows, columns) and their scales (rows)."""
        ...


class OneDNN:
    """oneDNN's linear layer for uint8 activations, with weights brought into its own order once."""

    name = "oneDNN int8"
    levels = LEVELS

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
    levels = LEVELS

    def prepared(self, weight: torch.Tensor, scale: torch.Tensor) -> Multiply:
        """Nothing to prepare."""
        columns = weight.t()
        return lambda numbers: torch._int_mm(numbers, columns).float().mul_(scale)


class FBGEMM:
    """FBGEMM's linear layer, for processors that have AVX2 or AVX-512 and no VNNI: activations have half the levels."""

    name = "FBGEMM int8"
    levels = _FEWER_LEVELS

    def prepared(self, weight: torch.Tensor, scale: torch.Tensor) -> Multiply:
        """Reorder the weights into blocks."""
        zeros = torch.zeros(len(weight), dtype=torch.int64)
        quantised = torch._make_per_channel_quantized_tensor(weight, scale.double(), zeros, 0)
        packed = torch.ops.quantized.linear_prepack(quantised, None)
        product = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32

        def multiply(numbers: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = product(numbers.float(), 1.0, _SMALLER_OFFSET, packed)
            return out

        return multiply


def choose_product() -> Product | None:
    """The first way that is right here and no plain loop, or None; tried in 20 ms, not looked up by name."""
    with warnings.catch_warnings():
        # Once in a process torch says that a later release has no quantised tensors; then FBGEMM does not serve.
        warnings.filterwarnings("ignore", "torch.quantize_per_tensor", UserWarning)
        return next((product for product in (OneDNN(), IntMM(), FBGEMM()) if _serves(product)), None)


def _serves(product: Product) -> bool:
    generator = torch.Generator().manual_seed(0)
    shape = (_TEST_ROWS, _TEST_COLUMNS)
    weight = torch.randint(-LEVELS, LEVELS + 1, shape, generator=generator, dtype=torch.int8)
    weight[:2] = torch.tensor([[LEVELS], [-LEVELS]])  # sums at the edge overflow where products are cut to 16 bits
    expected = weight.float().t()
    try:
        multiply = product.prepared(weight, torch.ones(_TEST_ROWS))
        for tokens in _TEST_TOKENS:
            most = product.levels
            numbers = torch.randint(-most, most + 1, (tokens, _TEST_COLUMNS), generator=generator, dtype=torch.int8)
            numbers[0] = most
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
