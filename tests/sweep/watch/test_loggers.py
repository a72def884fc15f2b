"""Tune's own loggers: off unless asked for, and said what they need."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from sweep import SweepSpec, run
from sweep.watch.loggers import LOGGERS, make_loggers
from tests.helpers.logged import NAMES, SETTINGS, flatleak, mentions
from trainables.errors import UserError


def test_json_and_csv_follow_every_trial(ray_session: None, tmp_path: Path) -> None:  # noqa: ARG001
    logs = tmp_path / "logs"
    spec = SweepSpec.load("smoke", [*SETTINGS, "loggers=[json, csv]", f"tune_dir={logs}"])
    assert run(spec, tmp_path / "sweep", analyse=False).trained.trained == 4
    results = [path.read_text().splitlines()[-1] for path in logs.rglob("result.json")]
    assert [json.loads(line)["replicas"] for line in results] == [2.0, 2.0]
    assert len(list(logs.rglob("progress.csv"))) == 2


def test_by_default_tune_leaves_nothing_behind(smoke_sweep: Path) -> None:
    folders = {path.name for path in smoke_sweep.iterdir()}
    assert folders == {
        *("spec.yaml", "manifest.json", "phase.json", "records.json", "records", "results", "report.html")
    }


@pytest.mark.parametrize("name", ["mlflow", "tensorboard", "wandb"])
def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, LOGGERS[name][2] or "", None)
    with pytest.raises(UserError, match=rf"loggers: '{name}' needs .* pip install 'flatleak\[{name}\]'"):
        make_loggers([name], "smoke")


def test_mlflow_gets_a_run_a_trial_with_its_name_and_figures(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    pytest.importorskip("sqlalchemy", reason="MLflow keeps runs in a local file through SQLAlchemy")
    uri = f"sqlite:///{tmp_path}/runs.db"
    done = flatleak("loggers=[mlflow]", folder=tmp_path, MLFLOW_TRACKING_URI=uri)
    assert done.returncode == 0, done.stderr
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("smoke")
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.run_name for run in runs} == NAMES
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert all(
        run.data.metrics["replicas"] == 2 and 0 < run.data.metrics["test_accuracy"] < 1 for run in runs
    )


def test_an_mlflow_server_that_is_away_is_one_line_without_its_password(tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    about = {"MLFLOW_TRACKING_URI": "http://me:hush-hush@127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    done = flatleak("loggers=[mlflow]", folder=tmp_path, **about)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: opening logger mlflow: MlflowException:")
    assert "Traceback" not in done.stderr
    assert "hush-hush" not in done.stderr
    assert not mentions("hush-hush", tmp_path)
