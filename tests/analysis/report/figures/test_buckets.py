"""The gain of accuracy in each bucket of influence entropy."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.report import figures
from analysis.report.figures.buckets import buckets_info
from analysis.results import Tables


def test_gains_come_in_the_order_of_the_buckets_with_their_intervals(tables: Tables) -> None:
    recipe = str(tables.recipes.index[2])
    shuffled = Tables(tables.store)
    shuffled.__dict__["_curves"] = {"buckets": {recipe: tables.of_recipe("buckets", recipe)[::-1]}}
    rows = tables.of_recipe("buckets", recipe).sort_values("bucket")
    for found in (buckets_info(tables, recipe), buckets_info(shuffled, recipe)):
        assert found is not None
        assert found.bucket.tolist() == [1, 2, 3, 4, 5]
        assert found.gain.tolist() == rows["gain"].tolist()
    (trace,) = figures.draw("buckets", tables, [recipe]).data
    ends = (
        np.array(trace.y) + np.array(trace.error_y.array),
        np.array(trace.y) - np.array(trace.error_y.arrayminus),
    )
    for end, name in zip(ends, ("gain_high", "gain_low"), strict=True):
        assert end.tolist() == pytest.approx(rows[name].tolist(), abs=1e-5)


def test_the_reference_gains_nothing_over_itself(tables: Tables) -> None:
    assert buckets_info(tables, str(tables.reference)) is None
    text = figures.draw("buckets", tables, [str(tables.reference)]).layout.annotations[0].text
    assert "This is the reference itself" in text


def test_without_influence_there_is_nothing_to_show(tables: Tables) -> None:
    recipe = str(tables.recipes.index[2])
    without = Tables(tables.store)
    without.__dict__["_curves"] = {
        "buckets": {recipe: tables.of_recipe("buckets", recipe).assign(gain=np.nan)}
    }
    assert buckets_info(without, recipe) is None
    assert buckets_info(without, "nobody") is None
