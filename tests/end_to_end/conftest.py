"""The page that browser tests open."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.report.html import write_report
from tests.helpers.simulated_results import simulate


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The written page of a simulated sweep of 12 recipes."""
    return Path(write_report(simulate(tmp_path_factory.mktemp("page") / "sweep", 12)))
