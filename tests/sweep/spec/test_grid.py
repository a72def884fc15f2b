"""A grid: its lists are crossed, knobs that are lists are values, and the reference is the plainest match."""

from __future__ import annotations

import itertools

import pytest

from sweep.spec.grid import build_recipe, expand, reference
from trainables.errors import UserError


def test_lists_of_an_entry_are_crossed_the_last_varies_fastest() -> None:
    entries = [{"optimizer": "sam", "rho": [0.1, 0.2], "noise": [0, 3]}, {"optimizer": "sgd"}]
    found = list(expand(entries, "grid"))
    crossed = [{"optimizer": "sam", "rho": r, "noise": n} for r, n in itertools.product([0.1, 0.2], [0, 3])]
    assert found == [*(("grid[0]", knobs) for knobs in crossed), ("grid[1]", {"optimizer": "sgd"})]


def test_a_knob_that_is_a_list_is_one_value_unless_it_is_a_list_of_lists() -> None:
    one = list(expand([{"optimizer": "sgd", "augment": ["crop", "flip"]}], "grid"))
    two = list(expand([{"optimizer": "sgd", "augment": [["flip"], []]}], "grid"))
    assert [knobs["augment"] for _, knobs in one] == [["crop", "flip"]]
    assert [knobs["augment"] for _, knobs in two] == [["flip"], []]


def test_an_empty_list_names_its_place() -> None:
    with pytest.raises(UserError, match=r"^grid\[0\]\.rho: \[\] is empty; expected at least one value$"):
        list(expand([{"optimizer": "sam", "rho": []}], "grid"))


def test_a_mistake_is_blamed_on_the_entry_or_on_training() -> None:
    with pytest.raises(UserError, match=r"^grid\[3\]\.rho: "):
        build_recipe({"optimizer": "sam", "rho": -1}, "grid[3]", {"rho": -1})
    with pytest.raises(UserError, match=r"^training\.lr: "):
        build_recipe({"optimizer": "sam", "rho": 1, "lr": -1}, "grid[3]", {"rho": 1})


def test_the_reference_is_the_plainest_recipe_that_matches() -> None:
    entries = [{"optimizer": "sgd", "noise": [2, 0]}, {"optimizer": "sam", "rho": [0.1, 0.2]}]
    noisy, plain, first, second = (build_recipe(knobs, at, knobs) for at, knobs in expand(entries, "grid"))
    recipes = [noisy, plain, first, second]
    assert reference(recipes, None) == plain.recipe_id
    assert reference(recipes, "sam") == first.recipe_id
    assert reference(recipes, {"optimizer": "sgd", "noise": 2}) == noisy.recipe_id
    assert reference([first, second], None) is None
    with pytest.raises(UserError, match=r"audit\.reference: 'sma' matches no recipe; did you mean 'sam'"):
        reference(recipes, "sma")
