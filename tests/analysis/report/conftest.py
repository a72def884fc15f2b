"""One simulated sweep for all pages and figures; nobody changes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.simulated_results import simulate


@pytest.fixture(scope="package")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("report") / "sweep", 12)
