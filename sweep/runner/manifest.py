"""``manifest.json``: what a sweep directory is: recipes, context, versions, hardware, measured speed."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from sweep.runner import lease
from sweep.runner import stages as steps
from sweep.spec.schema import SweepSpec, reference
from trainables.errors import UserError
from trainables.recipe import Recipe
from trainables.records import Context
from trainables.storage import Store

BEFORE = (lease.FILE, steps.FILE)  # what may be there before the first manifest
PACKAGES = ("flatleak", "ray", "torch", "numpy", "scikit-learn", "opacus")


def read_manifest(store: Store) -> dict[str, Any] | None:
    """The manifest of a sweep directory, or None where there is none.

    Raises:
        UserError: the file is not a manifest.
    """
    try:
        value = json.loads(store.read("manifest.json"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise UserError(f"{store}/manifest.json: not valid JSON ({error}); expected a manifest") from error
    if not isinstance(value, dict) or "recipes" not in value or "context_id" not in value:
        raise UserError(f"{store}/manifest.json: holds no 'recipes' and 'context_id'; expected a manifest")
    return value


def require_manifest(store: Store) -> dict[str, Any]:
    """The manifest of what must be a sweep directory."""
    manifest = read_manifest(store)
    if manifest is None:
        raise UserError(
            f"{store} is not a sweep directory: it has no manifest.json; `flatleak run SPEC` makes one"
        )
    return manifest


def require_usable(store: Store) -> None:
    """Refuses an output directory that holds something else than a sweep."""
    if store.local is not None and store.local.exists() and not store.local.is_dir():
        raise UserError(f"--out {store}: is a file, expected a directory")
    if read_manifest(store) is None and any(entry.path not in BEFORE for entry in store.list()):
        raise UserError(
            f"--out {store}: is not a sweep directory: it holds files but no manifest.json; "
            "expected a new or empty directory, or an earlier sweep"
        )


def make_manifest(
    spec: SweepSpec,
    recipes: Sequence[Recipe],
    context: Context,
    hardware: Mapping[str, Any],
    previous: Mapping[str, Any] | None,
    **speed: Any,
) -> dict[str, Any]:
    """The manifest of a run of ``recipes``; ``speed`` holds stack and seconds, measured or remembered."""
    return {
        "name": spec.name,
        "context": context.model_dump(mode="json", exclude_none=True),
        "context_id": context.context_id,
        "recipes": {recipe.recipe_id: recipe.knobs for recipe in recipes},
        "reference": reference(recipes, spec.audit.reference),
        "seeds": spec.subsets.seeds,
        "first_seed": spec.subsets.first,
        **speed,
        "versions": _versions(),
        "hardware": dict(hardware),
        "git": _git_revision(),
        "created": (previous or {}).get("created") or time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "show_examples": spec.show_examples,
        "audit": spec.audit.model_dump(mode="json", exclude={"reference"}),
        "spec": spec.model_dump(mode="json", exclude_defaults=True),
    }


def write_manifest(store: Store, spec: SweepSpec, manifest: Mapping[str, Any]) -> None:
    store.write("spec.yaml", spec.to_yaml().encode())
    store.write("manifest.json", json.dumps(manifest, indent=1).encode())


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from a checkout that is not installed
            continue
    return found


def _git_revision() -> str | None:
    """The revision of the checkout that this code runs from, ``+`` behind it where files have changed."""
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
