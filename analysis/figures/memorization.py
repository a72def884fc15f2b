"""How many training examples are memorized, and how strongly (Feldman and Zhang 2020)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.figures.panel import Panel, Trace, short
from analysis.tables import Tables

EDGES = np.linspace(-0.5, 1.0, 31)


class MemorizationInfo(NamedTuple):
    """Shares of the examples by bin of memorization; ``share[b]`` sums to 1 unless some lie below -0.5."""

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
    return MemorizationInfo(
        EDGES, np.histogram(values, EDGES)[0] / len(values), len(values), float(values.mean())
    )


def _traces(tables: Tables, recipe_id: str) -> list[Trace]:
    info = memorization_info(tables, recipe_id)
    if info is None:
        return []
    share = np.where(info.share > 0, info.share, np.nan)
    return [
        {
            "type": "scatter",
            "x": short(info.edges),
            "y": short(np.append(share, share[-1:])),
            "name": f"mean {info.mean:.3f} over {info.examples:,} examples",
            "mode": "lines",
            "line": {"shape": "hv", "color": "@slot", "width": 2},
            "hovertemplate": "memorization from %{x:.2f}<br>%{y:.2%} of the examples<extra></extra>",
        }
    ]


PANEL = Panel(
    name="memorization",
    title="Memorization of training examples",
    about=(
        "Share of the training examples by memorization: how much likelier a model is to classify an "
        "example correctly when it trained on it. The scale is logarithmic; gaps are empty bins."
    ),
    layout={
        "xaxis": {"title": {"text": "Memorization"}, "range": [-0.5, 1]},
        "yaxis": {"title": {"text": "Share of examples"}, "type": "log", "tickformat": "~%", "dtick": 1},
    },
    traces=_traces,
)
