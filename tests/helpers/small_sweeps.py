"""Sweep directories of a few records, written without training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.helpers.simulated_records import simulate
from trainables import Recipe
from trainables.directory import Manifest, write_manifest
from trainables.records import Address, write_record
from trainables.storage import Store

SGD, SAM = Recipe(optimizer="sgd"), Recipe(optimizer="sam", rho=0.1, augment=("flip",))
CONTEXT = simulate([0, 1]).context


def put(store: Store, recipe: Recipe, seeds: range, leak: float = 1.0) -> Address:
    """Writes a record of these subset seeds; returns its address."""
    address = Address(recipe.recipe_id, CONTEXT.context_id, seeds.start, seeds.stop - 1)
    write_record(store, address, simulate(seeds, recipe=recipe.knobs, leak=leak))
    return address


def sweep(path: Path | str, recipes: list[Recipe], seeds: range, **changes: Any) -> Store:
    """A sweep directory with a record of every recipe."""
    store = Store.at(path)
    manifest = Manifest(
        name="simulated",
        context=CONTEXT.model_dump(mode="json", exclude_none=True),
        context_id=CONTEXT.context_id,
        recipes={recipe.recipe_id: recipe.knobs for recipe in recipes},
        seeds=len(seeds),
        first_seed=seeds.start,
        spec={"name": "simulated", "dataset": {"name": "digits"}, "grid": [{"optimizer": "sgd"}]},
    )
    write_manifest(store, manifest.model_copy(update=changes))
    for recipe in recipes:
        put(store, recipe, seeds)
    return store


def files(store: Store) -> dict[str, bytes]:
    """Everything in a directory by its path."""
    return {entry.path: store.read(entry.path) for entry in store.list()}
