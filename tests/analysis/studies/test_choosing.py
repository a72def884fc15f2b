"""The defended recipes that are measured again, against a plain search through the table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.results import Tables
from analysis.studies.choosing import choose, main
from tests.helpers.simulated_results import simulate
from trainables import Recipe
from trainables.errors import UserError

DEFENCES = {"noise", "grad_reg", "clip", "noise_multiplier"}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("choosing"), 16, examples=5, images=False)


@pytest.fixture(scope="module")
def table(directory: Path) -> pd.DataFrame:
    return pd.read_parquet(directory / "results" / "recipes.parquet")


def written(directory: Path, table: pd.DataFrame, seed: int = 0) -> Tables:
    """The recipes with accuracies that lie close around those of plain SAM."""
    rng = np.random.default_rng(seed)
    accuracy = np.where(
        table["label"].str.fullmatch("sam rho=[0-9.]+"), 0.912, rng.uniform(0.89, 0.92, len(table))
    )
    changed = table.assign(test_accuracy=accuracy, lira_advantage=rng.uniform(0, 0.5, len(table)))
    changed.to_parquet(directory / "results" / "recipes.parquet")
    return Tables.of(directory)


@pytest.mark.parametrize("seed", range(2))
def test_least_leakage_near_the_best_plain_sam_comes_first_then_accuracy(
    directory: Path, table: pd.DataFrame, seed: int
) -> None:
    tables = written(directory, table, seed)
    plain, defended = [], []
    for recipe_id, knobs in tables.manifest.recipes.items():
        row = tables.recipes.loc[recipe_id]
        entry = {k: v for k, v in knobs.items() if k not in ("lr", "epochs")}
        if DEFENCES & knobs.keys():
            defended.append((row["test_accuracy"], row["lira_advantage"], entry))
        elif knobs["optimizer"] == "sam":
            plain.append(row["test_accuracy"])
    near = [d for d in defended if d[0] >= max(plain) - 0.008]
    far = [d for d in defended if d not in near]
    assert near
    assert far
    expected = [*sorted(near, key=lambda d: d[1]), *sorted(far, key=lambda d: -d[0])]
    assert choose(tables, 99) == [entry for *_, entry in expected]
    assert choose(tables) == [entry for *_, entry in expected][:2]


def test_the_choice_is_a_grid_of_recipes(
    directory: Path, table: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = written(directory, table)
    main(str(tables.store))
    printed = json.loads(f"[{capsys.readouterr().out}]")
    assert printed == choose(tables)
    for entry in printed:
        assert DEFENCES & Recipe(**entry).knobs.keys()


@pytest.mark.parametrize("kept", [r"sam rho=[0-9.]+|sgd", ".*(noise|grad_reg).*"], ids=["plain", "defended"])
def test_a_sweep_of_one_kind_leaves_nothing_to_choose(
    directory: Path, table: pd.DataFrame, kept: str
) -> None:
    with pytest.raises(UserError, match="expected plain SAM and defended recipes to choose from"):
        choose(written(directory, table[table["label"].str.fullmatch(kept)]))
