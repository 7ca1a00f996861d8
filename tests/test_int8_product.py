from __future__ import annotations

import pytest
import torch

from coach.int8_product import LEVELS, IntMM, OneDNN, Product, choose_product


def serving() -> list[Product]:
    """The ways that this machine has; one at least, or the tests below would be empty."""
    chosen = choose_product()
    assert chosen is not None, "this machine has no fast int8 product"
    # FBGEMM only where it was tried and torch has said its warning: elsewhere the warning would end the test.
    return [chosen, IntMM()] if isinstance(chosen, OneDNN) else [chosen]


@pytest.mark.parametrize("tokens", [1, 2, 4, 17, 300])
def test_products_are_exact(tokens: int) -> None:
    generator = torch.Generator().manual_seed(tokens)
    weight = torch.randint(-LEVELS, LEVELS + 1, (160, 320), generator=generator, dtype=torch.int8)
    weight[0], weight[1] = LEVELS, -LEVELS
    scale = torch.rand(160, generator=generator)
    for product in serving():
        most = product.levels
        numbers = torch.randint(-most, most + 1, (tokens, 320), generator=generator, dtype=torch.int8)
        numbers[0] = most
        expected = (numbers.long() @ weight.long().t()).double() * scale
        got = product.prepared(weight.clone(), scale)(numbers.clone())
        assert got.dtype == torch.float32
        assert torch.allclose(got.double(), expected, rtol=1e-6, atol=0)


def test_a_row_has_the_same_numbers_alone_and_among_others() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randint(-LEVELS, LEVELS + 1, (96, 256), generator=generator, dtype=torch.int8)
    for product in serving():
        numbers = torch.randint(-product.levels, product.levels + 1, (8, 256), generator=generator, dtype=torch.int8)
        multiply = product.prepared(weight.clone(), torch.rand(96, generator=generator))
        together = multiply(numbers.clone())
        assert torch.equal(together, torch.cat([multiply(row[None].clone()) for row in numbers]))
