"""What the registry says of each optimizer, against what its rule does on a quadratic loss."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from trainables import Recipe
from trainables.errors import UserError
from trainables.optimizers import gradient_rules
from trainables.optimizers.registry import OPTIMIZERS, Optimizer, find_optimizer, is_own, users
from trainables.optimizers.update_rules import update_rule

Params = dict[str, Tensor]
REPLICAS, SIZE, WIDTH = 2, 4, 3


class Quadratic:
    """Examples ``x[K, B, d]`` with the loss ||w - x||^2 / 2; counts how often its gradient is taken."""

    def __init__(self, x: Tensor, taken: list[int]) -> None:
        self.x, self.taken, self.size = x, taken, x.shape[1]

    def __call__(self, params: Params) -> Params:
        self.taken.append(self.size)
        return {"w": params["w"] - self.x.mean(1)}

    def losses(self, params: Params) -> Tensor:
        return ((params["w"][:, None] - self.x) ** 2).sum(-1) / 2

    def select(self, index: Tensor) -> Quadratic:
        return Quadratic(self.x[torch.arange(len(index))[:, None], index], self.taken)


def recipe_of(name: str) -> Recipe:
    private = {"noise_multiplier": 1.0} if OPTIMIZERS[name].private else {}
    return Recipe(optimizer=name, **dict.fromkeys(OPTIMIZERS[name].needs, 0.1), **private)


def evaluations(recipe: Recipe, steps: int) -> list[int]:
    """How often each of some steps takes the gradient."""
    rule, counts = update_rule(recipe), []
    params = {"w": torch.ones(REPLICAS, WIDTH)}
    state = rule.init(params)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        taken: list[int] = []
        batch = Quadratic(torch.randn(REPLICAS, SIZE, WIDTH, generator=generator), taken)
        params, state = rule.step(params, state, batch, lr=0.1)
        counts.append(len(taken))
    return counts


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_passes_are_the_gradients_that_a_step_takes(name: str) -> None:
    assert sum(evaluations(recipe_of(name), 10)) / 10 == pytest.approx(OPTIMIZERS[name].passes)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_of_one_phase_take_as_many_gradients(name: str) -> None:
    recipe, phase = recipe_of(name), OPTIMIZERS[name].phase or (lambda *_: None)
    taken: dict[object, set[int]] = {}
    for number, count in enumerate(evaluations(recipe, 10)):
        taken.setdefault(phase(recipe, number), set()).add(count)
    assert all(len(counts) == 1 for counts in taken.values())
    assert len(taken) == (2 if OPTIMIZERS[name].phase else 1)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_slots_are_what_the_rule_keeps_besides_the_momentum(name: str) -> None:
    state = update_rule(recipe_of(name)).init({"w": torch.ones(REPLICAS, WIDTH)})
    kept = {key.partition("/")[0] for key in state if "/" in key}
    assert kept == {"momentum", *OPTIMIZERS[name].slots}


def flat(step: gradient_rules.Step) -> Params:
    return step.gradient()


OWN = Optimizer(flat, passes=1, slots=["mine"])
NUMBER = 5


def test_names_and_import_strings_are_found() -> None:
    assert find_optimizer("sam").rule is gradient_rules.sam
    assert find_optimizer("swa").rule is gradient_rules.sgd
    assert find_optimizer(f"{__name__}:flat").rule is flat
    assert find_optimizer(f"{__name__}:flat").passes == 2, "as many as SAM unless it says so"
    assert find_optimizer(f"{__name__}:OWN") is OWN
    assert is_own(f"{__name__}:OWN")
    assert not any(map(is_own, [*OPTIMIZERS, "smm"]))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("smm", "optimizer 'smm' is not known; did you mean 'sam'"),
        (f"{__name__}:NUMBER", "is of type int; expected a gradient rule"),
        (f"{__name__}:missing", "cannot be imported"),
    ],
)
def test_what_is_no_optimizer_is_named(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        find_optimizer(name)


def test_users_of_a_knob_are_those_that_a_recipe_with_it_is_taken_from() -> None:
    for knob in ("rho", "k", "clip", "swa_start", "lr"):
        takers = []
        for name in OPTIMIZERS:
            plain = recipe_of(name).model_dump(exclude_none=True)
            value = {"k": 3}.get(knob, 0.2)
            try:
                Recipe(**{**plain, knob: value})
            except ValueError:
                continue
            takers.append(name)
        assert users(knob) == ([] if knob == "lr" else sorted(takers))
