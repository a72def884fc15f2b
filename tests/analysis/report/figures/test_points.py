"""Traces of recipes: which columns they are filled from, and in which order."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.report.figures.points import View, resolve
from analysis.results import Tables


def test_a_trace_of_recipes_leaves_out_what_is_unknown_and_orders_by_a_column(tables: Tables) -> None:
    spoiled = Tables(tables.store)
    table = tables.recipes.copy()
    table.loc[table.index[3], "train_seconds"] = np.nan
    spoiled.__dict__["recipes"] = table
    trace = {
        "type": "bar",
        "recipes": "shown",
        "x": "$label",
        "y": "$train_seconds",
        "order": "train_seconds",
    }
    (found,) = resolve(trace, View(spoiled, spoiled.default_risk))
    expected = table.dropna(subset=["train_seconds"]).sort_values("train_seconds")
    assert found["ids"] == expected.index.tolist()
    assert found["y"] == pytest.approx(expected["train_seconds"].tolist(), rel=1e-5)
    assert found["x"] == expected["label"].tolist()
    assert found.keys() == {"type", "x", "y", "ids"}
