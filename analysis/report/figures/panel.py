"""What a figure is: an axis layout, traces of one recipe, and traces that every recipe shares.

A panel's traces are plain Plotly JSON in which a string that starts with ``@`` names something that is known
only when the figure is drawn: a colour of the theme; ``@slot`` and ``@slot-soft``, the colour of the selected
recipe; ``@risk``, ``@risk-lines`` (its title in two lines), ``@risk-axis`` and ``@risk-format``, the chosen
risk. A backdrop's trace whose points are recipes says so, see `points`. So Python (notebooks, export) and the
page's script compose the very same figure, and the script knows none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from analysis.results import Risk, Tables

Trace = dict[str, Any]

# From Okabe and Ito (2008): told apart with every common colour blindness; yellow, faint on white, darkened.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7F7F7F", "#B8A800")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "hexagon")
SLOTS = ("a", "b")
MANTISSAS = ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7), tuple(k / 10 for k in range(10, 100)))
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


def _nothing(_: Tables, __: Risk) -> list[Trace]:
    return []


@dataclass(frozen=True)
class Panel:
    """One figure.

    Attributes:
        name: how the registry, ``flatleak export`` and notebooks call it.
        title: its heading.
        about: how to read it; also its text alternative.
        layout: Plotly's layout, over `BASE`.
        section: the page's section that shows it: ``front``, ``why``, ``claims`` or ``how``.
        traces: ``(tables, recipe_id)`` -> one recipe's, empty where it has none; a panel without them shows
            the whole sweep. A trace's ``name`` is a fact to state about the recipe. One with ``meta`` set
            belongs to the attack of that name and is drawn only when that is chosen.
        backdrop: ``(tables, risk)`` -> traces of the whole sweep, drawn first. Where their points are
            recipes, the page filters them, marks the selected ones and selects the one that is clicked.
        empty: what to say where nothing is drawn.
        of_reference: what to say where only the reference is selected and it has no traces.
        size: how much room the page gives it: one column, ``broad`` for two, ``tall`` for all of them.
    """

    name: str
    title: str
    about: str
    layout: dict[str, Any]
    section: str = "why"
    traces: Callable[[Tables, str], list[Trace]] | None = None
    backdrop: Callable[[Tables, Risk], list[Trace]] = field(default=_nothing)
    empty: str = "The audit has nothing of this for what is selected."
    of_reference: str = ""
    size: str = ""


def risk_names(risk: Risk) -> dict[str, str]:
    """Return what ``@risk`` and its relatives stand for."""
    words = risk.title.split(" ")
    middle = (len(words) + 1) // 2
    return {
        "risk": risk.title,
        "risk-lines": "<br>".join(" ".join(part) for part in (words[:middle], words[middle:]) if part),
        "risk-axis": f"{risk.title} (less is better)",
        "risk-format": risk_format(risk),
    }


def risk_format(risk: Risk) -> str:
    """Return a d3 format: rates in percent, AUC and advantage as they are."""
    return "~%" if risk.metric.startswith("tpr") or risk.metric == "balanced_accuracy" else ".3~f"


def paint(value: Any, colours: dict[str, str]) -> Any:
    """Return the value with every string ``@name`` replaced by what has that name, where it is known."""
    if isinstance(value, dict):
        return {key: paint(item, colours) for key, item in value.items()}
    if isinstance(value, list):
        return [paint(item, colours) for item in value]
    if isinstance(value, str) and value.startswith("@"):
        return colours.get(value[1:], value)
    return value


def short(values: ArrayLike, digits: int = 4) -> list[float | None]:
    """Return the numbers as JSON takes them: ``digits`` significant digits, None for NaN and infinity."""
    array = np.asarray(values, float)
    return [float(f"{v:.{digits}g}") if np.isfinite(v) else None for v in array.tolist()]


def plain(text: object) -> str:
    """Return text that Plotly shows as it is: its labels read a little HTML, which data must not speak."""
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
