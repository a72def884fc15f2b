"""What a task works out of its parts, against counting and torch itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from trainables import Recipe
from trainables.data.dataset import load_dataset
from trainables.engine.task import make_task
from trainables.errors import UserError

SMALL = {"name": "digits", "train_size": 160, "test_size": 50, "canaries": 10}
MLP = {"name": "mlp", "hidden": [16]}


@pytest.mark.parametrize(
    ("subsets", "size"),
    [({"scheme": "half"}, 80), ({"scheme": "fraction", "fraction": 0.7}, 112), ({"scheme": "canaries"}, 155)],
    ids=str,
)
def test_an_epoch_has_the_examples_of_a_subset(subsets: dict[str, Any], size: int) -> None:
    task = make_task(Recipe(batch_size=32, epochs=10, early_stopping=0.25), SMALL, MLP, subsets)
    assert task.size == size
    assert task.epochs == 3
    assert task.steps == 3 * -(-size // 32)


def test_initial_weights_depend_on_the_sweeps_and_the_replicas_seed_and_move_no_other_stream() -> None:
    task, other = make_task(Recipe(), SMALL, MLP), make_task(Recipe(lr=0.3), SMALL, MLP, sweep_seed=1)
    before = torch.get_rng_state()
    weights = [
        torch.cat([p.flatten() for p in module.parameters()])
        for module in (task.module(0), task.module(0), task.module(1), other.module(0))
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], weights[3])
    assert torch.equal(torch.get_rng_state(), before)


def dropping(shape: tuple[int, ...], classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), classes), nn.Dropout(0.5))


@pytest.mark.parametrize(("model", "draws"), [(MLP, False), (f"{__name__}:dropping", True)], ids=str)
def test_a_network_that_draws_random_numbers_is_told(model: Any, draws: bool) -> None:
    assert make_task(Recipe(), SMALL, model).dropout is draws


def test_data_that_is_loaded_is_taken_as_it_is_and_addressed_alike() -> None:
    loaded = load_dataset(SMALL)
    given, named = make_task(Recipe(), loaded, "mlp"), make_task(Recipe(), SMALL, "mlp")
    assert given.dataset is loaded
    assert given.context == named.context
    assert given.context.fingerprint == loaded.fingerprint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"subsets": {"scheme": "third"}}, "subsets.scheme: 'third'"),
        (
            {"subsets": {"scheme": "fraction"}},
            "scheme 'fraction' needs 'fraction', a number between 0 and 1$",
        ),
        ({"curvature": 0}, "curvature 0: expected at least 1 direction"),
    ],
)
def test_mistakes_name_their_place(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_task(Recipe(), SMALL, MLP, **change)
