"""The table of recipes in the terminal: the front first, every figure with its interval."""

from __future__ import annotations

import pandas as pd
from rich.console import Console
from rich.table import Table

COLUMNS = {  # column of results/recipes.parquet -> heading, scale, decimals, with its interval
    "test_accuracy": ("test accuracy %", 100, 1, True),
    "lira_auc": ("LiRA AUC", 1, 3, True),
    "lira_advantage": ("advantage", 1, 3, False),
    "lira_tpr_at_0.1pct": ("TPR@0.1%", 100, 2, False),
}


def show_front(console: Console, recipes: pd.DataFrame) -> None:
    """Prints ``results/recipes.parquet``: recipes on the Pareto front marked and first, by accuracy."""
    shown = {name: about for name, about in COLUMNS.items() if name in recipes}
    table = Table(
        title="Accuracy against privacy risk; ● on the Pareto front", title_justify="left", box=None
    )
    table.add_column("")
    table.add_column("recipe")
    for heading, *_ in shown.values():
        table.add_column(heading, justify="right", no_wrap=True)
    on_front = recipes["on_front"] if "on_front" in recipes else pd.Series(False, recipes.index)
    order = recipes.assign(_front=on_front).sort_values(["_front", "test_accuracy"], ascending=False)
    for _, row in order.iterrows():
        cells = [_cell(row, name, *about[1:]) for name, about in shown.items()]
        front = bool(row["_front"])
        table.add_row("●" if front else "", str(row["label"]), *cells, style="bold" if front else "dim")
    console.print(table)


def _cell(row: pd.Series, name: str, scale: float, decimals: int, interval: bool) -> str:
    """``"96.7 [96.4, 97.0]"``; a dash where the figure could not be had."""
    low, value, high = (row.get(f"{name}{end}", float("nan")) * scale for end in ("_low", "", "_high"))
    if pd.isna(value):
        return "–"
    bounds = f" [{low:.{decimals}f}, {high:.{decimals}f}]" if interval and not pd.isna(low) else ""
    return f"{value:.{decimals}f}{bounds}"
