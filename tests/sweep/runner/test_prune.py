"""What no recipe names is listed and deleted, and nothing else, on records that were written by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.audit.artefacts import path_of
from sweep.runner import lease
from sweep.runner.prune import prune, unnamed
from tests.helpers.small_sweeps import CONTEXT, SAM, SGD, files, put, sweep
from trainables.errors import UserError
from trainables.storage import Store


def test_prune_takes_what_no_recipe_names_and_nothing_else(root: str, tmp_path: Path) -> None:
    store = sweep(f"{root}/a", [SGD], range(4))
    put(store, SGD, range(4, 8))  # seeds that the manifest does not ask for now
    store.write(path_of(SGD.recipe_id), b"kept")
    store.write("notes.txt", b"the user's own")
    store.write("records/notes.txt", b"as well")
    kept = files(store)
    gone = {put(store, SAM, range(4)).path: "no such recipe"}
    for path in (
        f"progress/{SAM.recipe_id}/{CONTEXT.context_id}-4-7.npz",
        path_of(SAM.recipe_id),
    ):
        store.write(path, b"1234")
        gone[path] = "no such recipe"
    other = f"records/{SGD.recipe_id}/0123456789-0-3.npz"
    failure = f"failures/{SAM.recipe_id}/{CONTEXT.context_id}-0-3.json"
    store.write(other, b"")
    store.write(failure, b"{}")
    gone |= {other: "another context", failure: "no such recipe"}
    before = files(store)
    assert {file.path: file.why for file in unnamed(store)} == gone
    assert files(store) == before
    sizes = {file.path: file.bytes for file in prune(store)}
    assert sizes == {path: len(before[path]) for path in gone}
    assert files(store) == kept
    assert not (tmp_path / "a" / "records" / SAM.recipe_id).exists()
    assert prune(store) == []


def test_prune_refuses_beside_a_driver_and_without_a_sweep(tmp_path: Path) -> None:
    store = sweep(tmp_path / "a", [SGD], range(4))
    put(store, SAM, range(4))
    with lease.hold(store):
        before = files(store)
        with pytest.raises(UserError, match="already driven by process"):
            prune(store)
        assert len(unnamed(store)) == 1
        assert files(store).keys() == before.keys()
    with pytest.raises(UserError, match="is not a sweep directory"):
        prune(Store.at(tmp_path / "d"))
    assert not (tmp_path / "d").exists()
