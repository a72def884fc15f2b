"""Memorization, bin by bin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.report import figures
from analysis.report.figures.memorization import bins, memorization_info
from analysis.results import Tables
from tests.helpers.simulated_results import simulate


def test_memorization_histogram_counts_known_examples_only(tables: Tables) -> None:
    recipe = tables.recipes.index[0]
    info = memorization_info(tables, recipe)
    values = tables.examples(recipe)["memorization"]
    assert info is not None
    assert info.share.sum() == pytest.approx(1)
    assert info.mean == pytest.approx(values.mean())
    low = int(np.searchsorted(info.edges, 0.5))
    inside = ((values >= info.edges[low]) & (values < info.edges[low + 1])).mean()
    assert info.share[low] == pytest.approx(inside)


@pytest.mark.parametrize("replicas", [2, 7, 16, 64, 100, 200, 1000])
def test_bins_hold_as_many_values_of_memorization_each_and_split_none(replicas: int) -> None:
    half = replicas // 2
    values = np.arange(-half, half + 1) / (replicas / 2)
    edges = bins(replicas)
    inside = np.histogram(values, edges)[0]
    assert inside.sum() == len(values)
    assert np.abs(values[:, None] - edges).min() > 0.1 / replicas
    assert len(set(inside[inside > 0][1:-1].tolist())) <= 1
    assert (np.diff(edges) > 0.0499).all()


def test_memorization_of_few_replicas_is_drawn_bin_by_bin(tmp_path: Path) -> None:
    directory = simulate(tmp_path, 2)
    table = pd.read_parquet(directory / "results/recipes.parquet").assign(replicas=16)
    table.to_parquet(directory / "results/recipes.parquet")
    recipe = str(table["recipe_id"].iloc[0])
    file = directory / f"results/examples/{recipe}.parquet"
    values = np.repeat([0.0, 0.25, 1.0], [200, 60, 40])
    pd.read_parquet(file).assign(memorization=values).to_parquet(file)
    (trace,) = figures.FIGURES["memorization"].traces(Tables.of(directory), recipe)  # type: ignore[misc]
    at = dict(zip(trace["x"][1:], trace["customdata"][1:], strict=True))
    step = {low: share for low, share in at.items() if share}
    assert step == pytest.approx({-0.0625: 200 / 300, 0.1875: 60 / 300, 0.9375: 40 / 300}, abs=1e-4)
    assert None not in trace["y"], "a gap would leave a lone bin without a line"
    assert min(trace["y"]) == pytest.approx(0.5 / 300, rel=1e-3)
