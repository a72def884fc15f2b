"""What is simulated of the theory."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from analysis.report import figures
from tests.helpers.simulated_results import simulate


def test_the_theory_is_drawn_from_its_table_and_says_so_without(tmp_path: Path) -> None:
    directory = simulate(tmp_path, 2)
    drawn = figures.draw("theory", directory)
    table = pd.read_parquet(directory / "results/theory.parquet")
    variance = table[table["metric"] == "variance"]
    assert list(drawn.data[0].y) == pytest.approx(variance["predicted"].tolist(), rel=1e-3)
    (directory / "results/theory.parquet").unlink()
    assert "claims: true" in figures.draw("theory", directory).layout.annotations[0].text
