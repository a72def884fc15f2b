"""Learning rates against torch's own schedulers, epochs and batch sizes against counting."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler as torchs

from trainables import Recipe
from trainables.optimizers.schedule import batch_sizes, epochs_run, learning_rate

STEPS = 40


def rates_of_torch(recipe: Recipe) -> list[float]:
    """The rates that torch gives, its scheduler restarted after the warm-up."""
    warmup = round(recipe.warmup * STEPS)
    rates = [recipe.lr * step / warmup for step in range(1, warmup + 1)]
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=recipe.lr)
    left = STEPS - warmup
    scheduler = {
        "constant": lambda: torchs.ConstantLR(optimizer, 1.0, left),
        "linear": lambda: torchs.LinearLR(optimizer, 1.0, 0.0, left),
        "cosine": lambda: torchs.CosineAnnealingLR(optimizer, left),
    }[recipe.schedule]()
    for _ in range(left):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_rates_are_those_of_torch(schedule: str, warmup: float) -> None:
    recipe = Recipe(lr=0.3, schedule=schedule, warmup=warmup)
    rates = [learning_rate(recipe, step, STEPS) for step in range(STEPS)]
    np.testing.assert_allclose(rates, rates_of_torch(recipe), atol=1e-12)


@given(st.integers(1, 200), st.floats(0, 0.99), st.floats(0, 0.95))
def test_early_stopping_ends_a_share_of_the_epochs_later_rounded_up(
    epochs: int, share: float, warmup: float
) -> None:
    run = epochs_run(Recipe(epochs=epochs, early_stopping=share, warmup=warmup))
    assert run == (epochs if share == 0 else ceil(round(Fraction(str(share)) * epochs, 9)) or 1)
    assert epochs_run(Recipe(epochs=epochs)) == epochs


@pytest.mark.parametrize(
    ("share", "epochs", "run"), [(0.55, 100, 55), (0.14, 50, 7), (0.56, 50, 28), (0.3, 5, 2)]
)
def test_a_share_that_is_whole_epochs_is_not_rounded_up(share: float, epochs: int, run: int) -> None:
    assert epochs_run(Recipe(epochs=epochs, early_stopping=share)) == run


@given(st.integers(1, 3000), st.integers(1, 600))
def test_batches_hold_every_example_once_and_have_two_sizes_at_most(size: int, asked: int) -> None:
    sizes = batch_sizes(size, asked)
    assert sum(sizes) == size
    assert 1 <= min(sizes) <= max(sizes) <= asked
    assert len(set(sizes)) <= 2
    assert len(sizes) == -(-size // asked), "as few as there can be"
    whole = sizes.count(asked)
    if asked >= 128 and asked % 8 == 0 and size > asked and size % asked >= 16:
        assert (whole, sizes[-1]) == (len(sizes) - 1, size % asked)
    else:
        assert max(sizes) - min(sizes) <= 1
