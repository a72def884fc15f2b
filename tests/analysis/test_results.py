"""The finished results of a sweep: its columns, and what is said of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.results import Tables, caveat_lines, default_risk, front_risk, risk_of
from tests.helpers.simulated_results import simulate
from trainables.errors import UserError


def test_risk_columns_are_told_from_others() -> None:
    risk = risk_of("lira_offline_tpr_at_0.1pct")
    assert risk is not None
    assert (risk.attack, risk.metric, risk.chance) == ("lira_offline", "tpr_at_0.1pct", 0.001)
    assert risk.title == "LiRA offline TPR at 0.1 % FPR"
    assert risk_of("test_accuracy") is None


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return Tables.of(simulate(tmp_path_factory.mktemp("results") / "mine", 12, images=False))


def test_a_recipe_is_found_by_its_id_and_by_its_label(tables: Tables) -> None:
    for recipe_id, label in tables.recipes["label"].items():
        assert tables.recipe_id(str(recipe_id)) == tables.recipe_id(label) == recipe_id
    with pytest.raises(UserError, match="recipe 'sgdd' is not known; did you mean 'sgd'"):
        tables.recipe_id("sgdd")


def test_knobs_that_vary_are_told_from_those_that_all_share(tables: Tables) -> None:
    recipes = tables.manifest.recipes.values()
    names = {name for knobs in recipes for name in knobs}
    varying = {n for n in names if len({str(knobs.get(n)) for knobs in recipes}) > 1}
    audited = Tables(tables.store)
    audited.__dict__["recipes"] = tables.recipes.fillna(dict.fromkeys(names & set(tables.recipes), 0.0))
    assert set(audited.knobs) == varying & set(tables.recipes.columns) | {"optimizer"}
    assert audited.knobs[0] == "optimizer"
    assert tables.common == "lr 0.1, epochs 40"


@pytest.mark.parametrize(
    ("unresolved", "front", "default"),
    [
        ({}, "lira_tpr_at_0.1pct", "lira_tpr_at_0.1pct"),
        ({"lira_tpr_at_0.1pct": 1}, "lira_tpr_at_1pct", "lira_tpr_at_1pct"),
        ({"lira_tpr_at_0.1pct": 3, "lira_tpr_at_1pct": 1}, "lira_auc", "lira_auc"),
        (dict.fromkeys(("lira_tpr_at_0.1pct", "lira_tpr_at_1pct", "lira_auc"), 3), "rmia_auc", "rmia_auc"),
        (dict.fromkeys(("lira_tpr_at_0.1pct", "lira_tpr_at_1pct", "lira_auc", "rmia_auc"), 1), None, None),
    ],
    ids=str,
)
def test_the_risk_of_the_front_is_the_first_that_every_recipe_resolves(
    unresolved: dict[str, int], front: str | None, default: str | None
) -> None:
    columns = ("rmia_auc", "lira_auc", "lira_tpr_at_1pct", "lira_tpr_at_0.1pct")
    table = pd.DataFrame({"test_accuracy": 0.9, **dict.fromkeys(columns, 0.5)}, index=range(3))
    for column, count in unresolved.items():
        table.loc[: count - 1, column] = np.nan
    found = front_risk(table)
    assert (found and found.column) == front
    any_of_them = default_risk(table)
    assert any_of_them is not None
    assert any_of_them.column == (default or "lira_tpr_at_0.1pct"), "at least one recipe resolves it"


def test_a_caveat_is_said_once_with_the_recipes_that_it_is_of() -> None:
    table = pd.DataFrame({"label": list("abcde"), "caveat": ["x; y", "x", "x", "x; z", None]})
    assert list(caveat_lines(table)) == ["a, b, c and 1 more: x", "a: y", "d: z"]
    assert list(caveat_lines(table[:4].assign(caveat="x"))) == ["x"]
    assert list(caveat_lines(table.drop(columns="caveat"))) == []


def test_results_that_only_a_csv_holds_are_read(tmp_path: Path) -> None:
    directory = simulate(tmp_path, 3, examples=5, images=False)
    table = Tables.of(directory).recipes
    (directory / "results/recipes.parquet").unlink()
    assert Tables.of(directory).recipes["lira_auc"].tolist() == pytest.approx(table["lira_auc"].tolist())
    (directory / "results/recipes.csv").unlink()
    with pytest.raises(UserError, match=r"no results/recipes\.parquet with a row; run `flatleak audit"):
        Tables.of(directory).recipes  # noqa: B018


def test_tables_that_were_not_written_are_empty(tmp_path: Path) -> None:
    found = Tables.of(str(tmp_path))
    for name in ("comparisons", "buckets", "influence", "claims", "theory", "history", "search", "published"):
        assert getattr(found, name).empty
    assert (found.notes, found.directory) == ({}, tmp_path.name)
    assert found.examples("nobody").empty
    assert found.of_recipe("roc", "nobody").empty


def test_a_caption_says_what_a_figure_is_of(tables: Tables) -> None:
    replicas = sorted(set(tables.recipes["replicas"]))
    assert tables.caption == (
        f"Sweep simulated, data set simulated, model mlp, {replicas[0]} replicas a recipe, "
        "95 % bootstrap intervals, 2026-01-01"
    )
