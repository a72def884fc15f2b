"""The front's growth with the replicas."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.report import figures
from analysis.report.figures.growth import growth_info
from analysis.results import Tables
from tests.helpers.simulated_results import simulate


def test_growth_is_the_history_of_the_hypervolume(tables: Tables) -> None:
    info = growth_info(tables)
    assert info is not None
    assert info.hypervolume.tolist() == tables.history["hypervolume"].tolist()
    (trace,) = figures.draw("growth", tables).data
    assert list(trace.x) == tables.history["replicas"].tolist()
    assert list(trace.y) == pytest.approx(tables.history["hypervolume"].tolist(), rel=1e-3)


def test_without_a_history_it_says_so(tmp_path: Path) -> None:
    directory = simulate(tmp_path, 2, examples=5, images=False)
    (directory / "results/history.parquet").unlink()
    assert growth_info(Tables.of(directory)) is None
    assert "left no history" in figures.draw("growth", directory).layout.annotations[0].text
