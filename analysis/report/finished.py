"""The results of a finished audit for notebooks: tables, and a method for each figure."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from functools import cached_property, partial
from os import PathLike
from typing import TYPE_CHECKING

import pandas as pd

from analysis.report import figures
from analysis.report.figures.panel import plain
from analysis.results import CHANCE, METRICS, Tables, pretty, risk_of
from trainables.registry import nearest
from trainables.storage import Store

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

COLUMNS = {
    "recipe_id": "content address of the recipe's knobs",
    "label": "the recipe in short, as on the page; figures take it as a name",
    "replicas": "replicas that were audited",
    "test_accuracy": "mean share of the test examples classified correctly",
    "train_accuracy": "mean share of a replica's own training examples classified correctly",
    "memorization": "mean over examples of P(correct | IN) - P(correct | OUT)",
    "memorization_rate": "share of the training examples with memorization above 0.25",
    "memorization_middle": "share of the training examples with memorization in 0.6 to 0.85",
    "nonmember_variance": "variance of the scaled logit over replicas without an example, averaged",
    "train_seconds": "mean seconds of training a replica",
    "on_front": "no recipe is as accurate and leaks less, or leaks as little and is more accurate",
    "front_probability": "share of bootstrap resamples of the seeds in which no recipe beats it",
    "caveat": "what to mind of the figures: few replicas or test examples, poor training, or nothing",
    "epsilon": "of differential privacy, as training accounted for it",
    "delta": "of differential privacy",
}
ENDS = {"low": "lower", "high": "upper"}


class Results:
    """What a finished audit found, read when asked for.

    Every figure of `analysis.report.figures.FIGURES` is a method, such as ``results.front()`` or
    ``results.roc("sam rho=0.1", risk="rmia_auc")``: it takes one or two labels or recipe_ids, ``risk`` and
    ``theme``, and gives a Plotly figure, which says why where it is empty.

    Attributes:
        tables: every table of ``results/``, see `analysis.results.Tables`.
    """

    def __init__(self, tables: Tables) -> None:
        self.tables = tables

    @cached_property
    def recipes(self) -> pd.DataFrame:
        """One row a recipe, indexed by recipe_id; ``recipes.attrs["columns"]`` says what each column is."""
        table = self.tables.recipes.copy()
        table.attrs["columns"] = {str(name): about(str(name)) for name in table.columns}
        return table

    @property
    def columns(self) -> pd.Series:
        """What each column of ``recipes`` is, a line each."""
        return pd.Series(self.recipes.attrs["columns"], name="meaning")

    def caption(self, figure: str, *recipes: str, risk: str | None = None) -> str:
        """Describe a figure in one line for a paper: risk, recipes, sweep, replicas, intervals and date."""
        return figures.caption(figure, self.tables, recipes, risk=risk)

    def draw(self, figure: str, *recipes: str, risk: str | None = None, theme: str = "light") -> Figure:
        """Draw a figure by its name, its caption below the title; see `analysis.report.figures.draw`."""
        drawn = figures.draw(figure, self.tables, recipes, risk=risk, theme=theme)
        title, _, rest = self.caption(figure, *recipes, risk=risk).partition(". ")
        lines = textwrap.wrap(rest, 110)
        drawn.update_layout(
            title={"text": title, "subtitle": {"text": "<br>".join(map(plain, lines))}},
            margin_t=drawn.layout.margin.t + 10 + 20 * len(lines),
        )
        return drawn

    def __getattr__(self, name: str) -> Callable[..., Figure]:
        if name not in figures.FIGURES:
            raise AttributeError(f"results have no figure {name!r}; {nearest(name, figures.FIGURES)}")
        drawn = partial(self.draw, name)
        drawn.__doc__ = f"{figures.FIGURES[name].title}. {figures.FIGURES[name].about}"
        return drawn

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *figures.FIGURES]

    def __repr__(self) -> str:
        names = ", ".join(figures.FIGURES)
        return f"Results({str(self.tables.store)!r}: {len(self.recipes)} recipes; figures {names})"


def load_results(directory: str | PathLike[str] | Store) -> Results:
    """Open the results of a finished audit.

    Args:
        directory: A sweep directory, as a path or a URI.

    Returns:
        Tables and figures.

    Raises:
        UserError: The directory holds no audited results.

    >>> load_results("runs/digits").recipes["lira_auc"]  # doctest: +SKIP
    """
    found = Results(Tables.of(directory))
    _ = found.recipes
    return found


def about(column: str) -> str:
    """Return what a column of the recipes table is, in one line."""
    bare, _, end = column.rpartition("_")
    if end in ENDS and bare:
        return f"{ENDS[end]} end of the interval of {bare}"
    if column in COLUMNS:
        return COLUMNS[column]
    risk = risk_of(column)
    if risk:
        guess = f"guessing gives {CHANCE[risk.metric]:g}"
        return f"{METRICS[risk.metric]} of the attack {pretty(risk.attack)}; {guess}"
    if column.endswith("_epsilon"):
        return f"epsilon that the attack {pretty(bare)} proves at least"
    if column.endswith("_most_vulnerable"):
        return f"AUC of {pretty(column.removesuffix('_most_vulnerable'))} on the 1 % most vulnerable examples"
    return f"{pretty(column)}, a knob or a rate of the recipe"
