"""What a figure is composed of."""

from __future__ import annotations

from analysis.report import figures
from analysis.report.figures.compose import compose
from analysis.results import Tables


def test_only_the_chosen_attack_is_drawn(tables: Tables) -> None:
    recipes = figures.default_recipes(tables)
    traces, _ = compose(figures.FIGURES["roc"], tables, recipes, tables.risk("rmia_auc"))
    attacks = {trace["meta"] for trace in traces if "meta" in trace}
    assert attacks == {"rmia"}
