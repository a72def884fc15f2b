"""Three objectives at once: accuracy, risk and the cost of training, as parallel coordinates."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.figures.front import ACCURACY
from analysis.figures.panel import Panel, Trace, short
from analysis.pareto import pareto_front
from analysis.tables import Risk, Tables

COST = "train_seconds"


class ObjectivesInfo(NamedTuple):
    """The recipes that have all three figures, and which of them no other beats in all three."""

    risk: Risk
    accuracy: NDArray[np.float64]
    value: NDArray[np.float64]
    seconds: NDArray[np.float64]
    on_front: NDArray[np.bool_]


def objectives_info(tables: Tables, risk: str | None = None) -> ObjectivesInfo | None:
    """None where training was not timed."""
    chosen = tables.risk(risk)
    if COST not in tables.recipes or tables.recipes[COST].isna().all():
        return None
    points = tables.recipes[[ACCURACY, chosen.column, COST]].to_numpy(float)
    points = points[np.isfinite(points).all(axis=1)]
    front = pareto_front(points, maximize=(True, False, False))
    return ObjectivesInfo(chosen, points[:, 0], points[:, 1], points[:, 2], front)


def objectives_traces(tables: Tables, risk: str | None = None) -> list[Trace]:
    """Lines on the three-way front are coloured; an axis can be brushed to keep a range."""
    info = objectives_info(tables, risk)
    if info is None:
        return []
    order = np.argsort(info.on_front, kind="stable")
    axes = (
        ("accuracy", info.accuracy, ".1%"),
        (f"risk: {info.risk.title}", info.value, ".3~g"),
        ("seconds a replica", info.seconds, ".3~g"),
    )
    return [
        {
            "type": "parcoords",
            "line": {
                "color": info.on_front[order].astype(int).tolist(),
                "colorscale": [[0, "@faint"], [1, "@a"]],
                "cmin": 0,
                "cmax": 1,
            },
            "dimensions": [
                {"label": name, "values": short(values[order], 5), "tickformat": form}
                for name, values, form in axes
            ],
            "labelfont": {"color": "@ink", "size": 12},
            "tickfont": {"color": "@muted", "size": 11},
            "rangefont": {"color": "rgba(0,0,0,0)"},
        }
    ]


PANEL = Panel(
    name="objectives",
    title="Accuracy, risk and cost together",
    about=(
        "Each line is a recipe across three axes: accuracy, the default risk, and seconds of training"
        " a replica. Coloured lines are beaten by no other recipe in all three. Drag along an axis to"
        " keep a range."
    ),
    layout={"margin": {"l": 60, "r": 60, "t": 48, "b": 24}},
    backdrop=objectives_traces,
)
