"""The manifest of a run: what it says of the sweep, the release and the checkout, and what it replaces."""

from __future__ import annotations

import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch

from sweep import SweepSpec
from sweep.runner import manifest as module
from sweep.runner.manifest import make_manifest, replaced, write
from tests.helpers.small_sweeps import CONTEXT
from trainables.directory import Manifest, require_manifest
from trainables.storage import Store

SPEC = SweepSpec.load("smoke")


def made(previous: Manifest | None = None) -> Manifest:
    context = SPEC.context("f" * 16)
    return make_manifest(SPEC, SPEC.recipes, context, {"n": 1}, {"cpus": 2}, previous, stack=4)


def test_it_says_what_is_swept_with_what_and_when_it_began() -> None:
    found = made()
    assert found.recipes == {recipe.recipe_id: recipe.knobs for recipe in SPEC.recipes}
    assert (found.first_seed, found.seeds, found.stack) == (SPEC.subsets.first, SPEC.subsets.seeds, 4)
    assert found.recipes[str(found.reference)]["optimizer"] == "sgd"
    assert SweepSpec.of(found.spec) == SPEC
    assert found.versions["python"] == platform.python_version()
    assert found.versions["numpy"] == np.__version__
    assert found.versions["torch"] == version("torch")
    assert torch.__version__.startswith(found.versions["torch"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found.created or "")
    later = made(found.model_copy(update={"created": "2026-01-01T00:00:00Z"}))
    assert later.created == "2026-01-01T00:00:00Z", "of the first run"


def test_what_is_written_is_read_and_the_spec_lies_beside_it(tmp_path: Path) -> None:
    store, found = Store.at(tmp_path), made()
    write(store, SPEC, found)
    assert require_manifest(store) == found
    assert SweepSpec.load(str(tmp_path / "spec.yaml")) == SPEC


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, None),
        ({"sweep_seed": 3}, "sweep_seed 0, now 3"),
        ({"model": {"name": "mlp", "hidden": [8]}}, "model.hidden none, now [8]"),
        ({"model": {"name": "x" * 99}}, f"model.name mlp, now {'x' * 60}..."),
    ],
)
def test_another_sweep_is_told_by_the_first_key_that_differs(changes: dict, says: str | None) -> None:
    before = Manifest(
        name="x",
        context=CONTEXT.model_dump(mode="json", exclude_none=True),
        context_id=CONTEXT.context_id,
        recipes={},
        seeds=2,
    )
    assert replaced(before, CONTEXT.model_copy(update=changes)) == says
    assert replaced(None, CONTEXT) is None


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    done = subprocess.run(
        ["git", "-C", str(folder), *who, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_the_revision_is_that_of_the_checkout_and_marked_where_files_have_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "manifest.py"
    file.write_text("a = 1\n")
    monkeypatch.setattr(module, "__file__", str(file))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert module._git_revision() is None, "no checkout"
    git(tmp_path, "init", "-q")
    assert module._git_revision() is None, "somebody's checkout that this code only lies in"
    git(tmp_path, "add", "manifest.py")
    git(tmp_path, "commit", "-q", "-m", "one")
    assert module._git_revision() == git(tmp_path, "rev-parse", "--short=12", "HEAD")
    file.write_text("a = 2\n")
    assert str(module._git_revision()).endswith("+")
