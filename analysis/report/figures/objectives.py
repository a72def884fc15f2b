"""Three objectives at once: accuracy, risk and the cost of training, as parallel coordinates."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.pareto import pareto_front
from analysis.report.figures.front import ACCURACY
from analysis.report.figures.panel import Panel, Trace, risk_format, short
from analysis.results import Risk, Tables

COST = "train_seconds"


class ObjectivesInfo(NamedTuple):
    """The recipes that have all three figures, and which of them no other beats in all three."""

    recipe: list[str]
    risk: Risk
    accuracy: NDArray[np.float64]
    value: NDArray[np.float64]
    seconds: NDArray[np.float64]
    on_front: NDArray[np.bool_]


def objectives_info(tables: Tables, risk: str | None = None) -> ObjectivesInfo | None:
    """Accuracy, risk and training time of the recipes; None where training was not timed."""
    chosen = tables.risk(risk)
    if COST not in tables.recipes or tables.recipes[COST].isna().all():
        return None
    points = tables.recipes[[ACCURACY, chosen.column, COST]].to_numpy(float)
    known = np.isfinite(points).all(axis=1)
    recipe, points = tables.recipes.index[known].tolist(), points[known]
    front = pareto_front(points, maximize=(True, False, False))
    return ObjectivesInfo(recipe, chosen, points[:, 0], points[:, 1], points[:, 2], front)


def objectives_traces(tables: Tables, risk: Risk) -> list[Trace]:
    """Lines on the three-way front are darker; the page colours the selected ones, 2 and 3 on the scale."""
    info = objectives_info(tables, risk.column)
    if info is None:
        return []
    order = np.argsort(info.on_front, kind="stable")
    axes = (
        ("accuracy", info.accuracy, ".1%"),
        (info.risk.title, info.value, risk_format(info.risk)),
        ("seconds", info.seconds, ".3~g"),
    )
    return [
        {
            "type": "parcoords",
            "customdata": [info.recipe[k] for k in order],
            "line": {
                "color": info.on_front[order].astype(int).tolist(),
                "colorscale": [[0, "@line"], [1 / 3, "@muted"], [2 / 3, "@a"], [1, "@b"]],
                "cmin": 0,
                "cmax": 3,
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
        "Each line is a recipe across three axes: test accuracy, the sweep's default risk, and seconds of"
        " training a replica. Strong lines are beaten by no other recipe in all three; the selected recipes"
        " have their colours. Drag along an axis to keep a range."
    ),
    layout={"margin": {"l": 60, "r": 60, "t": 48, "b": 24}},
    section="how",
    broad=True,
    backdrop=objectives_traces,
    empty="Training was not timed, or no recipe has all three figures.",
)
