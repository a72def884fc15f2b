"""Random tensors of each replica: of the laws that are asked for, and drawn ahead as step by step."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy import stats

from trainables.optimizers.noise import DRAWS, DrawnAhead, Params, fill

SHAPES = {"weights": (40, 25), "bias": (10,)}


def blank(replicas: int) -> Params:
    return {name: torch.zeros(replicas, *shape) for name, shape in SHAPES.items()}


def drawn(seeds: list[int], draw: int, law: str = "normal_", *parameters: float) -> Params:
    out = blank(len(seeds))
    fill(out, seeds, draw, law, *parameters)
    return out


@pytest.mark.parametrize("seed", [0, 7, 2**63 - 1])
def test_numbers_depend_on_the_replicas_seed_and_the_draw_alone(seed: int) -> None:
    together, alone = drawn([3, seed, 5], 4, "normal_", 0.0, 1.0), drawn([seed], 4, "normal_", 0.0, 1.0)
    other = drawn([seed], 5, "normal_", 0.0, 1.0)
    for name in SHAPES:
        assert torch.equal(together[name][1], alone[name][0])
        assert not torch.equal(together[name][0], alone[name][0])
        assert not torch.equal(other[name][0], alone[name][0])


def test_laws_are_those_of_scipy_and_draws_are_independent() -> None:
    keys = itertools.product(range(3), range(4))
    tensors = [drawn([seed], draw, "normal_", 1.0, 2.0)["weights"] for seed, draw in keys]
    values = np.array([tensor.flatten().numpy() for tensor in tensors])
    assert stats.kstest(values.ravel(), "norm", args=(1.0, 2.0)).pvalue > 1e-4
    correlation = np.corrcoef(values)[np.triu_indices(len(values), 1)]
    assert abs(correlation).max() < 5 / np.sqrt(values.shape[1])
    coins = drawn([1, 2], 0, "bernoulli_", 0.3)["weights"].numpy()
    assert set(np.unique(coins)) == {0.0, 1.0}
    assert stats.binomtest(int(coins.sum()), coins.size, 0.3).pvalue > 1e-4


@pytest.mark.parametrize("slots", [1, 3])
def test_what_is_drawn_ahead_is_never_the_same_twice(slots: int) -> None:
    """One epoch of seven steps, each with two draws, after another epoch of seven."""
    step = torch.zeros(1, dtype=torch.long)
    ahead = DrawnAhead(blank(2), step, 7)
    ahead.ahead = slots
    seen = []
    for number in range(14):
        step.fill_(number % 7)
        ahead.refill([3, 5], number, number % 7)
        for draw in (0, 1):
            found = ahead(draw, "normal_", 0.0, 1.0)
            seen += [found["weights"][k].flatten().clone().numpy() for k in range(2)]
            found["weights"].zero_()  # free to be written to
    values = np.array(seen)
    assert stats.kstest(values.ravel(), "norm").pvalue > 1e-4
    assert abs(np.corrcoef(values)[np.triu_indices(len(values), 1)]).max() < 6 / np.sqrt(values.shape[1])


def test_a_draw_ahead_is_the_draw_of_its_step_where_one_step_is_drawn_at_a_time() -> None:
    step = torch.zeros(1, dtype=torch.long)
    ahead = DrawnAhead(blank(2), step, 5)
    ahead.ahead = 1
    assert not any(tensor.any() for tensor in ahead(0, "normal_", 0.0, 1.0).values()), (
        "zeros before the first"
    )
    for number in range(3):
        step.fill_(number)
        ahead.refill([3, 5], number, number)
        found = ahead(0, "normal_", 0.0, 1.0)
        for name, tensor in drawn([3, 5], number * DRAWS, "normal_", 0.0, 1.0).items():
            assert torch.equal(found[name], tensor)


def test_as_many_steps_are_drawn_ahead_as_memory_allows() -> None:
    step = torch.zeros(1, dtype=torch.long)
    assert DrawnAhead(blank(1), step, 7).ahead == 7
    large = {"weights": torch.zeros(1, 2**19)}
    assert DrawnAhead(large, step, 7).ahead == 2
    assert DrawnAhead({"weights": torch.zeros(1, 2**21)}, step, 7).ahead == 1
