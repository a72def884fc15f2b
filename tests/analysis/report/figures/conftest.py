"""The tables of the simulated sweep."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.results import Tables


@pytest.fixture(scope="package")
def tables(sweep: Path) -> Tables:
    return Tables.of(sweep)
