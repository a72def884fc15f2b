"""A grid: entries of knobs, whose lists are crossed, become recipes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_origin

from pydantic import ValidationError

from sweep.spec.explaining import explain, short
from trainables.errors import UserError
from trainables.recipe import Recipe
from trainables.registry import nearest


def expand(entries: Iterable[Mapping[str, Any]], at: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Cross the lists of each entry of a grid.

    Args:
        entries: Knobs by name; a list is crossed with the others of its entry.
        at: What errors call the grid.

    Yields:
        The place of the entry and one combination of its knobs.

    Raises:
        UserError: A list is empty.
    """
    for i, entry in enumerate(entries):
        axes = [choices(key, value, f"{at}[{i}].{key}") for key, value in entry.items()]
        for combination in itertools.product(*axes):
            yield f"{at}[{i}]", dict(zip(entry, combination, strict=True))


def choices(key: str, value: Any, at: str) -> list[Any]:
    """List the values of one knob that are crossed with the others'.

    Args:
        key: The knob.
        value: Its value, or a list of values. A knob that is itself a list varies only as a list of lists.
        at: What errors call the place.

    Returns:
        The values, at least one.

    Raises:
        UserError: The list is empty.
    """
    if key == "options" and isinstance(value, Mapping):
        axes = [choices(name, listed, f"{at}.{name}") for name, listed in value.items()]
        return [dict(zip(value, combination, strict=True)) for combination in itertools.product(*axes)]
    field = Recipe.model_fields.get(key)
    is_list = field is not None and get_origin(field.annotation) is tuple
    if not isinstance(value, list) or (is_list and not any(isinstance(v, list) for v in value)):
        return [value]
    if not value:
        raise UserError(f"{at}: [] is empty; expected at least one value")
    return value


def build_recipe(values: Mapping[str, Any], at: str, own: Mapping[str, Any]) -> Recipe:
    """Make a recipe, and say where a mistake lies.

    Args:
        values: All knobs.
        at: The place of the entry that gave ``own``.
        own: Those of the entry; a mistake in any other is blamed on ``training``.

    Returns:
        The recipe.

    Raises:
        UserError: A knob that cannot be had.
    """
    try:
        return Recipe.model_validate(dict(values))
    except ValidationError as error:
        location = error.errors()[0]["loc"]
        blamed = at if not location or location[0] in own else "training"
        raise explain(error, Recipe, blamed) from None


def reference(recipes: Iterable[Recipe], wanted: str | Mapping[str, Any] | None) -> str | None:
    """Find the recipe that ``audit.reference`` means.

    Args:
        recipes: The recipes of the sweep.
        wanted: An optimizer's name, or knobs; None is plain ``sgd``.

    Returns:
        The recipe_id of the plainest match; None where nothing was wanted and there is no ``sgd``.

    Raises:
        UserError: No recipe matches what was wanted.
    """
    knobs = {"optimizer": wanted or "sgd"} if not isinstance(wanted, Mapping) else wanted
    matching = [r for r in recipes if all(r.knobs.get(k, 0) == (v or 0) for k, v in knobs.items())]
    if matching:
        return min(matching, key=lambda r: len(r.knobs)).recipe_id
    if wanted is None:
        return None
    names = {r.optimizer for r in recipes}
    hint = (
        f"; {nearest(wanted, names)}"
        if isinstance(wanted, str)
        else "; expected knobs of a recipe of the grid"
    )
    raise UserError(f"audit.reference: {short(wanted)} matches no recipe{hint}")
