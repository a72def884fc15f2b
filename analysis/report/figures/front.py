"""The privacy-accuracy front: every recipe's accuracy against one risk, and what no recipe beats."""

from __future__ import annotations

import textwrap
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.pareto import knee, pareto_front
from analysis.report.figures.panel import PALETTE, SYMBOLS, Panel, Trace, plain, risk_format, short
from analysis.results import Risk, Tables

ACCURACY = "test_accuracy"
# Beyond this many recipes, error bars hide what they qualify; the front's and the marked recipes' stay.
MOST_BARS = 80


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
    """The least risky recipe without noise that is at least as accurate as the reference."""
    if reference is None:
        return None
    without = np.nan_to_num(tables.recipes["noise"].to_numpy(float)) == 0
    as_accurate = points[:, 0] >= points[reference, 0]
    candidates = np.flatnonzero(without & as_accurate & np.isfinite(points[:, 1]))
    candidates = candidates[candidates != reference]
    return int(candidates[np.argmin(points[candidates, 1])]) if len(candidates) else None


def templates(tables: Tables) -> dict[str, Trace]:
    """The front's traces without data: Python fills them below, the page as its reader chooses."""
    shared = "".join(f"<br>{plain(line)}" for line in textwrap.wrap(tables.common, 60))
    bars = {"type": "data", "color": "@faint", "thickness": 1, "width": 0}
    return {
        "points": {
            "type": "scatter",
            "mode": "markers",
            "marker": {"size": 10, "opacity": 0.9, "line": {"color": "@surface", "width": 1}},
            "error_x": bars,
            "error_y": bars,
            "hovertemplate": f"%{{text}}{shared}<extra></extra>",
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
    "xaxis": {"title": {"text": "@risk-axis"}, "tickformat": "@risk-format"},
    "yaxis": {"title": {"text": "Test accuracy"}, "tickformat": ".1%"},
    "margin": {"l": 64, "r": 20, "t": 16, "b": 52},
    "dragmode": "pan",
}


def front_traces(tables: Tables, risk: Risk) -> list[Trace]:
    """The default view: every recipe with its intervals, the front's line, and its recipes above that."""
    info = front_info(tables, risk.column)
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
        "text": [hover(tables, info.risk, int(i)) for i in np.flatnonzero(rows)],
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


def hover(tables: Tables, risk: Risk, i: int) -> str:
    """What a point says: recipe, accuracy and the risk by name, each in its axis' unit with its interval."""
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


FRONT = Panel(
    name="front",
    title="Accuracy against risk",
    about=(
        "Test accuracy of every recipe against the chosen risk, with intervals. The line joins "
        "what no other recipe beats: the best accuracy for at most that risk."
    ),
    layout={**LAYOUT, "showlegend": True},
    section="",
    backdrop=front_traces,
    empty="No recipe has a figure for this risk.",
)
