"""Rotations that spread outliers before weights and activations are rounded to int8, without changing the model.

A few channels of the residual stream are hundreds of times larger than the rest, and a scale for each token then
leaves the rest few levels. Multiplying the stream by an orthogonal matrix spreads them. RMSNorm commutes with it
once its weights are folded into the next layer, so it is merged into the weights and costs nothing later
(QuaRot, https://arxiv.org/abs/2404.00456). Chosen by `benchmarks/generation.py --accuracy`.

The module is imported where a model is converted, so it may import torch at its top.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import lru_cache

import torch

_SEED = 0
# Channels that share their outliers before the last projection of a layer. With 64 levels of activations divergence
# from float32 is 0.0046 nats, over 32 channels 0.0060, without sharing 0.0456 (`benchmarks/README.md`).
_SPREAD = 64
_BLOCK = 1 << 19  # numbers, 2 MiB: a conversion in whole matrices spends half its time on fresh memory


class Rotation:
    """The orthogonal matrix R of a model: random signs, then a Hadamard matrix for each block of channels."""

    def __init__(self, hidden: int, head_size: int) -> None:
        generator = torch.Generator().manual_seed(_SEED)
        self.signs = torch.randint(0, 2, (hidden,), generator=generator).float() * 2 - 1
        self.head_size = head_size

    def reads(self, weight: torch.Tensor, norm: torch.Tensor | None = None) -> torch.Tensor:
        """Weights (rows, hidden) of a layer that reads the stream, with the norm before it folded in; float32."""
        factors = self.signs if norm is None else self.signs * norm.float()
        out = torch.empty(weight.shape, dtype=torch.float32)
        for rows in blocks(*weight.shape):
            out[rows] = hadamard(weight[rows] * factors)
        return out

    def writes(self, weight: torch.Tensor) -> torch.Tensor:
        """Weights (hidden, columns) of a layer that writes to the stream; float32."""
        out = torch.empty(weight.shape, dtype=torch.float32)
        for columns in blocks(weight.shape[1], weight.shape[0]):
            out[:, columns] = hadamard(weight[:, columns].t() * self.signs).t()
        return out

    def done(self, stream: torch.Tensor) -> torch.Tensor:
        """A residual stream (tokens, hidden) with the rotation."""
        return hadamard(stream * self.signs)

    def undone(self, stream: torch.Tensor) -> torch.Tensor:
        """The residual stream (tokens, hidden) as it is without the rotation."""
        return hadamard(stream) * self.signs

    def layer(self, layer: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """One decoder layer's tensors under transformers' names, rotated, in float32; its norms become ones.

        Values are rotated within each head too, between the value and the output projection.
        """
        turned = {name: tensor if tensor.ndim > 1 else tensor.float() for name, tensor in layer.items()}
        for norm, readers in (
            ("input_layernorm", ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")),
            ("post_attention_layernorm", ("mlp.gate_proj", "mlp.up_proj")),
        ):
            weight = turned[f"{norm}.weight"]
            turned[f"{norm}.weight"] = torch.ones_like(weight)
            for name in readers:
                turned[f"{name}.weight"] = self.reads(turned[f"{name}.weight"], weight)
        for name in ("self_attn.o_proj", "mlp.down_proj"):
            turned[f"{name}.weight"] = self.writes(turned[f"{name}.weight"])
            if f"{name}.bias" in turned:
                turned[f"{name}.bias"] = hadamard(turned[f"{name}.bias"] * self.signs)
        turned["self_attn.v_proj.weight"] = self._heads(turned["self_attn.v_proj.weight"].t()).t()
        if "self_attn.v_proj.bias" in turned:
            turned["self_attn.v_proj.bias"] = self._heads(turned["self_attn.v_proj.bias"])
        turned["self_attn.o_proj.weight"] = self._heads(turned["self_attn.o_proj.weight"])
        return turned

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        return hadamard(x.reshape(*x.shape[:-1], -1, self.head_size)).reshape(x.shape)


def blocks(count: int, width: int) -> Iterator[slice]:
    """Slices of `count` rows of `width` numbers that fit the processor's cache together with what is made of them."""
    step = max(1, _BLOCK // width)
    return (slice(begin, begin + step) for begin in range(0, count, step))


def hadamard(x: torch.Tensor) -> torch.Tensor:
    """Multiply the last dimension by Sylvester's Hadamard matrix, scaled to be orthogonal.

    A size that is no power of two is cut into blocks of the largest power that divides it. The matrix of a block
    is the Kronecker product of two small ones, which is a hundred times less work than the whole.
    """
    size = x.shape[-1]
    block = size & -size
    left = 1 << (block.bit_length() // 2)
    right = block // left
    y: torch.Tensor = x.reshape(-1, left, right) @ _sylvester(right)
    out: torch.Tensor = (y.transpose(1, 2) @ _sylvester(left)).transpose(1, 2).reshape(x.shape)
    return out


def spread(x: torch.Tensor) -> torch.Tensor:
    """Multiply each `_SPREAD` channels (…, channels) that lie equally far apart by an orthogonal Hadamard matrix.

    Between two matrices nothing can be merged across an activation function, so this is computed for every token, and
    each on its own: its numbers don't depend on how many are computed with it. Its own inverse, and symmetric.
    """
    size = x.shape[-1]
    block = math.gcd(size, _SPREAD)
    tokens = x.reshape(-1, block, size // block)
    return torch.bmm(_sylvester(block).expand(len(tokens), -1, -1), tokens).view(x.shape)


@lru_cache
def _sylvester(size: int) -> torch.Tensor:
    matrix = torch.ones(1, 1)
    while len(matrix) < size:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return matrix.mul_(size**-0.5)
