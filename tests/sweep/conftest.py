"""Sweeps on disk and on a real S3 server."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(params=["disk", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where sweeps lie."""
    return str(tmp_path) if request.param == "disk" else request.getfixturevalue("s3").uri("sweeps")
