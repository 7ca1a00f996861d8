from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_model import randomised, tiny_config, tiny_llm, tiny_model

from coach.int8_product import IntMM
from coach.kv_cache import GrowingCache
from coach.quantised import Filling, Int8Linear, attend, pack, packed_state, supports


def linear(rows: int, columns: int, levels: int) -> tuple[Int8Linear, torch.Tensor]:
    """An int8 layer, and the float weights that it stands for exactly."""
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(0))
    packed = pack(weight)
    layer = Int8Linear(rows, columns)
    layer.multiply, layer.levels = IntMM().prepared(packed["weight"], packed["scale"]), levels
    return layer, packed["weight"].float() * packed["scale"][:, None]


def test_packing_is_off_by_half_a_level_at_most() -> None:
    weight = torch.randn(2000, 300, generator=torch.Generator().manual_seed(0))
    packed = pack(weight)
    error = packed["weight"].float() * packed["scale"][:, None] - weight
    assert (error.abs() <= 0.5001 * packed["scale"][:, None]).all()
    assert packed["weight"].abs().amax(dim=1).eq(127).all()


@pytest.mark.parametrize(("levels", "bound"), [(127, 0.01), (64, 0.02)])
def test_a_layer_computes_what_its_levels_allow(levels: int, bound: float) -> None:
    layer, weight = linear(64, 512, levels)
    x = torch.randn(2, 3, 512, generator=torch.Generator().manual_seed(1))
    expected = x @ weight.t()
    error = (layer(x) - expected).norm() / expected.norm()
    assert layer(x).shape == (2, 3, 64)
    assert bound / 3 < error < bound


def test_a_gain_scales_each_token() -> None:
    layer, _ = linear(16, 32, 127)
    x = torch.randn(3, 32, generator=torch.Generator().manual_seed(1))
    gain = torch.tensor([[1.0], [2.0], [0.5]])
    assert torch.allclose(layer(x, gain), layer(x) * gain, rtol=1e-6)


def test_tokens_of_nothing_give_nothing() -> None:
    layer, _ = linear(16, 32, 127)
    assert (layer(torch.zeros(2, 32)) == 0).all()


def logits_of(model: Any, ids: torch.Tensor) -> torch.Tensor:
    mask = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool).tril()[None, None]
    with torch.inference_mode():
        logits: torch.Tensor = model(ids, attention_mask=mask, use_cache=False).logits[0].float()
    return logits


def another_family(kind: str) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    values = tiny_config(300).to_dict() | {"head_dim": 16}
    values = {key: value for key, value in values.items() if key not in ("model_type", "architectures", "layer_types")}
    return randomised(AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **values)))


@pytest.mark.parametrize("kind", ["qwen2", "llama", "mistral", "qwen3"])
def test_a_quantised_model_says_nearly_the_same(kind: str) -> None:
    model = tiny_model(300) if kind == "qwen2" else another_family(kind)
    ids = torch.randint(300, (1, 60), generator=torch.Generator().manual_seed(2))
    expected = logits_of(model, ids).log_softmax(-1)
    assert supports(model.config)
    Filling.start([packed_state(model)], IntMM()).finish(model)
    got = logits_of(model, ids).log_softmax(-1)
    divergence = (expected.exp() * (expected - got)).sum(-1)
    assert 0 < divergence.mean() < 0.01


def test_models_with_other_layers_are_not_supported() -> None:
    from transformers import GPT2Config, LlamaConfig

    assert not supports(GPT2Config())
    assert not supports(LlamaConfig(mlp_bias=True))


def test_tokens_computed_together_have_the_numbers_they_have_alone() -> None:
    """What guessing ahead rests on."""
    llm = tiny_llm(int8=True)
    ids = llm._loaded.tokens.plain("the gradient of the loss with respect to the weights")
    cache = GrowingCache.empty(2, 100)
    llm._extend(cache, ids, 0, None)
    together = llm._step(cache, [5, 6, 7, 8], len(ids), None)
    cache.cut_to(len(ids))
    alone = [llm._step(cache, [token], len(ids) + at, None)[0] for at, token in enumerate((5, 6, 7, 8))]
    assert torch.equal(together, torch.stack(alone))


def test_attention_without_a_mask_is_causal_at_the_end_of_the_text() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, heads, 9, 16, generator=generator) for heads in (4, 2, 2))
    seen = torch.ones(9, 9, dtype=torch.bool).tril()
    whole = attend(q, k, v, seen[None, None], 0.25)
    assert torch.allclose(attend(q[:, :, 6:], k, v, None, 0.25), whole[:, 6:], atol=1e-6)
    assert torch.allclose(attend(q[:, :, 5:], k, v, seen[None, None, 5:], 0.25), whole[:, 5:], atol=1e-6)
