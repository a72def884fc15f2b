"""Distributions of an attack's score for members and non-members: the overlap is the privacy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.report.figures.panel import Panel, Trace, short
from analysis.results import Tables


class ScoresInfo(NamedTuple):
    """Histograms of one attack over shared bins: ``edges[b + 1]``, densities ``[b]``."""

    attack: str
    edges: NDArray[np.float64]
    members: NDArray[np.float64]
    nonmembers: NDArray[np.float64]


def scores_info(tables: Tables, recipe_id: str) -> list[ScoresInfo]:
    """Return the histograms of one recipe, one an attack."""
    table = tables.of_recipe("scores", recipe_id)
    if table.empty:
        return []
    return [
        ScoresInfo(
            str(attack),
            np.append(rows["left"].to_numpy(float), float(rows["right"].iloc[-1])),
            rows["members"].to_numpy(float),
            rows["nonmembers"].to_numpy(float),
        )
        for attack, rows in table.groupby("attack", sort=False)
    ]


def _traces(tables: Tables, recipe_id: str) -> list[Trace]:
    return [
        _steps(info, density, who)
        for info in scores_info(tables, recipe_id)
        for density, who in ((info.nonmembers, "non-members"), (info.members, "members"))
    ]


def _steps(info: ScoresInfo, density: NDArray[np.float64], who: str) -> Trace:
    member = who == "members"
    shown = np.where(density > 0, density, np.nan)
    return {
        "type": "scatter",
        "meta": info.attack,
        "x": short(info.edges),
        "y": short(np.append(shown, shown[-1:]), 3),
        "mode": "lines",
        "line": {
            "shape": "hv",
            "color": "@slot",
            "width": 2 if member else 1.5,
            "dash": "solid" if member else "dot",
        },
        "fill": "tozeroy" if member else "none",
        "fillcolor": "@slot-soft",
        "hovertemplate": f"{who}<br>score %{{x:.3g}}<br>density %{{y:.3g}}<extra></extra>",
    }


PANEL = Panel(
    name="scores",
    title="Scores of members and non-members",
    about=(
        "Density of the attack's score over all audited replicas, on a logarithmic scale. Filled: members. "
        "Dotted: non-members. Where the two lie on each other, the attack cannot tell them apart."
    ),
    layout={
        "xaxis": {"title": {"text": "Attack score"}},
        "yaxis": {"title": {"text": "Density"}, "type": "log", "tickformat": "~g"},
    },
    traces=_traces,
)
