"""The manifest, the listing of addresses and the rule for the reference, against counting by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from trainables.directory import (
    Manifest,
    addresses,
    failure_path,
    read_manifest,
    read_table,
    reference_recipe,
    require_manifest,
    write_manifest,
    write_table,
)
from trainables.errors import UserError
from trainables.records import Address
from trainables.storage import Store

SGD, SAM, NOISY = {"optimizer": "sgd"}, {"optimizer": "sam", "rho": 0.1}, {"optimizer": "sgd", "noise": 1}
VALUES = {"context_id": "0" * 10, "recipes": {"a": SGD}, "seeds": 4, "first_seed": 2}


def test_a_manifest_is_read_as_it_was_written_with_keys_of_later_releases(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    assert read_manifest(store) is None
    made = Manifest.model_validate(VALUES | {"later": [1]})
    write_manifest(store, made)
    assert require_manifest(store) == made
    assert json.loads((tmp_path / "manifest.json").read_text())["later"] == [1]
    assert list(made.seed_range) == [2, 3, 4, 5]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"recipes": ', "not valid JSON"),
        ("[]", "the whole: input should be"),
        ("{}", "context_id: field required"),
        (json.dumps(VALUES | {"seeds": "many"}), "seeds: input should be a valid integer"),
        (json.dumps(VALUES | {"recipes": [SGD]}), "recipes: input should be a valid dictionary"),
    ],
)
def test_what_is_wrong_with_a_manifest_is_named(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(UserError, match="expected a manifest") as error:
        read_manifest(Store.at(tmp_path))
    assert f"{tmp_path}/manifest.json: {says}" in str(error.value)


def test_the_reference_is_the_named_recipe_else_the_plainest_sgd_else_the_first() -> None:
    recipes = {"c": SAM, "b": NOISY, "a": SGD}
    assert reference_recipe(recipes, "c") == "c"
    assert reference_recipe(recipes, "gone") == "a"
    assert reference_recipe(recipes) == "a"
    assert reference_recipe({"c": SAM, "d": SAM}) == "c"
    assert reference_recipe({}) is None


def test_addresses_are_those_of_the_manifests_recipes_and_context(tmp_path: Path) -> None:
    store, mine = Store.at(tmp_path), "1" * 10
    kept = Address(mine, "0" * 10, 0, 3)
    for address in (kept, Address("2" * 10, "0" * 10, 0, 3), Address(mine, "9" * 10, 0, 3)):
        store.write(address.path, b"")
        store.write(failure_path(address), b"")
    store.write("records/readme.txt", b"")
    manifest = Manifest.model_validate(VALUES | {"recipes": {mine: SGD}})
    assert len(list(addresses(store))) == 3
    assert list(addresses(store, manifest)) == [kept]
    assert list(addresses(store, manifest, folder="failures", suffix=".json")) == [kept]


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    table = pd.DataFrame({"recipe_id": ["a", "b"], "value": [1.5, 2.5]}, index=[7, 8])
    write_table(Store.at(tmp_path), "examples/a", table)
    pd.testing.assert_frame_equal(read_table(Store.at(tmp_path), "examples/a"), table.reset_index(drop=True))
