"""The defended recipes of a sweep that are worth measuring again, on subset seeds that it did not use.

    python -m analysis.studies.choosing runs/cifar10-resnet9-mitigation-search

Prints them as entries of a spec's ``grid``.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from analysis.results import Tables
from analysis.studies.paper import ACCURACY_LOSS
from trainables.errors import UserError
from trainables.knobs import DEFENCES, KNOBS


def choose(tables: Tables, count: int = 2) -> list[dict[str, Any]]:
    """Choose the recipes that take most of LiRA's advantage for little accuracy.

    Args:
        tables: An audited sweep of plain SAM and of defended recipes.
        count: How many to choose.

    Returns:
        Their knobs as a grid holds them. First come those that test at most 0.8 points (the published loss)
        below the best plain SAM, by falling LiRA advantage taken; then the others by accuracy.

    Raises:
        UserError: The sweep lacks plain SAM or a defended recipe.
    """
    knobs = tables.manifest.recipes
    table = tables.recipes.loc[[recipe_id for recipe_id in knobs if recipe_id in tables.recipes.index]]
    defended = table.index.map(lambda recipe_id: bool(DEFENCES & knobs[recipe_id].keys())).to_numpy(bool)
    plain = table[~defended & (table["optimizer"] == "sam").to_numpy()]
    if plain.empty or not defended.any():
        raise UserError(f"{tables.store}: expected plain SAM and defended recipes to choose from")
    bar = plain["test_accuracy"].max() - ACCURACY_LOSS
    near = table[defended & (table["test_accuracy"] >= bar)].sort_values("lira_advantage", kind="stable")
    far = table[defended].drop(near.index).sort_values("test_accuracy", ascending=False, kind="stable")
    return [_entry(knobs[str(recipe_id)]) for recipe_id in [*near.index, *far.index][:count]]


def _entry(knobs: dict[str, Any]) -> dict[str, Any]:
    """Return the knobs that a grid names: the optimizer's and the defences."""
    return {name: value for name, value in knobs.items() if KNOBS[name] != "training"}


def main(directory: str) -> None:
    """Print the choice as one line of YAML."""
    print(", ".join(json.dumps(entry) for entry in choose(Tables.of(directory))))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except UserError as error:
        sys.exit(f"error: {error}")
