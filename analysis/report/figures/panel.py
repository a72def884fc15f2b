"""What a figure is: an axis layout, traces of one recipe, and traces that every recipe shares.

A panel's traces are plain Plotly JSON in which a string that starts with ``@`` names a colour of the theme;
``@slot`` and ``@slot-soft`` stand for the colour of the selected recipe. So Python (notebooks, export) and
the page's script compose the very same figure: backdrop, then the traces of each selected recipe, then
colours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from analysis.results import Tables

Trace = dict[str, Any]

# From Okabe and Ito (2008): told apart with every common colour blindness; yellow, faint on white, darkened.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7F7F7F", "#B8A800")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "hexagon")
SLOTS = ("a", "b")
# Plotly writes 20 between 10 and 100 as a small 2, which reads as a 2.
LOG_TICKS = [float(f"{digit}e{power}") for power in range(-6, 7) for digit in (1, 2, 5)]
THEMES: dict[str, dict[str, str]] = {
    "light": {
        "page": "#f6f7f9",
        "surface": "#ffffff",
        "ink": "#1b2430",
        "muted": "#5a6675",
        "line": "#dfe3e8",
        "faint": "#b6bec8",
        "a": "#0072B2",
        "a-soft": "rgba(0,114,178,0.16)",
        "b": "#C24E00",
        "b-soft": "rgba(213,94,0,0.15)",
        "good": "#00724F",
        "bad": "#B3400E",
    },
    "dark": {
        "page": "#0f1318",
        "surface": "#171c23",
        "ink": "#e8ecf1",
        "muted": "#9ba7b5",
        "line": "#2b333d",
        "faint": "#55606d",
        "a": "#56B4E9",
        "a-soft": "rgba(86,180,233,0.20)",
        "b": "#F0A23C",
        "b-soft": "rgba(240,162,60,0.18)",
        "good": "#3CC79A",
        "bad": "#F28A5B",
    },
}
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
AXIS = {
    "gridcolor": "@line",
    "zerolinecolor": "@line",
    "linecolor": "@faint",
    "ticks": "outside",
    "tickcolor": "@faint",
    "ticklen": 4,
    "automargin": True,
    "title": {"standoff": 10, "font": {"size": 13, "color": "@muted"}},
}
BASE: dict[str, Any] = {
    "template": {
        "layout": {
            "font": {"family": FONT, "size": 13, "color": "@ink"},
            "legend": {"orientation": "h", "y": -0.22, "yanchor": "top"},
            "paper_bgcolor": "@surface",
            "plot_bgcolor": "@surface",
            "colorway": list(PALETTE),
            "xaxis": AXIS,
            "yaxis": AXIS,
            "hoverlabel": {
                "bgcolor": "@surface",
                "bordercolor": "@faint",
                "font": {"color": "@ink"},
                "align": "left",
            },
        }
    },
    "margin": {"l": 56, "r": 26, "t": 12, "b": 48},
    "showlegend": False,
    "hovermode": "closest",
}


def _nothing(_: Tables) -> list[Trace]:
    return []


@dataclass(frozen=True)
class Panel:
    """One figure. ``about`` says how to read it and is its text alternative.

    ``traces(tables, recipe_id)`` are one recipe's, empty where it has none; a panel without them shows the
    whole sweep. A trace's ``name`` is a fact to state about the recipe. One with ``meta`` set belongs to
    the attack of that name and is drawn only when that is chosen.
    """

    name: str
    title: str
    about: str
    layout: dict[str, Any]
    traces: Callable[[Tables, str], list[Trace]] | None = None
    backdrop: Callable[[Tables], list[Trace]] = field(default=_nothing)


def compose(
    panel: Panel, tables: Tables, recipes: Sequence[str], attack: str
) -> tuple[list[Trace], dict[str, Any]]:
    """Traces and layout of a panel with its theme colours still named, the slots resolved."""
    below = {"showlegend": False} if panel.traces else {}
    traces = [{**trace, **below} for trace in panel.backdrop(tables)]
    for slot, recipe in zip(SLOTS, recipes if panel.traces else (), strict=False):
        assert panel.traces is not None
        own = [t for t in panel.traces(tables, recipe) if t.get("meta", attack) == attack]
        label = plain(tables.recipes.loc[recipe, "label"])
        for k, trace in enumerate(own):
            name = f"{label}: {trace['name']}" if "name" in trace else label
            named = {**trace, "name": name, "showlegend": k == len(own) - 1}
            traces.append(paint(named, {"slot": f"@{slot}", "slot-soft": f"@{slot}-soft"}))
    return traces, {
        **BASE,
        **panel.layout,
        "showlegend": panel.traces is not None or "showlegend" in panel.layout,
    }


def paint(value: Any, colours: dict[str, str]) -> Any:
    """The value with every string ``@name`` replaced by the colour of that name, where it is known."""
    if isinstance(value, dict):
        return {key: paint(item, colours) for key, item in value.items()}
    if isinstance(value, list):
        return [paint(item, colours) for item in value]
    if isinstance(value, str) and value.startswith("@"):
        return colours.get(value[1:], value)
    return value


def short(values: ArrayLike, digits: int = 4) -> list[float | None]:
    """Numbers as JSON takes them: ``digits`` significant digits, None for NaN and infinity."""
    array = np.asarray(values, float)
    return [float(f"{v:.{digits}g}") if np.isfinite(v) else None for v in array.tolist()]


def plain(text: object) -> str:
    """Text that Plotly shows as it is: its labels read a little HTML, which data must not speak."""
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
