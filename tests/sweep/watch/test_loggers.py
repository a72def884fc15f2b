"""Tune's own loggers: off unless asked for, and said what they need."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sweep import SweepSpec, run
from sweep.watch.loggers import LOGGERS, make_loggers
from tests.helpers.servers import environment
from trainables.errors import UserError

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
    assert folders == {
        *("spec.yaml", "manifest.json", "phase.json", "records.json", "records", "results", "report.html")
    }


@pytest.mark.parametrize("name", ["mlflow", "tensorboard", "wandb"])
def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, LOGGERS[name][2] or "", None)
    with pytest.raises(UserError, match=rf"loggers: '{name}' needs .* pip install 'flatleak\[{name}\]'"):
        make_loggers([name], "smoke")


def flatleak(*arguments: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """A sweep of two recipes, in a process of its own."""
    grid, logs = "grid=[{optimizer: sgd}, {optimizer: sam, rho: 0.1, lr: 0.05}]", f"tune_dir={folder}/logs"
    changes = [part for setting in [grid, *SETTINGS[1:], logs, *arguments] for part in ("--set", setting)]
    command = [sys.executable, "-m", "sweep.cli", "run", "smoke", "--out", str(folder / "sweep"), *changes]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment(**variables))


def mentions(secret: str, *folders: Path) -> list[Path]:
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if secret.encode() in path.read_bytes()]


NAMES = {
    f"{label} seeds {seeds}" for label in ("sgd lr=0.1", "sam lr=0.05 rho=0.1") for seeds in ("0-1", "2-3")
}


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


def test_wandb_gets_a_run_a_trial_and_nobody_else_its_key(tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="the extra wandb is not installed")
    key = "hushhushhushhushhushhushhushhushhushhush"
    with tempfile.TemporaryDirectory(prefix="ray-") as ray:  # short, for sockets lie in it
        variables = {"WANDB_MODE": "offline", "WANDB_API_KEY": key, "WANDB_DIR": str(tmp_path)}
        done = flatleak("loggers=[wandb]", folder=tmp_path, RAY_TMPDIR=ray, **variables)
        assert done.returncode == 0, done.stderr
        assert list(Path(ray).rglob("runtime_env_agent.log"))
        assert not mentions(key, tmp_path, Path(ray))
    assert key not in done.stdout + done.stderr
    logs = [path.read_bytes() for path in tmp_path.glob("wandb/offline-run-*/*.wandb")]
    assert {name for name in NAMES for log in logs if name.encode() in log} == NAMES
    assert sum(b"test_accuracy" in log for log in logs) == len(NAMES)
