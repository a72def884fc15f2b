"""The kinds of knobs, against the fields of a recipe and what the optimizers ask for."""

from __future__ import annotations

from typing import get_args

from trainables import Recipe
from trainables.knobs import DEFENCES, KNOBS, TRAINING, Kind, of_kind
from trainables.optimizers.registry import OPTIMIZERS


def test_every_field_of_a_recipe_is_of_one_kind() -> None:
    kinds = [of_kind(kind) for kind in get_args(Kind)]
    assert sorted(name for names in kinds for name in names) == sorted(Recipe.model_fields)
    assert (of_kind("training"), frozenset(of_kind("defence"))) == (TRAINING, DEFENCES)


def test_what_one_optimizer_takes_is_no_hyper_parameter_of_training() -> None:
    asked = {name for optimizer in OPTIMIZERS.values() for name in optimizer.needs | optimizer.takes.keys()}
    assert {KNOBS[name] for name in asked} == {"optimizer", "defence"}
    private = {name for o in OPTIMIZERS.values() if o.private for name in o.needs | o.takes.keys()}
    assert {name for name in asked if KNOBS[name] == "defence"} == private - {"rho"}


def test_a_plain_recipe_has_no_defence() -> None:
    for name, optimizer in OPTIMIZERS.items():
        if not optimizer.private:
            recipe = Recipe(optimizer=name, **dict.fromkeys(optimizer.needs, 0.1))
            assert not DEFENCES & recipe.knobs.keys()
