"""The manifest of a run: recipes, context, versions, hardware, measured speed."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from sweep.runner import own_code
from sweep.spec.grid import reference
from sweep.spec.schema import SweepSpec
from trainables.directory import SPEC, Manifest, write_manifest
from trainables.recipe import Recipe
from trainables.records import Context
from trainables.storage import Store

PACKAGES = ("flatleak", "ray", "torch", "numpy", "scikit-learn", "opacus")


def replaced(previous: Manifest | None, context: Context) -> str | None:
    """Name the other sweep that a directory held, of other data, another model or other subsets.

    Args:
        previous: its manifest.
        context: that of the sweep to come.

    Returns:
        The first key of the contexts that differs, with both values; None where it is the same sweep.
    """
    if previous is None or previous.context_id == context.context_id:
        return None
    old, new = _flat(previous.context), _flat(context.model_dump(mode="json", exclude_none=True))
    for key in [*new, *old]:
        if old.get(key) != new.get(key):
            return f"{key} {_shown(old.get(key))}, now {_shown(new.get(key))}"
    return f"context {previous.context_id}, now {context.context_id}"


def _flat(values: Mapping[str, Any], at: str = "") -> dict[str, Any]:
    """Return nested mappings as one, with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{at}{key}.") if isinstance(value, Mapping) else {f"{at}{key}": value}
    return flat


def _shown(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def make_manifest(
    spec: SweepSpec,
    recipes: Sequence[Recipe],
    context: Context,
    data: Mapping[str, Any],
    hardware: Mapping[str, Any],
    previous: Manifest | None,
    **speed: Any,
) -> Manifest:
    """Describe a run of ``recipes`` on ``data``; ``speed``: stack and seconds, measured or remembered."""
    created = previous.created if previous else None
    return Manifest(
        name=spec.name,
        context=context.model_dump(mode="json", exclude_none=True),
        data=dict(data),
        context_id=context.context_id,
        recipes={recipe.recipe_id: recipe.knobs for recipe in recipes},
        reference=reference(recipes, spec.audit.reference),
        seeds=spec.subsets.seeds,
        first_seed=spec.subsets.first,
        **speed,
        versions=_versions(),
        own_code=own_code.hashes(context, recipes, previous),
        hardware=dict(hardware),
        git=_git_revision(),
        created=created or time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        show_examples=spec.show_examples,
        audit=spec.audit.model_dump(mode="json", exclude={"reference"}),
        spec=spec.model_dump(mode="json", exclude_defaults=True),
    )


def write(store: Store, spec: SweepSpec, manifest: Manifest) -> None:
    """Write the manifest and the spec beside it."""
    store.write(SPEC, spec.to_yaml().encode())
    write_manifest(store, manifest)


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from a checkout that is not installed
            continue
    return found


def _git_revision() -> str | None:
    """Return the revision of the checkout that this code runs from, ``+`` behind it where files changed."""
    try:
        _git("ls-files", "--error-unmatch", Path(__file__).name)  # else installed inside somebody's checkout
        return _git("describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*") or None
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> str:
    here = str(Path(__file__).resolve().parent)
    quiet = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    return subprocess.run(
        ["git", "-C", here, *arguments], capture_output=True, text=True, timeout=5, check=True, env=quiet
    ).stdout.strip()
