"""Two sweeps in one: what is joined, what is refused, on records that were written by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from analysis import load_sweep
from sweep import SweepSpec
from sweep.runner import lease
from sweep.runner.merge import merge
from sweep.runner.plan import take_stock
from tests.helpers.small_sweeps import CONTEXT, SAM, SGD, files, put, sweep
from trainables.directory import require_manifest
from trainables.errors import UserError
from trainables.storage import Store


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


def test_merge_refuses_beside_a_driver_and_without_a_sweep(tmp_path: Path) -> None:
    store, other = sweep(tmp_path / "a", [SGD], range(4)), sweep(tmp_path / "b", [SAM], range(4))
    with lease.hold(store):
        before = files(store)
        third = sweep(tmp_path / "c", [SAM], range(4))
        with pytest.raises(UserError, match="already driven by process"):
            merge(other, third, store)
        assert files(store).keys() == before.keys()
    with pytest.raises(UserError, match="is not a sweep directory"):
        merge(store, Store.at(tmp_path / "d"), store)
    assert not (tmp_path / "d").exists()
