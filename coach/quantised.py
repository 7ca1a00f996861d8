"""Eight-bit layers for the processor: weights are int8 with a scale for each row, activations int8 for each token.

With `coach.rotation` merged in and the input of the last projection of a layer spread out, one int8 number for an
activation is exact enough everywhere: without the spreading, the divergence from float32 is ten times as large where
activations have 64 levels.
`benchmarks/generation.py --accuracy` measures what the eight bits cost.

The module is imported where a model is loaded, so it may import torch at its top.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from coach.int8_product import LEVELS, Multiply, Product
from coach.rotation import Rotation, blocks, spread

_SUPPORTED = ("llama", "mistral", "qwen2", "qwen3")
ATTENTION = "coach_int8"
"""The name under which transformers knows that these layers attend by themselves."""

_TINY = 1e-12  # keeps a row of zeros from dividing by zero
# Tokens that pass through the wide layers at a time. On a Xeon with AMX 700 tokens take 2.6 s with 64, 2.2 s with 128
# and 3.0 s with 256, whose numbers no longer stay in the processor's cache.
_ROWS = 128
_JOINED = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "o": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}
_HEAD_NORMS = {"q_norm": "self_attn.q_norm", "k_norm": "self_attn.k_norm"}


def supports(config: Any) -> bool:
    """Whether `Int8DecoderLayer` computes the decoder layers of a model, given that they see the whole text."""
    return config.model_type in _SUPPORTED and not getattr(config, "mlp_bias", False)


def rotation_for(config: Any) -> Rotation:
    """The rotation of a model of a supported type."""
    return Rotation(config.hidden_size, _head_size(config))


def pack(weight: torch.Tensor) -> dict[str, torch.Tensor]:
    """Quantise float weights (rows, columns) to `weight` int8 and `scale` float32 (rows)."""
    numbers = torch.empty(weight.shape, dtype=torch.int8)
    scale = torch.empty(len(weight), dtype=torch.float32)
    for rows in blocks(*weight.shape):
        piece = weight[rows].float()
        scale[rows] = piece.abs().amax(dim=1).clamp_(min=_TINY) / LEVELS
        numbers[rows] = (piece / scale[rows, None]).round_()
    return {"weight": numbers, "scale": scale}


def pack_layer(layer: Mapping[str, torch.Tensor], rotation: Rotation) -> dict[str, torch.Tensor]:
    """One decoder layer's tensors under transformers' names, as the state of `Int8DecoderLayer`."""
    turned = rotation.layer(layer)
    turned["mlp.down_proj.weight"] = spread(turned["mlp.down_proj.weight"])
    state: dict[str, torch.Tensor] = {}
    for name, parts in _JOINED.items():
        packed = [pack(turned[f"{part}.weight"]) for part in parts]
        state |= {f"{name}.{key}": torch.cat([piece[key] for piece in packed]) for key in ("weight", "scale")}
        if f"{parts[0]}.bias" in turned:
            state[f"{name}.bias"] = torch.cat([turned[f"{part}.bias"] for part in parts])
    state |= {name: turned[f"{there}.weight"] for name, there in _HEAD_NORMS.items() if f"{there}.weight" in turned}
    return state


def pack_outer(
    embedding: torch.Tensor, norm: torch.Tensor, head: torch.Tensor, rotation: Rotation
) -> dict[str, torch.Tensor]:
    """What lies outside the layers. Embeddings stay bf16: only the rows in use are ever read."""
    packed = pack(rotation.reads(head, norm))
    return {
        "model.embed_tokens.weight": rotation.reads(embedding).to(torch.bfloat16),
        "model.norm.weight": torch.ones_like(norm, dtype=torch.float32),
        **{f"lm_head.{name}": tensor for name, tensor in packed.items()},
    }


class Int8Linear(nn.Module):
    """A linear layer with int8 weights, which lie in `multiply`; float32 in, float32 out.

    Activations are rounded to `levels` on each side of zero.
    """

    multiply: Multiply
    levels: int
    bias: torch.Tensor | None

    def __init__(self, rows: int, columns: int, bias: bool = False) -> None:
        super().__init__()
        self.rows, self.columns = rows, columns
        self.register_buffer("bias", torch.empty(rows, dtype=torch.float32) if bias else None)

    def forward(self, x: torch.Tensor, gain: torch.Tensor | None = None) -> torch.Tensor:
        """(…, columns) to (…, rows); `gain` (…, 1) multiplies each token's activations."""
        flat = x.reshape(-1, self.columns)
        level = flat.abs().amax(dim=1, keepdim=True).clamp_(min=_TINY).mul_(1 / self.levels)
        exact = flat / level
        if gain is not None:
            level *= gain.view(-1, 1)
        out = self.multiply(exact.round_().to(torch.int8)).mul_(level)
        if self.bias is not None:
            out += self.bias
        return out.view(*x.shape[:-1], self.rows)


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

    The residual stream is float32, keys and values are bf16. Norms have no weights (`coach.rotation` folds them
    into what follows), so that they only change a token's level: rounding to int8 comes out the same before them.
    """

    q_norm: torch.Tensor | None
    k_norm: torch.Tensor | None

    def __init__(self, config: Any, index: int) -> None:
        super().__init__()
        hidden = config.hidden_size
        self.index = index
        self.eps = config.rms_norm_eps
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.head_size = _head_size(config)
        bias = config.model_type == "qwen2" or bool(getattr(config, "attention_bias", False))
        rows = (self.heads + 2 * self.kv_heads) * self.head_size
        self.qkv = Int8Linear(rows, hidden, bias)
        self.o = Int8Linear(hidden, self.heads * self.head_size, bias and config.model_type != "qwen2")
        self.gate_up = Int8Linear(2 * config.intermediate_size, hidden)
        self.down = Int8Linear(hidden, config.intermediate_size)
        for name in ("q_norm", "k_norm"):
            size = torch.empty(self.head_size, dtype=torch.float32) if config.model_type == "qwen3" else None
            self.register_buffer(name, size)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        position_embeddings: tuple[torch.Tensor, torch.Tensor] | None = None,
        cache: Any = None,
        past_key_values: Any = None,
        **_: Any,
    ) -> torch.Tensor:
        """(batch, tokens, hidden) to the same, appending keys and values to `cache`.

        transformers hands the cache over as `past_key_values` up to 5.23 and as `cache` from 5.24 on.
        """
        assert position_embeddings is not None
        kept = cache if cache is not None else past_key_values
        x = hidden_states
        batch, length, _hidden = x.shape
        qkv = self.qkv(x, self._gain(x))
        qkv = qkv.view(batch, length, self.heads + 2 * self.kv_heads, self.head_size)
        qk, v = qkv[:, :, : -self.kv_heads], qkv[:, :, -self.kv_heads :]
        if self.q_norm is not None and self.k_norm is not None:
            q, k = qk[:, :, : self.heads], qk[:, :, self.heads :]
            qk = torch.cat([self._norm(q, self.q_norm), self._norm(k, self.k_norm)], dim=2)
        qk = _rotated(qk, *position_embeddings).to(torch.bfloat16).transpose(1, 2)
        q, k = qk[:, : self.heads], qk[:, self.heads :]
        v = v.to(torch.bfloat16).transpose(1, 2)
        if kept is not None:
            k, v = kept.update(k, v, self.index)
        mixed = attend(q, k, v, attention_mask, self.head_size**-0.5).float()
        stream: torch.Tensor = self.o(mixed.reshape(batch, length, -1)).add_(x)
        for rows in torch.split(stream.view(-1, stream.shape[-1]), _ROWS):
            gate, up = self.gate_up(rows, self._gain(rows)).chunk(2, dim=-1)
            rows += self.down(spread(F.silu(gate).mul_(up)))
        return stream

    def _gain(self, x: torch.Tensor) -> torch.Tensor:
        """What RMSNorm (https://arxiv.org/abs/1910.07467) multiplies a token by: (…, size) to (…, 1)."""
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        gain: torch.Tensor = length.square_().mul_(1 / x.shape[-1]).add_(self.eps).rsqrt_()
        return gain

    def _norm(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        normed: torch.Tensor = F.rms_norm(x, (x.shape[-1],), weight, self.eps)
        return normed


def _head_size(config: Any) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _rotated(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary position embedding (https://arxiv.org/abs/2104.09864) of (batch, tokens, heads, head size)."""
    half = x.shape[-1] // 2
    c, s = cos[..., None, :half], sin[..., None, :half]
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * c - second * s, second * c + first * s], dim=-1)


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None, scale: float) -> torch.Tensor:
    """Attention of (batch, heads, tokens, size) over fewer key heads, to (batch, tokens, heads, size).

    Without a mask the tokens are the last of the text and each sees what is before it. Token by token, the heads
    that share keys are rows of one product, so that keys and values are read once, and a token's numbers don't
    depend on how many are computed with it.
    """
    batch, heads, length, size = q.shape
    if mask is None:
        rows = []
        for at in range(length):
            seen = k.shape[2] - length + 1 + at
            grouped = q[:, :, at].reshape(batch, k.shape[1], heads // k.shape[1], size)
            row = F.scaled_dot_product_attention(grouped, k[:, :, :seen], v[:, :, :seen], scale=scale)
            rows.append(row.reshape(batch, 1, heads, size))
        return rows[0] if length == 1 else torch.cat(rows, dim=1)
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale, enable_gqa=heads != k.shape[1])
    return out.transpose(1, 2)


def structure(model: Any) -> None:
    """Replace the layers of a model of a supported type by empty int8 ones, on the current default device."""
    config, inner = model.config, model.model
    for index in range(len(inner.layers)):
        inner.layers[index] = Int8DecoderLayer(config, index)
    inner.embed_tokens = FloatEmbedding(config.vocab_size, config.hidden_size)
    model.lm_head = Int8Linear(config.vocab_size, config.hidden_size)


def packed_state(model: Any) -> dict[str, torch.Tensor]:
    """Quantise the layers of a loaded model of a supported type, which are gone from it afterwards."""
    inner, rotation = model.model, rotation_for(model.config)
    state = pack_outer(
        inner.embed_tokens.weight.detach(), inner.norm.weight.detach(), model.lm_head.weight.detach(), rotation
    )
    for index, layer in enumerate(inner.layers):
        packed = pack_layer({name: tensor.detach() for name, tensor in layer.state_dict().items()}, rotation)
        state |= {f"model.layers.{index}.{name}": tensor for name, tensor in packed.items()}
        inner.layers[index] = nn.Identity()  # frees the float weights
    return state


class Filling:
    """Weights on their way into a model; they are prepared in the background while the model is built."""

    def __init__(self, rest: dict[str, torch.Tensor], products: dict[str, Future[Multiply]], levels: int) -> None:
        self.rest = rest
        self.products = products
        self.levels = levels

    @classmethod
    def start(cls, states: Iterable[Mapping[str, torch.Tensor]], product: Product) -> Filling:
        """Begin with the first state, which should hold the largest weights; torch uses one core for each.

        Small tensors are copied, because a view would keep the whole file that it lies in mapped.
        """
        rest: dict[str, torch.Tensor] = {}
        products: dict[str, Future[Multiply]] = {}
        pool = ThreadPoolExecutor(max(1, torch.get_num_threads()), thread_name_prefix="coach-weights")
        for state in states:
            for name, tensor in state.items():
                layer, _, last = name.rpartition(".")
                if last == "scale":
                    products[layer] = pool.submit(product.prepared, state[f"{layer}.weight"], tensor.clone())
                elif f"{layer}.scale" not in state or last != "weight":
                    rest[name] = tensor.clone() if tensor.ndim == 1 else tensor
        pool.shutdown(wait=False)
        return cls(rest, products, product.levels)

    def finish(self, model: Any) -> None:
        """Put everything into a model of a supported type, in place of its own layers."""
        with torch.device("meta"):
            structure(model)
        model.load_state_dict(self.rest, strict=True, assign=True)
        for name, product in self.products.items():
            layer = model.get_submodule(name)
            layer.multiply, layer.levels = product.result(), self.levels
