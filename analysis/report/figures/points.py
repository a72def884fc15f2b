"""Traces whose points are recipes: what they say of themselves, and their numbers for the chosen risk.

Such a trace has the key ``recipes``, which says whose points it holds:

- ``shown``: every recipe that the reader's filters keep;
- ``front``: those of them that no other beats in the trace's ``objectives``, ``{column: 1 or -1}``;
- ``marked``: the reference, and the best recipe without noise;
- ``chosen``: the selected ones.

A string that starts with ``$`` stands for one value a recipe: ``$risk`` the chosen risk, ``$column`` any
column of the recipes table, ``$column+`` and ``$column-`` the lengths of its interval above and below,
``$text`` the recipe with its accuracy and risk, ``$label`` its name, ``$mark`` why it is marked, ``$side``
on which side of its point words have room, ``$slot`` the colour of a chosen one, and ``$standing`` 0, 1 on
the front, 2 and 3 chosen. A recipe whose columns are not all known is left out. ``order`` sorts by a column,
``look: true`` gives colours and shapes, by optimizer here and as the reader wants on the page.

`page/scripts/points.js` has the same rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.pareto import pareto_front
from analysis.report.figures.front import front_info, hover
from analysis.report.figures.panel import PALETTE, SLOTS, SYMBOLS, Trace, plain, short
from analysis.results import Risk, Tables

OWN = ("recipes", "objectives", "order", "look")  # keys that Plotly does not know
SPECIAL = ("text", "label", "mark", "side", "slot", "standing")
# Beyond this many recipes, error bars hide what they qualify; the front's and the marked recipes' stay.
MOST_BARS = 80

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class View:
    """What is looked at: the recipes of a sweep, one risk, and the recipe_ids that stand out."""

    tables: Tables
    risk: Risk
    chosen: tuple[str, ...] = ()

    def column(self, name: str) -> str:
        """Return a column's name in the table of recipes."""
        return self.risk.column if name == "risk" else name

    def values(self, name: str) -> NDArray[Any]:
        """Return a column of every recipe."""
        return self.tables.recipes[self.column(name)].to_numpy()

    @cached_property
    def chosen_rows(self) -> list[int]:
        """Where the chosen recipes are."""
        return [self.tables.recipes.index.tolist().index(recipe) for recipe in self.chosen]

    @cached_property
    def marks(self) -> dict[int, str]:
        """Where the marked recipes are, and why they are."""
        info = front_info(self.tables, self.risk.column)
        marked = ((info.reference, "reference"), (info.baseline, "best without noise"))
        return {row: text for row, text in marked if row is not None}


def named_columns(trace: Trace) -> set[str]:
    """Return the columns that a trace of recipes names, the objectives among them."""
    found = set(trace.get("objectives", {}))
    _fill(trace, lambda name: found.add(name.rstrip("+-")))
    return found - set(SPECIAL)


def resolve(trace: Trace, view: View) -> Iterator[Trace]:
    """Yield the trace with its recipes' values, one trace an optimizer where looks tell optimizers apart."""
    if "recipes" not in trace:
        yield trace
        return
    known = _known(trace, view)
    front = _front(trace, view, known)
    rows = _rows(trace, view, known, front)
    if not trace.get("look"):
        yield _filled(trace, view, rows, known, front)
        return
    optimizers = view.values("optimizer").astype(str)
    for k, name in enumerate(sorted(set(optimizers.tolist()))):  # in the page's order: the same colours
        look = {"color": PALETTE[k % len(PALETTE)], "symbol": SYMBOLS[k % len(SYMBOLS)]}
        own = _filled(trace, view, rows[optimizers[rows] == name], known, front)
        yield own | {"marker": own.get("marker", {}) | look, "name": plain(name), "legendgroup": name}


def _known(trace: Trace, view: View) -> Rows:
    """Return recipes whose every column is known."""
    columns = [view.column(name) for name in named_columns(trace)]
    table = view.tables.recipes[columns].replace([np.inf, -np.inf], np.nan)
    return np.flatnonzero(table.notna().all(axis=1))


def _front(trace: Trace, view: View, known: Rows) -> Rows:
    """Return those of the known recipes that no other beats."""
    objectives = trace.get("objectives", {})
    if not objectives:
        return known[:0]
    points = np.column_stack([view.values(name)[known].astype(float) for name in objectives])
    return known[pareto_front(points, maximize=tuple(sign > 0 for sign in objectives.values()))]


def _rows(trace: Trace, view: View, known: Rows, front: Rows) -> Rows:
    kinds = {
        "shown": known.tolist(),
        "front": front.tolist(),
        "marked": list(view.marks),
        "chosen": view.chosen_rows,
    }
    there = set(known.tolist())
    rows = np.array([row for row in kinds[trace["recipes"]] if row in there], np.int64)
    if "order" not in trace:
        return rows
    by = np.isin(rows, front) if trace["order"] == "standing" else view.values(trace["order"])[rows]
    return rows[np.argsort(by, kind="stable")]


def _filled(trace: Trace, view: View, rows: Rows, known: Rows, front: Rows) -> Trace:
    own = {key: value for key, value in trace.items() if key not in OWN}
    ids = [str(recipe) for recipe in view.tables.recipes.index[rows]]
    barred = set(known.tolist() if len(known) <= MOST_BARS else front.tolist())
    barred |= {*view.marks, *view.chosen_rows}

    def value(name: str) -> list[Any]:
        if name in SPECIAL:
            return [_special(name, view, int(row), known, front) for row in rows]
        if name.endswith(("+", "-")):
            return _lengths(view, name, rows, barred)
        values = view.values(name)[rows]
        return short(values, 6) if values.dtype.kind in "fiu" else [plain(v) for v in values]

    filled: Trace = _fill(own, value)
    return filled | {"ids": ids}


def _special(name: str, view: View, row: int, known: Rows, front: Rows) -> Any:
    """Return a value that is no column's."""
    if name == "text":
        return hover(view.tables, view.risk, row)
    if name == "label":
        return plain(view.tables.recipes["label"].iloc[row])
    if name == "mark":
        return view.marks[row]
    if name == "side":
        x = view.values("risk").astype(float)
        return f"bottom {'left' if x[row] > (x[known].min() + x[known].max()) / 2 else 'right'}"
    slot = view.chosen_rows.index(row) if row in view.chosen_rows else None
    if name == "slot":
        return "@ink" if slot is None else f"@{SLOTS[slot]}"
    return int(row in front) if slot is None else 2 + slot


def _lengths(view: View, name: str, rows: Rows, barred: set[int]) -> list[float | None]:
    """From an estimate to the end of its interval; None where no bar is to be drawn."""
    column = view.column(name[:-1])
    low, high = view.tables.interval(column)
    value = view.tables.recipes[column].to_numpy(float)
    length = high - value if name.endswith("+") else value - low
    return short([length[row] if int(row) in barred else np.nan for row in rows])


def _fill(value: Any, fill: Callable[[str], Any]) -> Any:
    """Return the value with every string ``$name`` replaced by ``fill(name)``."""
    if isinstance(value, dict):
        return {key: _fill(item, fill) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, fill) for item in value]
    return fill(value[1:]) if isinstance(value, str) and value.startswith("$") else value
