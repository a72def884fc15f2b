"""How the front moved with the number of replicas: the area that it dominates."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.report.figures.panel import Panel, Trace, short
from analysis.results import Risk, Tables


class GrowthInfo(NamedTuple):
    """Hypervolume of the front after each number of replicas."""

    replicas: NDArray[np.int64]
    hypervolume: NDArray[np.float64]


def growth_info(tables: Tables) -> GrowthInfo | None:
    """Return the hypervolume by replicas; None where the audit left no history."""
    table = tables.history
    if table.empty:
        return None
    return GrowthInfo(table["replicas"].to_numpy(int), table["hypervolume"].to_numpy(float))


def _traces(tables: Tables, _: Risk) -> list[Trace]:
    info = growth_info(tables)
    if info is None:
        return []
    return [
        {
            "type": "scatter",
            "x": info.replicas.tolist(),
            "y": short(info.hypervolume),
            "mode": "lines+markers" if len(info.replicas) < 30 else "lines",
            "line": {"color": "@a", "width": 2},
            "marker": {"color": "@a", "size": 5},
            "hovertemplate": "%{x} replicas<br>hypervolume %{y:.4g}<extra></extra>",
        }
    ]


PANEL = Panel(
    name="growth",
    title="Growth of the front",
    about=(
        "Hypervolume: the area of accuracy times the default risk that the front dominates, at most 1. The "
        "points are what a sweep of fewer replicas of each recipe would have found. A flat end: more would "
        "hardly move the front. It may fall, because more shadow models make the attacks stronger."
    ),
    layout={
        "xaxis": {"title": {"text": "Replicas of each recipe"}},
        "yaxis": {"title": {"text": "Hypervolume"}},
    },
    section="how",
    backdrop=_traces,
    empty="The audit of this sweep left no history.",
)
