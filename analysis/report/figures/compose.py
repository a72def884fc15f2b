"""A figure put together: backdrop, the traces of each selected recipe, then what the names stand for.

`page/scripts/panels.js` does the same in the browser.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from analysis.report.figures.axes import with_log_ticks
from analysis.report.figures.panel import BASE, SLOTS, Panel, Trace, paint, plain, risk_names
from analysis.report.figures.points import View, resolve
from analysis.results import Risk, Tables


def compose(
    panel: Panel, tables: Tables, recipes: Sequence[str], risk: Risk, *, marked: Sequence[str] = ()
) -> tuple[list[Trace], dict[str, Any]]:
    """Return the traces and layout of a panel; only the theme's colours are names still.

    Args:
        panel: The figure.
        tables: The audited sweep.
        recipes: The recipe_ids whose own traces are drawn, at most two.
        risk: The chosen risk.
        marked: The recipe_ids that stand out among the points of all recipes.

    Returns:
        Plotly's traces and layout.
    """
    view = View(tables, risk, tuple(marked))
    below = {"showlegend": False} if panel.traces else {}
    backdrop = (t for trace in panel.backdrop(tables, risk) for t in resolve(trace, view))
    traces = [{**trace, **below} for trace in backdrop]
    for slot, recipe in zip(SLOTS, recipes if panel.traces else (), strict=False):
        assert panel.traces is not None
        own = [t for t in panel.traces(tables, recipe) if t.get("meta", risk.attack) == risk.attack]
        label = plain(tables.recipes.loc[recipe, "label"])
        for k, trace in enumerate(own):
            name = f"{label}: {trace['name']}" if "name" in trace else label
            named = {**trace, "name": name, "showlegend": k == len(own) - 1}
            traces.append(paint(named, {"slot": f"@{slot}", "slot-soft": f"@{slot}-soft"}))
    names = risk_names(risk)
    legend = panel.traces is not None or "showlegend" in panel.layout or any("name" in t for t in traces)
    layout = paint({**BASE, **panel.layout, "showlegend": legend}, names)
    traces = paint(traces, names)
    return traces, with_log_ticks(traces, layout)
