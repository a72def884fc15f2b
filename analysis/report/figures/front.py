"""The privacy-accuracy front: every recipe's accuracy against one risk, and what no recipe beats."""

from __future__ import annotations

import textwrap
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.pareto import knee, pareto_front
from analysis.report.figures.panel import PALETTE, SYMBOLS, Panel, Trace, plain, short
from analysis.results import Risk, Tables

ACCURACY = "test_accuracy"
# Beyond this many recipes, error bars hide what they qualify; the front's and the marked recipes' stay.
MOST_BARS = 80
# What the published mitigation gives up at most: 0.8 points of test accuracy (arXiv 2310.00488).
AFFORDABLE = 0.008


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
    """The front of ``test_accuracy`` (up) against a risk (down); see ``Tables.risk`` for the default."""
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
    """Without noise injection, what leaks least of all that costs at most 0.8 points of accuracy."""
    if reference is None:
        return None
    without = np.nan_to_num(tables.recipes["noise"].to_numpy(float)) == 0
    affordable = points[:, 0] >= points[reference, 0] - AFFORDABLE
    candidates = np.flatnonzero(without & affordable & np.isfinite(points[:, 1]))
    candidates = candidates[candidates != reference]
    return int(candidates[np.argmin(points[candidates, 1])]) if len(candidates) else None


def templates(tables: Tables) -> dict[str, Trace]:
    """The front's traces without data: Python fills them below, the page as its reader chooses."""
    shared = "<br>".join(map(plain, textwrap.wrap(tables.common, 60)))
    bars = {"type": "data", "color": "@faint", "thickness": 1, "width": 0}
    hover = f"<b>%{{text}}</b><br>accuracy %{{y:.2%}}<br>risk %{{x:.4g}}<br>{shared}<extra></extra>"
    return {
        "points": {
            "type": "scatter",
            "mode": "markers",
            "marker": {"size": 10, "opacity": 0.9, "line": {"color": "@surface", "width": 1}},
            "error_x": bars,
            "error_y": bars,
            "hovertemplate": hover,
        },
        "line": {
            "type": "scatter",
            "mode": "lines",
            "line": {"shape": "hv", "color": "@ink", "width": 2},
            "hoverinfo": "skip",
            "showlegend": False,
        },
        "marks": {
            "type": "scatter",
            "mode": "markers+text",
            "marker": {"size": 17, "symbol": "circle-open", "color": "@ink", "line": {"width": 1.5}},
            "textposition": "bottom right",
            "textfont": {"color": "@ink", "size": 12},
            "hoverinfo": "skip",
            "showlegend": False,
        },
        "chosen": {
            "type": "scatter",
            "mode": "markers",
            "marker": {"size": 22, "symbol": "circle-open", "color": ["@a", "@b"], "line": {"width": 3}},
            "hoverinfo": "skip",
        },
    }


LAYOUT: dict[str, Any] = {
    "xaxis": {"title": {"text": "Risk"}},
    "yaxis": {"title": {"text": "Test accuracy"}, "tickformat": ".1%"},
    "margin": {"l": 64, "r": 20, "t": 16, "b": 52},
    "dragmode": "pan",
}


def front_traces(tables: Tables, risk: str | None = None) -> list[Trace]:
    """The default view: every recipe with its intervals, the front's line, and its recipes above that."""
    info = front_info(tables, risk)
    optimizers = tables.recipes["optimizer"].astype(str).to_numpy()
    names = sorted(set(optimizers.tolist()))  # as the page orders them, so that colours agree
    below, above = [], []
    for k, name in enumerate(names):
        rows = optimizers == name
        below.append(_points(tables, info, name, k, rows) | _intervals(tables, info, rows))
        ahead = _points(tables, info, name, k, rows & info.on_front)
        above.append(ahead | {"showlegend": False, "error_x": {}, "error_y": {}})
    blank = templates(tables)
    line = blank["line"] | {"x": short(info.line[0], 5), "y": short(info.line[1], 6)}
    marked = {"reference": info.reference, "best without noise": info.baseline}
    shown = {name: i for name, i in marked.items() if i is not None}
    rows = list(shown.values())
    marks = {"x": short(info.value[rows], 5), "y": short(info.accuracy[rows], 6), "text": list(shown)}
    return [*below, line, *above, blank["marks"] | marks]


def _points(tables: Tables, info: FrontInfo, name: str, k: int, rows: NDArray[np.bool_]) -> Trace:
    """The k-th optimizer's recipes among ``rows``."""
    blank = templates(tables)["points"]
    look = {"color": PALETTE[k % len(PALETTE)], "symbol": SYMBOLS[k % len(SYMBOLS)]}
    return blank | {
        "x": short(info.value[rows], 5),
        "y": short(info.accuracy[rows], 6),
        "text": [plain(t) for t in tables.recipes["label"][rows]],
        "marker": blank["marker"] | look,
        "name": plain(name),
        "legendgroup": name,
    }


def _intervals(tables: Tables, info: FrontInfo, rows: NDArray[np.bool_]) -> Trace:
    barred = np.ones(len(rows), bool) if len(rows) <= MOST_BARS else info.on_front
    blank = templates(tables)["points"]
    return {
        "error_x": blank["error_x"] | bars(tables, info.risk.column, barred, rows),
        "error_y": blank["error_y"] | bars(tables, ACCURACY, barred, rows),
    }


def bars(tables: Tables, column: str, shown: NDArray[np.bool_], rows: NDArray[np.bool_]) -> dict[str, Any]:
    """Error bars of a column's ``rows``: lengths above and below, none where not ``shown``."""
    value = tables.recipes[column].to_numpy(float)
    low, high = tables.interval(column)
    above, below = np.where(shown, high - value, np.nan), np.where(shown, value - low, np.nan)
    return {"array": short(above[rows]), "arrayminus": short(below[rows])}


def front_panel(tables: Tables, risk: str | None = None) -> Panel:
    """The front as a panel of its own, for export and notebooks."""
    chosen = tables.risk(risk)
    axis = {"title": {"text": f"{chosen.title} (less is better)"}, "tickformat": risk_format(chosen)}
    return Panel(
        name="front",
        title="Accuracy against risk",
        about=(
            f"Test accuracy of every recipe against {chosen.title}, with intervals. The line joins "
            "what no other recipe beats: the best accuracy for at most that risk."
        ),
        layout={**LAYOUT, "xaxis": axis, "showlegend": True},
        backdrop=lambda t: front_traces(t, chosen.column),
    )


def risk_format(risk: Risk) -> str:
    """A d3 format: rates in percent, AUC and advantage as they are."""
    return "~%" if risk.metric.startswith("tpr") or risk.metric == "balanced_accuracy" else ".3~f"
