"""Figures of a finished sweep, as Plotly figures for notebooks, export and the page.

>>> from analysis.report import figures
>>> figures.draw("front", "runs/digits", risk="lira_auc").show()        # doctest: +SKIP
>>> figures.draw("roc", "runs/digits", ["3f2a...", "91bc..."]).show()   # doctest: +SKIP

A new figure is one module with a ``PANEL`` and one line in ``PANELS``.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING

from analysis.report.figures import (
    buckets,
    examples,
    growth,
    memorization,
    objectives,
    roc,
    scores,
    spread,
    theory,
)
from analysis.report.figures.front import front_info, front_panel
from analysis.report.figures.panel import THEMES, Panel, compose, paint
from analysis.results import Tables
from trainables.registry import lookup
from trainables.storage import Store

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["PANELS", "Panel", "default_recipes", "draw"]

PANELS: dict[str, Panel] = {
    panel.name: panel
    for panel in (
        roc.PANEL,
        scores.PANEL,
        memorization.PANEL,
        examples.PAIRS,
        examples.EXPOSURE,
        buckets.PANEL,
        spread.PANEL,
        theory.PANEL,
        growth.PANEL,
        objectives.PANEL,
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
    """One figure of a sweep.

    Args:
        name: ``front`` or a name in ``PANELS``.
        source: the sweep's directory, or its tables.
        recipes: one or two recipe_ids; default is what the page opens with (see ``default_recipes``).
        risk: a risk column such as ``lira_auc``; decides the front's axis and the attack that other figures
        show. theme: ``light`` or ``dark``.

    Raises:
        UserError: no such figure, risk, recipe, or no results.
    """
    from plotly.graph_objects import Figure  # a second of import that reading tables does not need

    tables = Tables.of(source)
    panel = (
        front_panel(tables, risk)
        if name == "front"
        else lookup("figure", name, {"front": front_panel(tables), **PANELS})
    )
    chosen = [
        lookup("recipe", r, dict.fromkeys(tables.recipes.index, r)) for r in recipes
    ] or default_recipes(tables, risk)
    traces, layout = compose(panel, tables, chosen, tables.risk(risk).attack)
    colours = THEMES[theme]
    margin = {**layout["margin"], "t": layout["margin"]["t"] + 44}  # room for the title
    return Figure(
        paint(traces, colours),
        paint({**layout, "title": {"text": panel.title}, "margin": margin}, colours),
    )


def default_recipes(tables: Tables, risk: str | None = None) -> list[str]:
    """The front's knee, or its most accurate recipe where it has none, beside the reference."""
    info = front_info(tables, risk)
    best = info.knee if info.knee is not None else int(info.accuracy.argmax())
    first = str(tables.recipes.index[best])
    second = tables.reference
    return [first] if second in (None, first) else [first, str(second)]
