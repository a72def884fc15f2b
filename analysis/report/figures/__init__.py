"""Figures of a finished sweep, as Plotly figures for notebooks, export and the page.

>>> from analysis.report import figures
>>> figures.draw("front", "runs/digits", risk="lira_auc").show()                    # doctest: +SKIP
>>> figures.draw("roc", "runs/digits", ["sam rho=0.1", "sgd"]).show()               # doctest: +SKIP

A new figure is one module with a ``PANEL`` and one line in ``FIGURES``: the page, ``flatleak export`` and
`analysis.results.Tables` draw what is listed there.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING

from analysis.report.figures import (
    buckets,
    examples,
    front,
    growth,
    memorization,
    objectives,
    roc,
    scores,
    spread,
    theory,
)
from analysis.report.figures.compose import compose
from analysis.report.figures.front import front_info
from analysis.report.figures.panel import THEMES, Panel, paint, plain
from analysis.results import Tables
from trainables.registry import registered
from trainables.storage import Store

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["FIGURES", "Panel", "caption", "default_recipes", "draw"]

FIGURES: dict[str, Panel] = {
    panel.name: panel
    for panel in (
        front.PANEL,
        roc.PANEL,
        scores.PANEL,
        memorization.PANEL,
        examples.PAIRS,
        examples.EXPOSURE,
        buckets.PANEL,
        spread.PANEL,
        growth.PANEL,
        objectives.PANEL,
        theory.PANEL,
    )
}


def draw(
    name: str,
    source: str | PathLike[str] | Store | Tables,
    recipes: Sequence[str] = (),
    *,
    risk: str | None = None,
    theme: str = "light",
) -> Figure:
    """Draw one figure of a sweep.

    Args:
        name: a name in ``FIGURES``.
        source: the sweep's directory, or its tables.
        recipes: one or two labels or recipe_ids, which a figure of all recipes marks; default is what the
            page opens with, `default_recipes`.
        risk: a risk column such as ``lira_auc``: the front's axis, and the attack that other figures show.
        theme: ``light`` or ``dark``.

    Returns:
        A Plotly figure. One that has nothing to show says why.

    Raises:
        UserError: no such figure, risk, recipe or theme, or no results.
    """
    from plotly.graph_objects import Figure  # a second of import that reading tables does not need

    tables = Tables.of(source)
    panel, colours = registered("figure", name, FIGURES), registered("theme", theme, THEMES)
    chosen = [tables.recipe_id(r) for r in recipes] or default_recipes(tables, risk)
    traces, layout = compose(panel, tables, chosen, tables.risk(risk), marked=chosen if recipes else ())
    margin = {**layout["margin"], "t": layout["margin"]["t"] + 44}  # room for the title
    layout = {**layout, "title": {"text": panel.title}, "margin": margin}
    if not _shows(panel, tables, traces):
        layout |= _nothing(panel, tables, chosen)
    return Figure(paint(traces, colours), paint(layout, colours))


def caption(
    name: str,
    source: str | PathLike[str] | Store | Tables,
    recipes: Sequence[str] = (),
    *,
    risk: str | None = None,
) -> str:
    """Describe a figure in one line for a paper: its risk, recipes, sweep, replicas, intervals and date.

    The arguments are those of `draw`.
    """
    tables = Tables.of(source)
    panel = registered("figure", name, FIGURES)
    chosen = [tables.recipe_id(r) for r in recipes] or default_recipes(tables, risk)
    shown = [str(tables.recipes.loc[r, "label"]) for r in chosen] if panel.traces else []
    parts = [tables.risk(risk).title, " and ".join(shown), tables.caption]
    return f"{panel.title}. {'. '.join(part for part in parts if part)}."


def default_recipes(tables: Tables, risk: str | None = None) -> list[str]:
    """Return the front's knee, or its most accurate recipe where it has none, beside the reference."""
    info = front_info(tables, risk)
    best = info.knee if info.knee is not None else int(info.accuracy.argmax())
    first = str(tables.recipes.index[best])
    second = tables.reference
    return [first] if second in (None, first) else [first, str(second)]


def _shows(panel: Panel, tables: Tables, traces: Sequence[object]) -> bool:
    """Return whether there is more than what lies behind the recipes' own traces."""
    return len(traces) > (len(panel.backdrop(tables, tables.default_risk)) if panel.traces else 0)


def _nothing(panel: Panel, tables: Tables, recipes: Sequence[str]) -> dict[str, object]:
    """Return a layout that says in the middle of the figure why it is empty."""
    of_reference = list(recipes) == [tables.reference] and panel.of_reference
    hidden = {"visible": False}
    note = {
        "text": plain(of_reference or panel.empty),
        "showarrow": False,
        "xref": "paper",
        "yref": "paper",
        "x": 0.5,
        "y": 0.5,
    }
    return {"annotations": [note], "xaxis": hidden, "yaxis": hidden, "showlegend": False}
