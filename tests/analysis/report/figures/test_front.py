"""The front, against trying every pair of recipes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.report import figures
from analysis.report.figures.front import front_info, staircase
from analysis.results import Tables
from tests.helpers.simulated_results import simulate


def _dominated(points: np.ndarray) -> np.ndarray:
    """By the definition, pair by pair: accuracy (first) up, risk (second) down."""
    return np.array([any(q[0] >= p[0] and q[1] <= p[1] and (q != p).any() for q in points) for p in points])


def test_front_is_what_no_recipe_dominates_and_its_line_rises(tables: Tables) -> None:
    for column in ("lira_tpr_at_0.1pct", "lira_auc", "confidence_balanced_accuracy"):
        info = front_info(tables, column)
        points = np.column_stack([info.accuracy, info.value])
        assert (info.on_front == ~_dominated(points)).all()
        assert (np.diff(info.line[0]) > 0).all()
        assert (np.diff(info.line[1]) > 0).all()
        assert set(info.line[0]) == set(info.value[info.on_front])


def test_staircase_says_equal_points_once() -> None:
    x, y = staircase(np.array([[0.9, 0.2], [0.8, 0.1], [0.9, 0.2]]))
    assert x.tolist() == [0.1, 0.2]
    assert y.tolist() == [0.8, 0.9]


def test_reference_and_the_best_without_noise(tmp_path: Path) -> None:
    directory = simulate(tmp_path, 12)
    table = pd.read_parquet(directory / "results/recipes.parquet").iloc[:4].copy()
    table["noise"] = [0.0, 0.0, 0.0, 3.0]
    table["test_accuracy"] = [0.95, 0.95, 0.949, 0.96]
    table["lira_auc"] = [0.60, 0.58, 0.51, 0.50]
    table.to_parquet(directory / "results/recipes.parquet")
    info = front_info(Tables.of(directory), "lira_auc")
    assert info.reference == 0
    assert info.baseline == 1  # 2 is less accurate than the reference, 3 injects noise


def test_a_level_that_is_not_resolvable_is_counted_not_drawn_as_zero(tables: Tables) -> None:
    assert "correctness_tpr_at_0.1pct" not in tables.risks
    spoiled = tables.recipes.copy()
    spoiled.loc[spoiled.index[:3], "rmia_auc"] = np.nan
    partial = Tables(tables.store)
    partial.__dict__["recipes"] = spoiled
    info = front_info(partial, "rmia_auc")
    assert info.unresolved == 3
    assert not info.on_front[:3].any()


def test_front_figure_draws_the_front_above_its_line(tables: Tables) -> None:
    figure = figures.draw("front", tables, risk="lira_auc")
    names = [trace.name for trace in figure.data]
    line = names.index(None)
    info = front_info(tables, "lira_auc")
    above = figure.data[line + 1 :]
    below, above = (sum(len(t.x) for t in part if t.name) for part in (figure.data[:line], above))
    assert (below, above) == (len(info.value), info.on_front.sum())
    legend = [t.name for t in figure.data if t.showlegend is not False and t.name]
    assert legend == sorted(set(tables.recipes["optimizer"])), "the page's order, so the page's colours"
    assert figure.layout.xaxis.title.text.startswith("LiRA AUC")
    reached = {
        i: x + up for t in figure.data[:line] for i, x, up in zip(t.ids, t.x, t.error_x.array, strict=True)
    }
    assert reached == pytest.approx(tables.recipes["lira_auc_high"].to_dict(), rel=1e-3)
    ring = figures.draw("front", tables, [str(tables.recipes.index[5])], risk="lira_auc").data[-1]
    assert list(ring.x) == pytest.approx([tables.recipes["lira_auc"].iloc[5]], rel=1e-5)
