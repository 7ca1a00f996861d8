"""A network with attention, held against PyTorch's own encoder layer."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_llm import Listed, weights
from numpy.typing import NDArray

from coach.attention import HEADS, Attention, of_encoder_layer, save
from coach.probe import Probe, soft_maximum

WIDTH, UNITS, WIDE, LONGEST = 6, 8, 12, 4


def random_block() -> torch.nn.TransformerEncoderLayer:
    torch.manual_seed(3)
    block = torch.nn.TransformerEncoderLayer(
        UNITS, HEADS, WIDE, 0.0, activation="relu", batch_first=True, norm_first=True
    )
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return block.eval()


def network(block: torch.nn.TransformerEncoderLayer) -> Attention:
    chance = np.random.default_rng(3)

    def drawn(*shape: int) -> NDArray[np.float32]:
        return chance.normal(size=shape).astype(np.float32)

    return Attention(
        alone=replace(weights(drawn(WIDTH).tolist(), 0.5, drawn(WIDTH).tolist()), mean=drawn(WIDTH)),
        inward=drawn(WIDTH, UNITS),
        inward_bias=drawn(UNITS),
        places=drawn(LONGEST, UNITS),
        norm_after=np.stack([np.ones(UNITS), np.zeros(UNITS)]).astype(np.float32),
        out=drawn(UNITS),
        **of_encoder_layer({name: value.numpy().copy() for name, value in block.state_dict().items()}),
    )


@pytest.mark.parametrize("tokens", [1, 3, LONGEST, LONGEST + 3])
def test_the_tokens_look_at_each_other_as_in_a_transformer(tokens: int) -> None:
    block = random_block()
    one = network(block)
    states = np.random.default_rng(tokens).normal(size=(tokens, WIDTH)).astype(np.float32)
    place = one.places[np.minimum(np.arange(tokens), LONGEST - 1)]
    inner = torch.tensor((states - one.alone.mean) @ one.inward + one.inward_bias + place)
    with torch.no_grad():
        seen = torch.nn.functional.layer_norm(block(inner[None])[0], (UNITS,)).numpy()
    assert one(states) == pytest.approx(seen @ one.out + one.alone(states), abs=1e-4)


def test_networks_come_back_as_they_were_saved(tmp_path: Path) -> None:
    one = network(random_block())
    other = replace(one, out=-one.out)
    save((one, other), tmp_path / "new" / "two.npz")
    loaded = Attention.load(tmp_path / "new" / "two.npz")
    assert [each.alone.layers for each in loaded] == [one.alone.layers] * 2
    for saved, found in zip((one, other), loaded, strict=True):
        for field in fields(Attention)[1:]:
            assert getattr(found, field.name) == pytest.approx(getattr(saved, field.name), rel=1e-3, abs=1e-6), (
                field.name
            )
        for field in fields(saved.alone)[1:]:
            kept = getattr(found.alone, field.name)
            assert kept == pytest.approx(getattr(saved.alone, field.name), rel=1e-3, abs=1e-6), field.name


def test_networks_with_attention_have_half_the_say() -> None:
    one = network(random_block())
    other = replace(one, out=-one.out)
    states = np.random.default_rng(5).normal(size=(5, WIDTH)).astype(np.float32)
    llm = Listed(states.tolist())
    alone = soft_maximum(one.alone(states))
    [odds] = Probe(llm, one.alone, (one, other)).odds("Why?", ["It is so."], ["One."])
    assert odds == pytest.approx((alone + (soft_maximum(one(states)) + soft_maximum(other(states))) / 2) / 2, rel=1e-4)
    assert Probe(llm, one.alone).odds("Why?", ["It is so."], ["One."]) == [pytest.approx(alone, rel=1e-5)]
