"""Eight-bit layers for the processor: weights are int8 with a scale for each row, activations int8 for each token.

The module is imported where a model is loaded, so it may import torch at its top.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

_LEVELS = 127  # int8 without -128, so that negation is exact
_TINY = 1e-12  # keeps a row of zeros from dividing by zero


def pack(weight: torch.Tensor) -> dict[str, torch.Tensor]:
    """Quantise float weights (rows, columns) to `weight` int8 and `scale` float32 (rows)."""
    scale = weight.abs().amax(dim=1).clamp_(min=_TINY) / _LEVELS
    return {"weight": (weight / scale[:, None]).round_().to(torch.int8), "scale": scale}


def pack_layer(layer: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """One decoder layer's tensors under transformers' names, as the float32 state of `Int8DecoderLayer`."""
    joined = {
        "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        "o": ("self_attn.o_proj",),
        "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
        "down": ("mlp.down_proj",),
    }
    state: dict[str, torch.Tensor] = {}
    for name, parts in joined.items():
        packed = pack(torch.cat([layer[f"{part}.weight"] for part in parts]))
        state |= {f"{name}.{key}": tensor for key, tensor in packed.items()}
        if f"{parts[0]}.bias" in layer:
            state[f"{name}.bias"] = torch.cat([layer[f"{part}.bias"] for part in parts])
    names = {
        "input_norm": "input_layernorm",
        "post_norm": "post_attention_layernorm",
        "q_norm": "self_attn.q_norm",
        "k_norm": "self_attn.k_norm",
    }
    state |= {name: layer[f"{there}.weight"] for name, there in names.items() if f"{there}.weight" in layer}
    return state


class Int8Linear(nn.Module):
    """A linear layer with int8 weights; float32 in, float32 out."""

    weight: torch.Tensor
    scale: torch.Tensor
    bias: torch.Tensor | None

    def __init__(self, rows: int, columns: int, bias: bool = False) -> None:
        super().__init__()
        self.register_buffer("weight", torch.empty((rows, columns), dtype=torch.int8))
        self.register_buffer("scale", torch.empty(rows, dtype=torch.float32))
        self.register_buffer("bias", torch.empty(rows, dtype=torch.float32) if bias else None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(…, columns) to (…, rows)."""
        flat = x.reshape(-1, x.shape[-1]).float()
        amount = flat.abs().amax(dim=1, keepdim=True).clamp_(min=_TINY) / _LEVELS
        quants = (flat / amount).round_().to(torch.int8)
        out = torch._int_mm(quants, self.weight.t()).float().mul_(self.scale).mul_(amount)
        if self.bias is not None:
            out += self.bias
        return out.view(*x.shape[:-1], -1)


class FloatEmbedding(nn.Module):
    """Token embeddings kept in bf16 and given out in float32, which is what the int8 layers compute in."""

    weight: torch.Tensor

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.empty((rows, columns), dtype=torch.bfloat16))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """(batch, tokens) to (batch, tokens, columns)."""
        return F.embedding(ids, self.weight).float()


