"""Every figure: drawn in both themes, by its name; never pixels."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.report import figures
from analysis.report.figures.panel import (
    THEMES,
)
from analysis.results import Tables
from trainables.errors import UserError


@pytest.fixture(scope="module")
def tables(sweep: Path) -> Tables:
    return Tables.of(sweep)


@pytest.mark.parametrize("name", figures.FIGURES)
def test_every_figure_draws_in_both_themes(tables: Tables, name: str) -> None:
    for theme in THEMES:
        text = figures.draw(name, tables, theme=theme).to_json()
        assert '"@' not in text, "a colour of the theme is still a name"
        assert len(figures.draw(name, tables).data) > 0


def test_unknown_names_are_answered_with_the_nearest(tables: Tables) -> None:
    with pytest.raises(UserError, match="roc"):
        figures.draw("rok", tables)
    with pytest.raises(UserError, match="lira_auc"):
        figures.draw("roc", tables, risk="lira_acu")
    with pytest.raises(UserError, match="recipe 'nobody'"):
        figures.draw("roc", tables, ["nobody"])


def test_no_results_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="flatleak audit"):
        figures.draw("front", tmp_path)
