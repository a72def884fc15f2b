"""Variance of the confidence that models have in examples they never saw, recipe by recipe."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.report.figures.panel import Panel, Trace, plain, short
from analysis.results import Risk, Tables

COLUMN = "nonmember_variance"
HOVER = "%{text}<br>variance %{x:.3g}<extra></extra>"


class SpreadInfo(NamedTuple):
    """Variance of the non-members' scaled logit, one value a recipe, with the optimizers that they use."""

    optimizer: list[str]
    variance: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    labels: list[str]


def spread_info(tables: Tables, recipe_id: str | None = None) -> SpreadInfo | None:
    """Return the variance of one recipe, or of all; None where the sweep did not measure it."""
    if COLUMN not in tables.recipes:
        return None
    rows = np.ones(len(tables.recipes), bool) if recipe_id is None else tables.recipes.index == recipe_id
    low, high = tables.interval(COLUMN)
    chosen = tables.recipes[rows]
    optimizers = chosen["optimizer"].astype(str).tolist()
    variance = chosen[COLUMN].to_numpy(float)
    return SpreadInfo(optimizers, variance, low[rows], high[rows], [plain(t) for t in chosen["label"]])


def _traces(tables: Tables, recipe_id: str) -> list[Trace]:
    info = spread_info(tables, recipe_id)
    if info is None:
        return []
    return [
        {
            "type": "scatter",
            "x": short(info.variance),
            "y": [plain(name) for name in info.optimizer],
            "text": info.labels,
            "mode": "markers",
            "marker": {"color": "@slot", "size": 12, "line": {"color": "@surface", "width": 1}},
            "hovertemplate": HOVER,
            "error_x": {
                "type": "data",
                "array": short(info.high - info.variance),
                "arrayminus": short(info.variance - info.low),
                "color": "@slot",
            },
        }
    ]


def _all(tables: Tables, _: Risk) -> list[Trace]:
    if COLUMN not in tables.recipes:
        return []
    return [
        {
            "type": "scatter",
            "recipes": "shown",
            "x": f"${COLUMN}",
            "y": "$optimizer",
            "text": "$label",
            "mode": "markers",
            "marker": {"color": "@muted", "size": 9, "symbol": "line-ns-open"},
            "hovertemplate": HOVER,
        }
    ]


PANEL = Panel(
    name="spread",
    title="Spread of non-member confidence",
    about=(
        "Variance of the scaled logit of examples that a model did not train on; every recipe is a "
        "tick, the selected ones are dots with intervals. The tighter non-members lie together, the "
        "easier members stand out."
    ),
    layout={
        "xaxis": {
            "title": {"text": "Variance of the non-member scaled logit"},
            "type": "log",
        },
        "yaxis": {"type": "category"},
    },
    traces=_traces,
    backdrop=_all,
)
