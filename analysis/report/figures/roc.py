"""ROC curves on log-log axes: what an attacker learns at false-positive rates that matter."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.report.figures.panel import Panel, Trace, short
from analysis.results import Risk, Tables

Floats = NDArray[np.float64]


class RocInfo(NamedTuple):
    """One attack's curve with its pointwise band; points at a rate of 0 have no place on a log axis."""

    attack: str
    fpr: Floats
    tpr: Floats
    low: Floats
    high: Floats


def roc_info(tables: Tables, recipe_id: str) -> list[RocInfo]:
    """Return the curves of one recipe, one an attack."""
    curves = tables.of_recipe("roc", recipe_id)
    if curves.empty:
        return []
    shown = curves[(curves["fpr"] > 0) & (curves["tpr"] > 0)]
    return [
        RocInfo(str(attack), *(rows[c].to_numpy(float) for c in ("fpr", "tpr", "low", "high")))
        for attack, rows in shown.groupby("attack", sort=False)
    ]


def _traces(tables: Tables, recipe_id: str) -> list[Trace]:
    return [trace for info in roc_info(tables, recipe_id) for trace in (*_band(info), _line(info))]


def _band(info: RocInfo) -> tuple[Trace, Trace]:
    """Draw two edges with the space between them filled; an edge at 0 is kept just below the axis."""
    lowest = info.tpr.min() / 2 if len(info.tpr) else 1.0
    edge: Trace = {
        "type": "scatter",
        "meta": info.attack,
        "x": short(info.fpr),
        "line": {"width": 0},
        "mode": "lines",
        "hoverinfo": "skip",
    }
    filled = {"fill": "tonexty", "fillcolor": "@slot-soft"}
    return edge | {"y": short(np.maximum(info.low, lowest), 3)}, edge | {"y": short(info.high, 3)} | filled


def _line(info: RocInfo) -> Trace:
    return {
        "type": "scatter",
        "meta": info.attack,
        "x": short(info.fpr),
        "y": short(info.tpr),
        "mode": "lines",
        "line": {"color": "@slot", "width": 2},
        "hovertemplate": "FPR %{x:.3~%}<br>TPR %{y:.3~%}<extra></extra>",
    }


def _chance(_: Tables, __: Risk) -> list[Trace]:
    line = {"color": "@muted", "width": 1, "dash": "dot"}
    return [
        {
            "type": "scatter",
            "x": [1e-5, 1],
            "y": [1e-5, 1],
            "mode": "lines",
            "line": line,
            "hoverinfo": "skip",
        }
    ]


PANEL = Panel(
    name="roc",
    title="How much the attack finds out",
    about=(
        "True-positive rate against false-positive rate of the chosen attack, both axes logarithmic, "
        "with pointwise intervals. The left end is what matters: members named with almost no false "
        "alarm. Dotted: guessing."
    ),
    layout={
        "xaxis": {
            "type": "log",
            "title": {"text": "False-positive rate"},
            "range": [-4, 0],
            "tickformat": "~%",
        },
        "yaxis": {
            "type": "log",
            "title": {"text": "True-positive rate"},
            "range": [-4, 0],
            "tickformat": "~%",
        },
    },
    traces=_traces,
    backdrop=_chance,
)
