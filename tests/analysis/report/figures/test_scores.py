"""Histograms of scores."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.report.figures.scores import scores_info
from analysis.results import Tables


def test_score_histograms_are_densities(tables: Tables) -> None:
    found = scores_info(tables, tables.recipes.index[0])
    assert {info.attack for info in found} == {r.attack for r in tables.risks.values()} | {"correctness"}
    for info in found:
        for density in (info.members, info.nonmembers):
            assert (density * np.diff(info.edges)).sum() == pytest.approx(1, abs=0.01)
