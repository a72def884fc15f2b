"""How many training examples are memorized, and how strongly (Feldman and Zhang 2020)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.report.figures.panel import Panel, Trace, short
from analysis.results import Tables

WIDTH = 0.05  # of a bin, at least


class MemorizationInfo(NamedTuple):
    """Shares of the examples by bin of memorization: ``edges[b + 1]``, ``share[b]``, which sums to 1."""

    edges: NDArray[np.float64]
    share: NDArray[np.float64]
    examples: int
    mean: float


def memorization_info(tables: Tables, recipe_id: str) -> MemorizationInfo | None:
    """None without examples; those that are always IN or always OUT have no memorization and do not count."""
    table = tables.examples(recipe_id)
    if table.empty:
        return None
    values = table["memorization"].to_numpy(float)
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    edges = bins(int(tables.recipes["replicas"][recipe_id]))
    share = np.histogram(values, edges)[0] / len(values)
    return MemorizationInfo(edges, share, len(values), float(values.mean()))


def bins(replicas: int) -> NDArray[np.float64]:
    """Return the edges from -1 to 1 that no value falls on where half of the replicas hold each example.

    Such values are multiples of 2 / replicas; bins that hold now one and now two of them would look like
    a comb, so that each holds the same number of them, and is at least ``WIDTH`` wide.
    """
    step = 2 / max(replicas, 2)
    each = max(1, int(np.ceil(WIDTH / step)))
    first = -np.ceil(1 / (each * step)) * each
    return (np.arange(first, 1 / step + each + 1, each) - 0.5) * step


def _traces(tables: Tables, recipe_id: str) -> list[Trace]:
    info = memorization_info(tables, recipe_id)
    if info is None:
        return []
    low, high = np.flatnonzero(info.share)[[0, -1]]
    edges, share = info.edges[low : high + 2], np.append(info.share[low : high + 1], 0)
    floor = 0.5 / info.examples  # a log axis has no 0: an empty bin is drawn as half an example
    outline = np.maximum(share, floor)
    return [
        {
            "type": "scatter",
            "x": short(np.insert(edges, 0, edges[0])),
            "y": short(np.insert(outline, 0, floor)),
            "customdata": short(np.insert(share, 0, 0)),
            "name": f"mean {info.mean:.3f} over {info.examples:,} examples",
            "mode": "lines",
            "line": {"shape": "hv", "color": "@slot", "width": 2},
            "fill": "tozeroy",
            "fillcolor": "@slot-soft",
            "hovertemplate": "memorization from %{x:.2f}<br>%{customdata:.2%} of the examples<extra></extra>",
        }
    ]


PANEL = Panel(
    name="memorization",
    title="Memorization of training examples",
    about=(
        "Share of the training examples by memorization: how much likelier a model is to classify an "
        "example correctly when it trained on it. The scale is logarithmic and starts at half an example."
    ),
    layout={
        "xaxis": {"title": {"text": "Memorization"}, "range": [-0.5, 1.1]},
        "yaxis": {"title": {"text": "Share of examples"}, "type": "log", "tickformat": "~%"},
    },
    traces=_traces,
)
