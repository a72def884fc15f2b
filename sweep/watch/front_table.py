"""The table of recipes in the terminal: the front first, every figure with its interval."""

from __future__ import annotations

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from analysis.results import caveat_lines, caveat_of, front_risk

COLUMNS = {  # column of results/recipes.parquet -> heading, scale, decimals, with its interval
    "test_accuracy": ("test accuracy %", 100, 1, True),
    "lira_auc": ("LiRA AUC", 1, 3, True),
    "lira_advantage": ("advantage", 1, 3, False),
    "lira_tpr_at_0.1pct": ("TPR@0.1%", 100, 2, False),
}
NARROW = 80  # columns; in fewer, intervals would leave the recipes no room


def show_front(console: Console, recipes: pd.DataFrame) -> None:
    """Print ``results/recipes.parquet``: recipes on the Pareto front marked and first, by accuracy.

    A recipe whose figures have a caveat is marked, too; lines below the table say why.
    """
    shown = {name: about for name, about in COLUMNS.items() if name in recipes}
    narrow = console.width < NARROW
    table = Table(title=_title(recipes), title_justify="left", box=None)
    table.add_column("", min_width=2 if any(caveat_lines(recipes)) else 1)
    table.add_column("recipe", overflow="fold", min_width=len("recipe"))
    for heading, *_ in shown.values():
        table.add_column(heading, justify="right", no_wrap=not narrow, overflow="fold")
    on_front = recipes["on_front"] if "on_front" in recipes else pd.Series(False, recipes.index)
    order = recipes.assign(_front=on_front).sort_values(["_front", "test_accuracy"], ascending=False)
    for _, row in order.iterrows():
        cells = [
            _cell(row, name, scale, decimals, interval and not narrow)
            for name, (_, scale, decimals, interval) in shown.items()
        ]
        front, label = bool(row["_front"]), escape(str(row["label"]))
        mark = ("●" if front else " ") + ("!" if caveat_of(row) else "")
        table.add_row(mark, label, *cells, style="bold" if front else "dim")
    console.print(table)
    for line in caveat_lines(order):
        console.print(f"[yellow]![/] {escape(line)}", highlight=False)


def _title(recipes: pd.DataFrame) -> str:
    risk = front_risk(recipes)
    if "on_front" not in recipes or risk is None:
        return "Test accuracy; no attack's figures"
    return escape(f"● on the Pareto front of test accuracy and {risk.title}")


def _cell(row: pd.Series, name: str, scale: float, decimals: int, interval: bool) -> str:
    """``"96.7 [96.4, 97.0]"``; a dash where the figure could not be had."""
    low, value, high = (row.get(f"{name}{end}", float("nan")) * scale for end in ("_low", "", "_high"))
    if pd.isna(value):
        return "–"
    bounds = f" [{low:.{decimals}f}, {high:.{decimals}f}]" if interval and not pd.isna(low) else ""
    return f"{value:.{decimals}f}{bounds}"
