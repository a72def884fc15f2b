"""The privacy-accuracy front: every recipe's accuracy against one risk, and what no recipe beats."""

from __future__ import annotations

import textwrap
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.pareto import knee, pareto_front
from analysis.report.figures.panel import Panel, Trace, plain, risk_format
from analysis.results import Risk, Tables

ACCURACY = "test_accuracy"
OBJECTIVES = {"risk": -1, ACCURACY: 1}


class FrontInfo(NamedTuple):
    """All recipes in the table's order. ``line`` is the staircase's corners, in order of rising risk."""

    risk: Risk
    accuracy: NDArray[np.float64]
    value: NDArray[np.float64]
    on_front: NDArray[np.bool_]
    line: tuple[NDArray[np.float64], NDArray[np.float64]]
    reference: int | None
    baseline: int | None
    knee: int | None

    @property
    def unresolved(self) -> int:
        """Recipes whose non-members are too few for this risk's level, or that were not audited."""
        return int(np.isnan(self.value).sum())


def front_info(tables: Tables, risk: str | None = None) -> FrontInfo:
    """Find the front of ``test_accuracy`` (up) against a risk (down); see ``Tables.risk`` for the default."""
    chosen = tables.risk(risk)
    accuracy = tables.recipes[ACCURACY].to_numpy(float)
    value = tables.recipes[chosen.column].to_numpy(float)
    points = np.column_stack([accuracy, value])
    on_front = pareto_front(points)
    reference = None if tables.reference is None else tables.recipes.index.tolist().index(tables.reference)
    baseline = _best_without_noise(tables, points, reference)
    return FrontInfo(
        chosen, accuracy, value, on_front, staircase(points[on_front]), reference, baseline, knee(points)
    )


def staircase(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Risk and accuracy of a front's points in order of rising risk, equal points once: to be drawn hv."""
    ordered = np.unique(points[:, ::-1], axis=0)
    return ordered[:, 0], ordered[:, 1]


def _best_without_noise(tables: Tables, points: NDArray[np.float64], reference: int | None) -> int | None:
    """Return the least risky recipe without noise that is at least as accurate as the reference."""
    if reference is None:
        return None
    without = np.nan_to_num(tables.recipes["noise"].to_numpy(float)) == 0
    as_accurate = points[:, 0] >= points[reference, 0]
    candidates = np.flatnonzero(without & as_accurate & np.isfinite(points[:, 1]))
    candidates = candidates[candidates != reference]
    return int(candidates[np.argmin(points[candidates, 1])]) if len(candidates) else None


def front_traces(tables: Tables, _: Risk) -> list[Trace]:
    """Every recipe with its intervals, the front's line, its recipes above that, and what is marked."""
    shared = "".join(f"<br>{plain(line)}" for line in textwrap.wrap(tables.common, 60))
    bars = {"type": "data", "color": "@faint", "thickness": 1, "width": 0}
    place = {"type": "scatter", "x": "$risk", "y": f"${ACCURACY}", "objectives": OBJECTIVES}
    points = place | {
        "mode": "markers",
        "look": True,
        "text": "$text",
        "marker": {"size": 10, "opacity": 0.9, "line": {"color": "@surface", "width": 1}},
        "hovertemplate": f"%{{text}}{shared}<extra></extra>",
    }
    ring = {"symbol": "circle-open", "color": "@ink"}
    silent = place | {"hoverinfo": "skip", "showlegend": False}
    return [
        points
        | {
            "recipes": "shown",
            "error_x": bars | {"array": "$risk+", "arrayminus": "$risk-"},
            "error_y": bars | {"array": f"${ACCURACY}+", "arrayminus": f"${ACCURACY}-"},
        },
        silent
        | {
            "recipes": "front",
            "order": "risk",
            "mode": "lines",
            "line": {"shape": "hv", "color": "@ink", "width": 2},
        },
        points | {"recipes": "front", "showlegend": False},
        silent
        | {
            "recipes": "marked",
            "mode": "markers+text",
            "marker": ring | {"size": 17, "line": {"width": 1.5}},
            "text": "$mark",
            "textposition": "$side",
            "textfont": {"color": "@ink", "size": 12},
        },
        silent
        | {
            "recipes": "chosen",
            "mode": "markers",
            "marker": ring | {"size": 22, "color": "$slot", "line": {"width": 3}},
        },
    ]


def hover(tables: Tables, risk: Risk, i: int) -> str:
    """Tell recipe, accuracy and the risk by name, each in its axis' unit with its interval."""
    lines = [f"<b>{plain(tables.recipes['label'].iloc[i])}</b>"]
    for title, column, percent in (
        ("test accuracy", ACCURACY, True),
        (risk.title, risk.column, risk_format(risk).endswith("%")),
    ):
        low, high = (ends[i] for ends in tables.interval(column))
        value, low, high = (_shown(v, percent) for v in (tables.recipes[column].iloc[i], low, high))
        lines.append(f"{title} {value}{' %' if percent else ''}" + (f" [{low}, {high}]" if low else ""))
    return "<br>".join(lines)


def _shown(value: float, percent: bool) -> str:
    if not np.isfinite(value):
        return ""
    return f"{100 * value:.{3 if abs(value) < 0.01 else 2}f}" if percent else f"{value:.3g}"


PANEL = Panel(
    name="front",
    title="Accuracy against risk",
    about=(
        "Each point is a training recipe, with intervals both ways. Up is more accurate, left is more "
        "private. The line joins what no other recipe beats."
    ),
    layout={
        "xaxis": {"title": {"text": "@risk-axis"}, "tickformat": "@risk-format"},
        "yaxis": {"title": {"text": "Test accuracy"}, "tickformat": ".1%"},
        "margin": {"l": 64, "r": 20, "t": 16, "b": 52},
        "dragmode": "pan",
    },
    section="front",
    backdrop=front_traces,
    empty="No recipe has a figure for this risk.",
    size="tall",
)
