from __future__ import annotations

import pytest
import torch
from tiny_model import tiny_model

from coach.rotation import Rotation, blocks, hadamard, spread


@pytest.mark.parametrize("size", [1, 2, 7, 64, 96, 896, 1536])
def test_hadamard_is_orthogonal_and_its_own_inverse(size: int) -> None:
    x = torch.randn(5, size, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(hadamard(hadamard(x)), x, atol=1e-5)
    assert torch.allclose(hadamard(x).norm(dim=1), x.norm(dim=1), rtol=1e-5)


def test_an_outlier_is_spread_over_its_block() -> None:
    x = torch.zeros(1, 1536)
    x[0, 700] = 512**0.5
    assert torch.allclose(hadamard(x).abs(), torch.cat([torch.zeros(512), torch.ones(512), torch.zeros(512)]))


@pytest.mark.parametrize("size", [7, 48, 128, 8960])
def test_spreading_is_orthogonal_and_its_own_inverse(size: int) -> None:
    x = torch.randn(2, 3, size, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(spread(spread(x)), x, atol=1e-5)
    assert torch.allclose(spread(x).norm(dim=-1), x.norm(dim=-1), rtol=1e-5)


def test_an_outlier_is_shared_by_channels_that_lie_equally_far_apart() -> None:
    x = torch.zeros(1, 8960)
    x[0, 700] = 8.0
    shared = spread(x).abs()
    assert shared[0, ::140].tolist() == pytest.approx([1.0] * 64)
    assert shared.sum() == pytest.approx(64.0)


@pytest.mark.parametrize("tokens", [2, 5, 128])
def test_spreading_gives_a_token_the_numbers_it_has_alone(tokens: int) -> None:
    x = torch.randn(tokens, 8960, generator=torch.Generator().manual_seed(0))
    assert torch.equal(spread(x), torch.cat([spread(row[None]) for row in x]))


def test_a_rotated_model_says_the_same() -> None:
    """The float weights of a whole model, rotated and put back: norms are ones, logits as before."""
    model = tiny_model(300)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 2.0, generator=torch.Generator().manual_seed(1))
    ids = torch.randint(300, (1, 20), generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        expected = model(ids).logits
    rotation = Rotation(64, 16)
    inner = model.model
    with torch.no_grad():
        model.lm_head.weight.copy_(rotation.reads(model.lm_head.weight, inner.norm.weight))
        inner.embed_tokens.weight.copy_(rotation.reads(inner.embed_tokens.weight))
        inner.norm.weight.fill_(1.0)
        for layer in inner.layers:
            layer.load_state_dict(rotation.layer(layer.state_dict()))
    assert (inner.layers[0].input_layernorm.weight == 1).all()
    with torch.inference_mode():
        assert torch.allclose(model(ids).logits, expected, atol=1e-4)


def test_blocks_cover_all_rows_once() -> None:
    assert [row for rows in blocks(1000, 4096) for row in range(1000)[rows]] == list(range(1000))
    assert list(blocks(2, 10**9)) == [slice(0, 1), slice(1, 2)]
