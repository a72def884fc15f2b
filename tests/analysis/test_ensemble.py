"""Records of a sweep directory as ensembles."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from analysis import load_sweep
from analysis.ensemble import ensemble_of
from tests.helpers.simulated_records import simulate
from trainables.data.subsets import Subsets
from trainables.errors import UserError
from trainables.records import FLOAT_SIGNALS, Address, RecordError, content_id, write_record
from trainables.storage import Store

SGD, SAM = {"optimizer": "sgd"}, {"optimizer": "sam", "rho": 0.1}


def put(directory: Path, seeds: range, recipe: dict[str, object], **options: object) -> str:
    record = simulate(seeds, recipe=recipe, **options)  # type: ignore[arg-type]
    recipe_id = content_id(recipe)
    write_record(
        Store.at(directory), Address(recipe_id, record.context.context_id, seeds[0], seeds[-1]), record
    )
    return recipe_id


def manifest(directory: Path, recipes: list[dict[str, object]]) -> None:
    context_id = simulate(range(2)).context.context_id
    known = {content_id(r): r for r in recipes}
    content = {"name": "mine", "context_id": context_id, "recipes": known, "seeds": 2}
    (directory / "manifest.json").write_text(json.dumps(content))


def test_blocks_join_in_order_of_their_seeds(tmp_path: Path) -> None:
    for seeds in (range(4, 10), range(0, 4)):
        recipe_id = put(tmp_path, seeds, SGD, queries=2)
    ensemble = load_sweep(tmp_path)[recipe_id]
    whole = simulate(range(10), queries=2)
    assert ensemble.seeds.tolist() == list(range(10))
    assert ensemble.replicas == 10
    np.testing.assert_array_equal(ensemble.members, whole.members)
    np.testing.assert_array_equal(ensemble.signal("train", "margin"), whole.train.margin)
    np.testing.assert_array_equal(ensemble.signal("test", "correct"), whole.test.correct)
    np.testing.assert_array_equal(ensemble.per_replica("test_accuracy"), whole.test_accuracy)
    assert ensemble.clusters.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_a_seed_in_two_records_counts_once(tmp_path: Path) -> None:
    put(tmp_path, range(0, 4), SGD)
    recipe_id = put(tmp_path, range(2, 8), SGD)
    ensemble = load_sweep(tmp_path)[recipe_id]
    assert ensemble.seeds.tolist() == list(range(8))
    np.testing.assert_array_equal(ensemble.signal("train", "entropy"), simulate(range(8)).train.entropy)


def test_the_manifest_decides_recipes_order_and_context(tmp_path: Path) -> None:
    first, second = put(tmp_path, range(2), SAM), put(tmp_path, range(2), SGD)
    put(tmp_path, range(2), {"optimizer": "asam", "rho": 1.0})
    put(tmp_path, range(2), SGD, world=1)
    with pytest.raises(UserError, match=r"contexts .* are mixed"):
        load_sweep(tmp_path)
    manifest(tmp_path, [SAM, SGD, {"optimizer": "gsam"}])
    ensembles = load_sweep(tmp_path)
    assert list(ensembles) == [first, second]
    assert [e.label for e in ensembles.values()] == ["sam rho=0.1", "sgd"]


def test_restrict_keeps_these_seeds_only(tmp_path: Path) -> None:
    put(tmp_path, range(0, 4), SGD)
    recipe_id = put(tmp_path, range(4, 8), SGD)
    ensemble = load_sweep(tmp_path)[recipe_id]
    part = ensemble.restrict(np.array([1, 5, 99]))
    assert part.seeds.tolist() == [1, 5]
    np.testing.assert_array_equal(part.members, ensemble.members[[1, 5]])
    assert ensemble.restrict(np.array([0, 1])).seeds.tolist() == [0, 1]
    kept = ensemble.kept()
    kept.signal("train", "margin")
    again = kept.restrict(np.array([1, 5, 99]))
    assert again.seeds.tolist() == part.seeds.tolist()
    for name in ("margin", "entropy"):  # read before and after
        np.testing.assert_array_equal(again.signal("train", name), part.signal("train", name))


def test_kept_reads_each_signal_once(tmp_path: Path) -> None:
    recipe_id = put(tmp_path, range(4), SGD)
    ensemble = load_sweep(tmp_path)[recipe_id]
    kept = ensemble.kept()
    assert kept.signal("train", "margin") is kept.signal("train", "margin")
    assert ensemble.signal("train", "margin") is not ensemble.signal("train", "margin")


def test_loading_reads_no_signals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe_id = put(tmp_path, range(4), SGD)
    manifest(tmp_path, [SGD])
    read: set[str] = set()
    real = ZipFile.read

    def seen(archive: ZipFile, name: str) -> bytes:
        read.add(name.removesuffix(".npy"))
        return real(archive, name)

    monkeypatch.setattr(ZipFile, "read", seen)
    ensemble = load_sweep(tmp_path)[recipe_id]
    signals = {f"{side}_{name}" for side in ("train", "test") for name in ("correct", *FLOAT_SIGNALS)}
    assert "version" in read
    assert not read & signals
    ensemble.signal("train", "margin")
    assert read & signals == {"train_margin"}


def test_empty_and_broken_directories_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no records to audit"):
        load_sweep(tmp_path)
    recipe_id = put(tmp_path, range(2), SGD)
    (file,) = (tmp_path / "records" / recipe_id).iterdir()
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(RecordError, match=file.name):
        load_sweep(tmp_path)


def test_independent_subsets_are_their_own_clusters() -> None:
    ensemble = ensemble_of(simulate(range(5), subsets=Subsets(scheme="fraction", fraction=0.7)))
    assert ensemble.clusters.tolist() == [0, 1, 2, 3, 4]


def test_a_record_in_memory_is_an_ensemble_in_order_of_seeds() -> None:
    record = simulate(range(4))
    shuffled = replace(
        record,
        seeds=record.seeds[::-1],
        members=record.members[::-1],
        test_accuracy=record.test_accuracy[::-1],
    )
    ensemble = ensemble_of(shuffled)
    assert ensemble.label == "sgd"
    np.testing.assert_array_equal(ensemble.members, record.members)
    np.testing.assert_array_equal(ensemble.per_replica("test_accuracy"), record.test_accuracy)
