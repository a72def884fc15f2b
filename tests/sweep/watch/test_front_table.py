"""The table in the terminal: nothing of a label is lost, and its title says which risk the front is about."""

from __future__ import annotations

import io
import re

import pandas as pd
import pytest
from rich.console import Console

from sweep.watch.front_table import show_front

LABELS = ["sam data=[flip] an_extraordinarily_long_knob=0.5", "sgd"]
RECIPES = pd.DataFrame(
    {
        "label": LABELS,
        "test_accuracy": [0.96, 0.95],
        "test_accuracy_low": [0.95, 0.94],
        "test_accuracy_high": [0.97, 0.96],
        "lira_auc": [0.6, 0.7],
        "lira_auc_low": [0.59, 0.69],
        "lira_auc_high": [0.61, 0.71],
        "lira_tpr_at_0.1pct": [0.01, 0.02],
        "on_front": [True, False],
    }
)


def shown(recipes: pd.DataFrame, width: int) -> str:
    console = Console(width=width, file=io.StringIO())
    show_front(console, recipes)
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [40, 60, 79, 80, 200])
def test_every_letter_of_a_label_and_of_a_figure_is_there(width: int) -> None:
    text = shown(RECIPES, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert all(figure in text for figure in ("96.0", "95.0", "0.600", "0.700", "1.00", "2.00"))
    assert ("[95.0, 97.0]" in text) == (width >= 80)
    labels = re.sub(r"\[[\d.]+, [\d.]+\]|\b\d+\.\d\d+\b|\b9\d\.\d\b", "", text[text.index("●", 1) :])
    assert re.sub(r"[\s●]", "", labels) == "".join(LABELS).replace(" ", "")


@pytest.mark.parametrize("width", [40, 100])
def test_rows_with_a_caveat_are_marked_and_each_is_said_once(width: int) -> None:
    few, poor = "8 replicas: LiRA is biased, take 32 or more", "barely trained"
    text = shown(RECIPES.assign(caveat=[f"{few}; {poor}", few]), width)
    words = " ".join(text.split())
    assert f"! {few} ! {LABELS[0]}: {poor}" in words
    assert words.count(few) == 1
    assert "●!" in text
    assert "!" not in shown(RECIPES.assign(caveat=["", None]), width)


@pytest.mark.parametrize(
    ("lost", "risk"),
    [([], "LiRA TPR at 0.1 % FPR"), (["lira_tpr_at_0.1pct"], "LiRA AUC")],
)
def test_the_title_names_the_risk_of_the_front(lost: list[str], risk: str) -> None:
    title, *_ = shown(RECIPES.drop(columns=lost), 100).splitlines()
    assert title.strip() == f"● on the Pareto front of test accuracy and {risk}"
    unresolved = RECIPES.assign(**{column: [0.1, float("nan")] for column in lost})
    assert shown(unresolved, 100).splitlines()[0].strip() == title.strip()
