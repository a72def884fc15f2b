"""What to mind of a recipe's figures, told by the audit itself; and no warning of NumPy's on the way."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.audit.caveats import caveats
from analysis.audit.sweep_audit import audit_sweep
from analysis.ensemble import ensemble_of
from tests.helpers.simulated_records import simulate
from trainables.data.subsets import Subsets
from trainables.records import Address, content_id, write_record
from trainables.storage import Store

FEW_TESTS = "90 test examples: test accuracy is rough"


def audited(directory: Path, seeds: int, subsets: Subsets | None = None, **options: object) -> pd.DataFrame:
    """The results of one simulated recipe; any warning on the way is an error."""
    store, knobs = Store.at(directory), {"optimizer": "sgd"}
    record = simulate(range(seeds), recipe=knobs, subsets=subsets)
    recipe_id, context_id = content_id(knobs), record.context.context_id
    write_record(store, Address(recipe_id, context_id, 0, seeds - 1), record)
    manifest = {"context_id": context_id, "recipes": {recipe_id: knobs}, "seeds": seeds}
    store.write("manifest.json", json.dumps(manifest).encode())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        audit_sweep(directory, resamples=50, **options)
    return pd.read_parquet(directory / "results/recipes.parquet")


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [
        (2, ["2 replicas: no interval", "no LiRA: it needs other replicas with and without each example"]),
        (4, ["4 replicas: LiRA is biased, take 32 or more", "240 non-member scores: no TPR at 0.1 % FPR"]),
        (8, ["8 replicas: LiRA is biased, take 32 or more", "480 non-member scores: no TPR at 0.1 % FPR"]),
        (32, []),
    ],
)
def test_few_replicas_are_said(tmp_path: Path, seeds: int, expected: list[str]) -> None:
    table = audited(tmp_path, seeds)
    assert table["caveat"].tolist() == ["; ".join([*expected, FEW_TESTS])]
    if seeds == 2:
        assert table["test_accuracy_low"].isna().all()
    written = pd.read_csv(tmp_path / "results/recipes.csv", keep_default_na=False)
    assert written["caveat"].tolist() == table["caveat"].tolist()


def test_enough_is_said_for_the_rarer_side_and_lira_only_where_it_was_asked_for(tmp_path: Path) -> None:
    pair = audited(tmp_path / "pair", 2, Subsets(scheme="fraction", fraction=0.7))
    assert pair["caveat"].iloc[0].startswith("2 replicas: LiRA is biased")
    rare = audited(tmp_path / "rare", 20, Subsets(scheme="fraction", fraction=0.9))
    (first, *_) = rare["caveat"].iloc[0].split("; ")
    assert first.startswith("20 replicas: LiRA is biased, take 1")  # about 16 / 0.1
    without = audited(tmp_path / "without", 32, attacks=["confidence"])
    assert without["caveat"].tolist() == [FEW_TESTS]


def test_a_recipe_that_barely_trains_is_said() -> None:
    ensemble = ensemble_of(simulate(range(32), m=400), recipe_id="a")
    guess = np.bincount(ensemble.labels_test).max() / 400
    table = pd.DataFrame(
        {
            "recipe_id": ["a"] * 4,
            "test_accuracy": [0.95, guess + 0.01, guess + 0.4 * (0.95 - guess), guess + 0.6 * (0.95 - guess)],
            "test_accuracy_low": 0.1,
        }
    )
    best, chance, poor, fair = caveats(table, {"a": ensemble}, [])
    assert best == fair == ""
    assert (
        chance == f"barely trained: test accuracy {100 * guess + 1:.1f} %, guessing gives {100 * guess:.1f} %"
    )
    assert poor.startswith("trained poorly: ")
    assert poor.endswith("the best recipe's is 95.0 %")


def test_without_test_examples_there_is_no_accuracy() -> None:
    ensemble = ensemble_of(simulate(range(32)), recipe_id="a")
    ensemble = replace(ensemble, labels_test=ensemble.labels_test[:0])
    table = pd.DataFrame({"recipe_id": ["a"], "test_accuracy": [np.nan], "test_accuracy_low": [0.0]})
    assert caveats(table, {"a": ensemble}, []) == ["no test examples: no test accuracy"]