class Int8DecoderLayer(nn.Module):
    """A decoder layer of the Llama kind (Llama, Mistral, Qwen2, Qwen3) with joined int8 projections.

    The residual stream and norms are float32, keys and values bf16.
    """

    input_norm: torch.Tensor
    post_norm: torch.Tensor
    q_norm: torch.Tensor | None
    k_norm: torch.Tensor | None

    def __init__(self, config: Any, index: int) -> None:
        super().__init__()
        hidden = config.hidden_size
        self.index = index
        self.eps = config.rms_norm_eps
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.head_size = getattr(config, "head_dim", None) or hidden // self.heads
        bias = config.model_type == "qwen2" or bool(getattr(config, "attention_bias", False))
        rows = (self.heads + 2 * self.kv_heads) * self.head_size
        self.qkv = Int8Linear(rows, hidden, bias)
        self.o = Int8Linear(hidden, self.heads * self.head_size, bias and config.model_type != "qwen2")
        self.gate_up = Int8Linear(2 * config.intermediate_size, hidden)
        self.down = Int8Linear(hidden, config.intermediate_size)
        for name in ("input_norm", "post_norm"):
            self.register_buffer(name, torch.empty(hidden, dtype=torch.float32))
        for name in ("q_norm", "k_norm"):
            size = torch.empty(self.head_size, dtype=torch.float32) if config.model_type == "qwen3" else None
            self.register_buffer(name, size)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        position_embeddings: tuple[torch.Tensor, torch.Tensor] | None = None,
        past_key_values: Any = None,
        **_: Any,
    ) -> torch.Tensor:
        """(batch, tokens, hidden) to the same, appending keys and values to `past_key_values`."""
        assert position_embeddings is not None
        x = hidden_states
        batch, length, _hidden = x.shape
        qkv = self.qkv(self._norm(x, self.input_norm))
        qkv = qkv.view(batch, length, self.heads + 2 * self.kv_heads, self.head_size)
        qk, v = qkv[:, :, : -self.kv_heads], qkv[:, :, -self.kv_heads :]
        if self.q_norm is not None and self.k_norm is not None:
            q, k = qk[:, :, : self.heads], qk[:, :, self.heads :]
            qk = torch.cat([self._norm(q, self.q_norm), self._norm(k, self.k_norm)], dim=2)
        qk = _rotated(qk, *position_embeddings).to(torch.bfloat16).transpose(1, 2)
        q, k = qk[:, : self.heads], qk[:, self.heads :]
        v = v.to(torch.bfloat16).transpose(1, 2)
        if past_key_values is not None:
            k, v = past_key_values.update(k, v, self.index)
        mixed = attend(q, k, v, attention_mask, self.head_size**-0.5)
        x = x + self.o(mixed.reshape(batch, length, -1))
        gate, up = self.gate_up(self._norm(x, self.post_norm)).chunk(2, dim=-1)
        out: torch.Tensor = x + self.down(F.silu(gate) * up)
        return out

    def _norm(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return F.rms_norm(x, (x.shape[-1],), weight, self.eps)


def _rotated(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary position embedding (https://arxiv.org/abs/2104.09864) of (batch, tokens, heads, head size)."""
    half = x.shape[-1] // 2
    c, s = cos[..., None, :half].float(), sin[..., None, :half].float()
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * c - second * s, second * c + first * s], dim=-1)


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None, scale: float) -> torch.Tensor:
    """Attention of (batch, heads, tokens, size) over fewer key heads, to (batch, tokens, heads, size).

    Without a mask a single token sees everything; the heads that share keys are then rows of one product, so
    that keys and values are read once.
    """
    batch, heads, length, size = q.shape
    if length == 1 and mask is None:
        grouped = q.reshape(batch, k.shape[1], heads // k.shape[1], size)
        return F.scaled_dot_product_attention(grouped, k, v, scale=scale).reshape(batch, 1, heads, size)
    out = F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=mask is None, scale=scale, enable_gqa=heads != k.shape[1]
    )
    return out.transpose(1, 2)


SUPPORTED = ("llama", "mistral", "qwen2", "qwen3")
"""Model types whose decoder layers `Int8DecoderLayer` computes."""


def structure(model: Any) -> None:
    """Replace the layers of a model of a supported type by empty int8 ones, on the current default device."""
    config, inner = model.config, model.model
    for index in range(len(inner.layers)):
        inner.layers[index] = Int8DecoderLayer(config, index)
    inner.embed_tokens = FloatEmbedding(config.vocab_size, config.hidden_size)
    model.lm_head = Int8Linear(config.vocab_size, config.hidden_size)


def quantise(model: Any) -> None:
    """Replace the layers of a loaded model of a supported type by int8 ones, one after another."""
    config, inner = model.config, model.model
    head = pack(model.lm_head.weight.detach().float())
    embedding = inner.embed_tokens.weight.detach().to(torch.bfloat16)
    for index, layer in enumerate(inner.layers):
        state = pack_layer({name: tensor.float() for name, tensor in layer.state_dict().items()})
        with torch.device("meta"):
            inner.layers[index] = Int8DecoderLayer(config, index)
        inner.layers[index].load_state_dict(state, assign=True)
    with torch.device("meta"):
        inner.embed_tokens = FloatEmbedding(*embedding.shape)
        model.lm_head = Int8Linear(*head["weight"].shape)
    inner.embed_tokens.load_state_dict({"weight": embedding}, assign=True)
    model.lm_head.load_state_dict(head, assign=True)
    inner.norm.float()


ATTENTION = "coach_int8"
"""The name under which transformers knows that these layers attend by themselves."""


def works() -> bool:
    """Whether this machine's torch multiplies int8 rightly: a product at the edge of the range, against integers."""
    left = torch.full((3, 64), _LEVELS, dtype=torch.int8)
    right = torch.full((32, 64), -_LEVELS, dtype=torch.int8)
    try:
        product = torch._int_mm(left, right.t())
    except (RuntimeError, AttributeError):
        return False
    return bool((product == -64 * _LEVELS * _LEVELS).all())
