"""What does not go together is refused in one line before anything is trained."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from trainables import Recipe
from trainables.data.dataset import load_dataset
from trainables.data.subsets import Subsets
from trainables.engine.checks import check, definite
from trainables.engine.task import make_task
from trainables.errors import UserError
from trainables.optimizers.privacy import epsilon

SMALL = {"name": "digits", "train_size": 160, "test_size": 50}
MLP = {"name": "mlp", "hidden": [16]}
NORMED = {"name": "cnn", "width": 4, "norm": "batch"}


def frozen(shape: tuple[int, ...], classes: int) -> nn.Module:
    return misfit(shape, classes).requires_grad_(False)


def misfit(shape: tuple[int, ...], classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), classes + 1))


TABLE = {"x_train": np.eye(8, dtype=np.float32), "y_train": np.arange(8) % 2}


def table() -> dict[str, np.ndarray]:
    return {**TABLE, "x_test": TABLE["x_train"], "y_test": TABLE["y_train"]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": f"{__name__}:frozen"}, "has no parameter that requires a gradient"),
        ({"queries": 3}, "queries 3: expected 1 .* or 2"),
        ({"queries": 2, "dataset": f"{__name__}:table"}, "is a table, and only images"),
        (
            {"recipe": Recipe(augment=("flip",)), "dataset": f"{__name__}:table"},
            "only images can be augmented",
        ),
        ({"subsets": {"scheme": "canaries"}}, "expected dataset.canaries of at least 1"),
        ({"dataset": {**SMALL, "train_size": 1}}, "1 training example leaves none for a half"),
        ({"model": "builtins:print"}, "returned NoneType; expected a torch.nn.Module"),
        (
            {"recipe": Recipe(batch_size=1), "model": {**MLP, "norm": "batch"}},
            "model 'mlp' cannot take a batch of 1 example: Expected more than 1 value",
        ),
        (
            {"recipe": Recipe(optimizer="sam", rho=0.1, m=1), "model": {**MLP, "norm": "batch"}},
            "model 'mlp' cannot take a batch of 1 example",
        ),
        ({"model": f"{__name__}:misfit"}, "gives .2, 11. for 2 examples; expected logits .2, 10."),
        ({"model": "vgg11"}, "'vgg11' needs images of at least 32 pixels"),
        (
            {"recipe": Recipe(optimizer="dpsgd", clip=1, noise_multiplier=1), "model": NORMED},
            "use norm: group",
        ),
        ({"subsets": {"scheme": "fraction", "fraction": 0.999}}, "leaves no non-member to tell members from"),
    ],
)
def test_what_does_not_go_together_is_refused(change: dict[str, Any], message: str) -> None:
    given = {"recipe": Recipe(epochs=1), "dataset": SMALL, "model": MLP, **change}
    with pytest.raises(UserError, match=message) as error:
        make_task(**given)
    assert "\n" not in str(error.value)


def test_of_many_recipes_the_one_that_does_not_fit_is_found_and_nothing_is_drawn() -> None:
    data, fits = load_dataset(SMALL), Recipe(epochs=1)
    private = Recipe(optimizer="dpsgd", clip=1, noise_multiplier=1)
    before = torch.get_rng_state()
    check([fits, private], data, MLP, Subsets(), 2)
    with pytest.raises(UserError, match="norm: group"):
        check([fits, private], data, NORMED, Subsets(), 2)
    assert torch.equal(torch.get_rng_state(), before)


def test_small_batches_of_private_training_and_of_networks_without_batch_norm_pass() -> None:
    data = load_dataset(SMALL)
    private = Recipe(optimizer="dpsgd", clip=1, noise_multiplier=1, batch_size=1)
    check([Recipe(batch_size=1), Recipe(optimizer="sam", rho=0.1, m=1), private], data, MLP, Subsets(), 1)


def test_noise_for_a_target_is_worked_out_for_the_steps_that_are_taken() -> None:
    recipe = Recipe(optimizer="dpsgd", clip=1, target_epsilon=4, batch_size=32, epochs=6, early_stopping=0.5)
    found, guarantee = definite(recipe, 320)
    assert found.noise_multiplier is not None
    assert guarantee.epsilon <= 4
    steps = 10 * 3
    assert epsilon(found.noise_multiplier, 0.1, steps, 1e-5) == pytest.approx(guarantee.epsilon)
    plain, none = definite(Recipe(), 320)
    assert (plain, none.epsilon) == (Recipe(), np.inf)
