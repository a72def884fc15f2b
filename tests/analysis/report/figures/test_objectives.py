"""Three objectives, against trying every pair of recipes."""

from __future__ import annotations

import numpy as np

from analysis.report import figures
from analysis.results import Tables


def test_three_objectives_keep_what_any_one_of_them_excuses(tables: Tables) -> None:
    names = ["test_accuracy", "lira_tpr_at_0.1pct", "train_seconds"]
    points = tables.recipes[names].to_numpy() * [-1, 1, 1]
    dominated = [any((q <= p).all() and (q < p).any() for q in points) for p in points]
    expected = dict(zip(tables.recipes.index, (~np.array(dominated)).astype(int).tolist(), strict=True))
    (trace,) = figures.draw("objectives", tables, risk=names[1]).data
    assert dict(zip(trace.ids, trace.line.color, strict=True)) == expected
    assert sorted(trace.line.color) == list(trace.line.color), "strong lines lie on top"
    chosen = tables.recipes.index[[4, 2]].tolist()
    (marked,) = figures.draw("objectives", tables, chosen, risk=names[1]).data
    standing = dict(zip(marked.ids, marked.line.color, strict=True))
    assert standing == expected | dict(zip(chosen, (2, 3), strict=True))
