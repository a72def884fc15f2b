"""Labels: what they show, and that they tell recipes apart."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from tests.helpers.recipes import knobs
from trainables import Recipe
from trainables.labels import flat, label, labels


def test_labels_show_what_tells_recipes_apart() -> None:
    recipes = [Recipe(), Recipe(lr=0.05), Recipe(optimizer="sam", rho=0.1, augment=["flip", "crop"])]
    assert labels(r.knobs for r in recipes) == [
        "sgd lr=0.1",
        "sgd lr=0.05",
        "sam lr=0.1 augment=crop+flip rho=0.1",
    ]
    assert label(recipes[2].knobs) == "sam rho=0.1"


@given(st.lists(knobs(), max_size=5))
@example([{"optimizer": "sam", "rho": rho} for rho in (1.0, 1.0000001, 1.5)])
def test_different_recipes_have_different_labels(values: list[dict]) -> None:
    unique = {Recipe(**v).recipe_id: Recipe(**v).knobs for v in values}
    found = labels(unique.values())
    assert len(set(found)) == len(found) == len(unique)
    assert found == labels(list(unique.values())), "of any iterable"


def test_numbers_have_more_than_six_digits_only_where_these_tell_nothing() -> None:
    close = [{"optimizer": "sam", "rho": rho} for rho in (1.0, 1.0000001, 1 / 3)]
    assert labels(close) == ["sam rho=1", "sam rho=1.0000001", "sam rho=0.333333"]


def test_options_of_an_optimizer_of_ones_own_are_knobs_of_their_own() -> None:
    own = {"optimizer": "mine:rule", "options": {"radius": 0.1, "layers": ["a", "b"]}, "epochs": 3}
    assert flat(own) == {
        "optimizer": "mine:rule",
        "epochs": 3,
        "options.radius": 0.1,
        "options.layers": ["a", "b"],
    }
    assert label(own) == "mine:rule radius=0.1 layers=a+b"
    assert label({}) == "sgd"
