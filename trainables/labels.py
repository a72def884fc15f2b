"""Names of recipes for people: ``"sam rho=0.1 noise=2"``. Needs no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from trainables.knobs import TRAINING


def label(knobs: Mapping[str, Any], show: Iterable[str] = (), *, exact: bool = False) -> str:
    """Return the name of one recipe: its optimizer, then its knobs.

    Args:
        knobs: The content of a recipe, as `trainables.Recipe.knobs` gives it.
        show: Training hyper-parameters to name too; the others are left out.
        exact: Whether numbers have all their digits, not six at most.

    Returns:
        The label.

    >>> label({"optimizer": "sam", "rho": 0.1, "epochs": 40})
    'sam rho=0.1'
    >>> label({"optimizer": "mine:lookahead", "options": {"radius": 0.1}})
    'mine:lookahead radius=0.1'
    """
    hidden = set(TRAINING) - set(show) | {"optimizer"}
    shown = [
        f"{name.removeprefix('options.')}={_text(value, exact)}"
        for name, value in flat(knobs).items()
        if name not in hidden
    ]
    return " ".join([str(knobs.get("optimizer", "sgd")), *shown])


def labels(recipes: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return one label a recipe, telling apart every two that differ in any knob.

    Args:
        recipes: The contents of the recipes.

    Returns:
        Their labels, in the same order.
    """
    recipes = list(recipes)
    varying = {name for name in TRAINING if len({str(r.get(name, 0)) for r in recipes}) > 1}
    named = [label(recipe, varying) for recipe in recipes]
    often = Counter(named)
    return [
        label(recipe, varying, exact=True) if often[name] > 1 else name
        for recipe, name in zip(recipes, named, strict=True)
    ]


def flat(knobs: Mapping[str, Any]) -> dict[str, Any]:
    """Name the options of an optimizer of one's own ``options.<name>``, for labels and columns.

    >>> flat({"optimizer": "mine:rule", "options": {"radius": 0.1}})
    {'optimizer': 'mine:rule', 'options.radius': 0.1}
    """
    out = {name: value for name, value in knobs.items() if name != "options"}
    return out | {f"options.{name}": value for name, value in knobs.get("options", {}).items()}


def _text(value: Any, exact: bool) -> str:
    if isinstance(value, list):
        return "+".join(map(str, value))
    if not isinstance(value, float):
        return str(value)
    rounded = f"{value:g}"
    return repr(value) if exact and float(rounded) != value else rounded
