"""Models and optimizers of a user's own: an address names them, so a change of their code is said."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Sequence
from pathlib import Path

from trainables.directory import Manifest
from trainables.recipe import Recipe
from trainables.records import Context


def hashes(context: Context, recipes: Sequence[Recipe], previous: Manifest | None) -> dict[str, str]:
    """Hash the files that hold models and optimizers of a user's own.

    Args:
        context: That of the sweep; its model may be an import string.
        recipes: Their optimizers may be.
        previous: The manifest of an earlier run; what it says of the same context stays, for the replicas of
            that run are there.

    Returns:
        SHA-256 by import string ``package.module:attribute``.
    """
    names = [str(context.model["name"]), *(recipe.optimizer for recipe in recipes)]
    found = {name: _hash(name) for name in names if ":" in name}
    if previous is None or previous.context_id != context.context_id:
        return found
    return found | {name: old for name, old in previous.own_code.items() if name in found}


def changed(context: Context, recipes: Sequence[Recipe], previous: Manifest | None) -> list[str]:
    """Find code that has changed since the first replicas of a sweep were trained.

    Args:
        context: That of the sweep.
        recipes: Its recipes.
        previous: The manifest of an earlier run.

    Returns:
        The import strings.
    """
    then = hashes(context, recipes, previous)
    return [name for name, now in hashes(context, recipes, None).items() if then[name] != now]


def _hash(name: str) -> str:
    file = importlib.import_module(name.partition(":")[0]).__file__
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""
