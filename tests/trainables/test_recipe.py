"""Recipes: validated, addressed by their content, rebuilt by their knobs."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from pydantic import ValidationError

from tests.helpers.recipes import knobs
from trainables import Recipe


@given(knobs())
def test_knobs_survive_json_and_rebuild_the_recipe(values: dict) -> None:
    recipe = Recipe(**values)
    again = Recipe(**json.loads(json.dumps(recipe.knobs)))
    assert again == recipe
    assert again.recipe_id == recipe.recipe_id
    assert hash(again) == hash(recipe)


@given(knobs(), knobs())
def test_ids_are_equal_exactly_for_equal_content(a: dict, b: dict) -> None:
    first, second = Recipe(**a), Recipe(**b)
    assert (first.recipe_id == second.recipe_id) == (first == second)
    assert len(first.recipe_id) == 10


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ({}, {"optimizer": "sgd", "noise": 0, "augment": [], "rho": None, "nesterov": False}),
        ({"lr": 1}, {"lr": 1.0}),
        ({"optimizer": "asam", "rho": 1}, {"optimizer": "asam", "rho": 1.0, "eta": 0.01}),
        ({"optimizer": "looksam", "rho": 0.1}, {"optimizer": "looksam", "rho": 0.1, "k": 5, "alpha": 0.7}),
        ({"augment": ["flip", "crop"]}, {"augment": ["crop", "flip", "crop"]}),
    ],
)
def test_what_trains_alike_has_one_id(a: dict, b: dict) -> None:
    assert Recipe(**a).recipe_id == Recipe(**b).recipe_id


@pytest.mark.parametrize(
    "knobs", [{"weight_decay": 0}, {"momentum": 0}, {"optimizer": "asam", "rho": 1.0, "eta": 0}]
)
def test_a_zero_that_is_not_the_default_is_kept(knobs: dict) -> None:
    recipe = Recipe(**knobs)
    assert Recipe(**recipe.knobs) == recipe
    assert all(recipe.knobs[name] == value for name, value in knobs.items())


def test_ids_are_stable() -> None:
    """Records are addressed by them: a change here abandons every record that exists."""
    assert Recipe().recipe_id == "86b98a8c0b"
    assert Recipe(optimizer="sam", rho=0.1, noise=2).recipe_id == "b0f55c28d1"


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"optimizer": "smm"}, "optimizer 'smm' is not known; did you mean 'sam'"),
        ({"optimizer": "sam"}, "optimizer 'sam' needs rho"),
        ({"optimizer": "sam", "rho": -0.1}, "rho\n  Input should be greater than 0"),
        ({"rho": 0.1}, "optimizer 'sgd' has no knob 'rho'; it belongs to asam, dpsam, esam"),
        ({"optimizer": "sam", "rho": 0.1, "clip": 1}, "'sam' has no knob 'clip'; it belongs to dpsam, dpsgd"),
        ({"optimizer": "dpsgd", "clip": 1}, "needs either noise_multiplier or target_epsilon"),
        (
            {"optimizer": "dpsgd", "clip": 1, "noise_multiplier": 1, "target_epsilon": 8},
            "needs either noise_multiplier or target_epsilon",
        ),
        ({"optimizer": "dpsgd", "clip": 1, "noise_multiplier": 1, "mixup": 0.2}, "mixup does not go with"),
        (
            {"optimizer": "dpsgd", "clip": 1, "noise_multiplier": 1, "grad_reg": 0.2},
            "grad_reg does not go with",
        ),
        ({"nesterov": True, "momentum": 0}, "nesterov needs base 'sgd' and a momentum above 0"),
        ({"optimizer": "swa", "early_stopping": 0.5}, "early_stopping 0.5 ends before swa_start 0.75"),
        ({"learning_rate": 0.1}, "learning_rate\n  Extra inputs are not permitted"),
        ({"noise": float("nan")}, "noise\n  Input should be a finite number"),
        ({"early_stopping": 1}, "early_stopping\n  Input should be less than 1"),
        ({"augment": ["flop"]}, "augmentation 'flop' is not known; did you mean 'flip'"),
    ],
)
def test_mistakes_say_what_was_expected(knobs: dict, message: str) -> None:
    with pytest.raises(ValueError, match="error") as error:
        Recipe(**knobs)
    assert isinstance(error.value, ValidationError) or "is not known" in str(error.value)
    assert message in str(error.value)
