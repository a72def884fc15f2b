"""Tune's own loggers: off unless asked for, and said what they need."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from sweep import SweepSpec, run
from sweep.loggers import LOGGERS, make_loggers
from trainables.registry import UserError

SETTINGS = ["grid=[{optimizer: sgd}]", "subsets.seeds=4", "training.epochs=1", "block=2", "stack=2"]


def test_json_and_csv_follow_every_trial(ray_session: None, tmp_path: Path) -> None:  # noqa: ARG001
    logs = tmp_path / "logs"
    spec = SweepSpec.load("smoke", [*SETTINGS, "loggers=[json, csv]", f"tune_dir={logs}"])
    assert run(spec, tmp_path / "sweep", analyse=False).trained.trained == 4
    results = [path.read_text().splitlines()[-1] for path in logs.rglob("result.json")]
    assert [json.loads(line)["replicas"] for line in results] == [2.0, 2.0]
    assert len(list(logs.rglob("progress.csv"))) == 2


def test_by_default_tune_leaves_nothing_behind(smoke_sweep: Path) -> None:
    folders = {path.name for path in smoke_sweep.iterdir()}
    assert folders == {"spec.yaml", "manifest.json", "records", "results", "report.html"}


@pytest.mark.parametrize("name", ["mlflow", "tensorboard", "wandb"])
def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, LOGGERS[name][2] or "", None)
    with pytest.raises(UserError, match=rf"loggers: '{name}' needs .* pip install 'flatleak\[{name}\]'"):
        make_loggers([name], "smoke")
