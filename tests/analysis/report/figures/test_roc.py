"""ROC curves on logarithmic axes."""

from __future__ import annotations

from analysis.report.figures.roc import roc_info
from analysis.results import Tables


def test_roc_leaves_out_what_a_log_axis_cannot_show(tables: Tables) -> None:
    recipe = tables.recipes.index[1]
    rows = tables.of_recipe("roc", recipe)
    for info in roc_info(tables, recipe):
        own = rows[(rows["attack"] == info.attack) & (rows["fpr"] > 0) & (rows["tpr"] > 0)]
        assert info.fpr.tolist() == own["fpr"].tolist()
        assert info.tpr.tolist() == own["tpr"].tolist()
        assert (info.fpr > 0).all()
