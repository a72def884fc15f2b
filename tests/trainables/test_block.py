"""A block goes by its recipe and seeds."""

from __future__ import annotations

from trainables.block import Block
from trainables.records import Address

ADDRESS = Address("a" * 10, "b" * 10, 4, 7)
BLOCK = Block({"optimizer": "sam", "rho": 0.1}, ADDRESS, "sam rho=0.1")


def test_a_block_is_named_after_its_recipe_and_seeds() -> None:
    assert (BLOCK.name, len(BLOCK)) == ("sam rho=0.1 seeds 4-7", 4)
