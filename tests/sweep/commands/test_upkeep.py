"""``flatleak prune`` and ``flatleak merge`` as commands."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from sweep.commands import app
from sweep.runner.prune import unnamed
from tests.helpers.small_sweeps import SAM, SGD, put, sweep


def test_prune_and_merge_print_what_they_did(tmp_path: Path) -> None:
    a, b = sweep(tmp_path / "a", [SGD], range(4)), sweep(tmp_path / "b", [SAM], range(4))
    runner = CliRunner()
    merged = runner.invoke(app, ["merge", str(a), str(b), "--out", str(tmp_path / "c"), "--json"])
    assert json.loads(merged.stdout)["copied"] == 8
    put(a, SAM, range(4))
    listed = runner.invoke(app, ["prune", str(a)])
    assert listed.stdout.startswith(f"records/{SAM.recipe_id}/")
    assert "no such recipe" in listed.stdout
    assert json.loads(runner.invoke(app, ["prune", str(a), "--yes", "--json"]).stdout)["deleted"] is True
    assert unnamed(a) == []
