"""``flatleak prune`` and ``flatleak merge`` on records that were written by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from analysis import load_sweep
from analysis.audit.artefacts import path_of
from sweep import SweepSpec
from sweep.runner import lease
from sweep.runner.merge import merge
from sweep.runner.plan import take_stock
from sweep.runner.prune import prune, unnamed
from tests.helpers.simulated_records import simulate
from trainables import Recipe
from trainables.directory import Manifest, require_manifest, write_manifest
from trainables.errors import UserError
from trainables.records import Address, write_record
from trainables.storage import Store

SGD, SAM = Recipe(optimizer="sgd"), Recipe(optimizer="sam", rho=0.1, augment=("flip",))
CONTEXT = simulate([0, 1]).context


@pytest.fixture(params=["disk", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where sweeps lie."""
    return str(tmp_path) if request.param == "disk" else request.getfixturevalue("s3").uri("sweeps")


def put(store: Store, recipe: Recipe, seeds: range, leak: float = 1.0) -> Address:
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
    return {entry.path: store.read(entry.path) for entry in store.list()}


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


def test_prune_and_merge_refuse_beside_a_driver_and_without_a_sweep(tmp_path: Path) -> None:
    store, other = sweep(tmp_path / "a", [SGD], range(4)), sweep(tmp_path / "b", [SAM], range(4))
    put(store, SAM, range(4))
    with lease.hold(store):
        before = files(store)
        with pytest.raises(UserError, match="already driven by process"):
            prune(store)
        third = sweep(tmp_path / "c", [SAM], range(4))
        with pytest.raises(UserError, match="already driven by process"):
            merge(other, third, store)
        assert len(unnamed(store)) == 1
        assert files(store).keys() == before.keys()
    for nowhere in (
        lambda: prune(Store.at(tmp_path / "d")),
        lambda: merge(store, Store.at(tmp_path / "d"), store),
    ):
        with pytest.raises(UserError, match="is not a sweep directory"):
            nowhere()
    assert not (tmp_path / "d").exists()


def test_merge_joins_recipes_and_seeds(root: str) -> None:
    a, b = sweep(f"{root}/a", [SGD], range(8)), sweep(f"{root}/b", [SAM, SGD], range(4, 16))
    put(a, SAM, range(4))  # of a recipe that the manifest of a does not name
    before = files(a), files(b)
    out = Store.at(f"{root}/c")
    done = merge(a, b, out)
    assert (done.recipes, done.seeds, done.copied, done.repeated) == (2, range(16), 8 + 12 + 8, 4)
    assert (files(a), files(b)) == before
    assert not out.exists("driver.json")
    manifest = require_manifest(out)
    assert list(manifest.recipes) == [SGD.recipe_id, SAM.recipe_id]
    joined = load_sweep(out)
    assert joined[SGD.recipe_id].seeds.tolist() == list(range(16))
    assert joined[SAM.recipe_id].seeds.tolist() == list(range(4, 16))
    alone = load_sweep(a)[SGD.recipe_id].signal("train", "margin")
    assert np.array_equal(joined[SGD.recipe_id].signal("train", "margin")[:8], alone)
    spec = SweepSpec.of(yaml.safe_load(out.read("spec.yaml")))
    assert {r.recipe_id: r.knobs for r in spec.recipes} == manifest.recipes
    assert spec.subsets.range == range(16)
    stock = take_stock(out, list(manifest.recipes), manifest.context_id, spec.subsets.range)
    assert stock.missing == 4


def test_merge_goes_on_where_it_was_and_names_what_is_damaged(root: str) -> None:
    a, b, out = (
        sweep(f"{root}/a", [SGD], range(4)),
        sweep(f"{root}/b", [SAM], range(4)),
        Store.at(f"{root}/c"),
    )
    bad = put(b, SAM, range(4))
    whole = b.read(bad.path)
    b.write(bad.path, whole[:-30])
    first = merge(a, b, out)
    assert (first.copied, first.repeated) == (4, 0)
    assert len(first.damaged) == 1
    assert bad.path in first.damaged[0]
    b.write(bad.path, whole)
    again = merge(a, b, out)
    assert (again.copied, again.repeated, again.damaged) == (4, 4, ())
    assert merge(b, a, out).copied == 0
    assert len(require_manifest(out).recipes) == 2


def test_merge_names_the_key_that_differs(tmp_path: Path) -> None:
    context = CONTEXT.model_copy(update={"sweep_seed": 3, "model": {"name": "mlp", "hidden": [8]}})
    changes = {"context": context.model_dump(mode="json"), "context_id": context.context_id}
    a, b = sweep(tmp_path / "a", [SGD], range(4)), sweep(tmp_path / "b", [SGD], range(4), **changes)
    out = Store.at(tmp_path / "c")
    with pytest.raises(UserError) as refused:
        merge(a, b, out)
    said = str(refused.value)
    assert f"sweep_seed is 0 in {a} and 3 in {b}" in said
    assert f"model.hidden is None in {a} and [8] in {b}" in said
    assert "fingerprint" not in said
    assert "dataset" not in said
    assert "\n" not in said
    assert not (tmp_path / "c").exists()
    merge(a, sweep(tmp_path / "d", [SAM], range(4)), out)
    with pytest.raises(UserError, match="two contexts"):
        merge(b, b, out)
    with pytest.raises(UserError, match="is one of the sweeps"):
        merge(a, b, a)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("")
    with pytest.raises(UserError, match="is not a sweep directory"):
        merge(a, a, Store.at(tmp_path / "full"))


def test_merge_shows_pictures_and_says_versions_as_both_allow(tmp_path: Path) -> None:
    a = sweep(tmp_path / "a", [SGD], range(4), versions={"torch": "2.6.0", "numpy": "2.0"})
    b = sweep(
        tmp_path / "b", [SAM], range(4), versions={"torch": "2.7.0", "numpy": "2.0"}, show_examples=False
    )
    done = merge(a, b, Store.at(tmp_path / "c"))
    assert done.differences == (f"torch is '2.6.0' in {a} and '2.7.0' in {b}",)
    assert require_manifest(Store.at(tmp_path / "c")).show_examples is False
    assert json.loads(json.dumps(done.to_json()))["seeds"] == 4


def test_the_commands(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from sweep.commands import app

    a, b = sweep(tmp_path / "a", [SGD], range(4)), sweep(tmp_path / "b", [SAM], range(4))
    runner = CliRunner()
    merged = runner.invoke(app, ["merge", str(a), str(b), "--out", str(tmp_path / "c"), "--json"])
    assert json.loads(merged.stdout)["copied"] == 8
    put(a, SAM, range(4))
    listed = runner.invoke(app, ["prune", str(a)])
    assert listed.stdout.startswith(f"records/{SAM.recipe_id}/")
    assert "no such recipe" in listed.stdout
    assert json.loads(runner.invoke(app, ["prune", str(a), "--yes", "--json"]).stdout)["deleted"] is True
    assert unnamed(a) == []
