"""A whole sweep on a real S3 server: records, results, report, status, resuming, a refusal, no secrets."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from sweep import SweepSpec, run
from sweep.watch.status import status
from tests.helpers.servers import S3, aws_environment, environment, refusing, wait_for
from trainables.records import Address
from trainables.storage import Store

SPEC = {
    "name": "far",
    "dataset": {"name": "digits", "train_size": 200, "test_size": 100},
    "model": {"name": "mlp", "hidden": [16]},
    "subsets": {"scheme": "half", "seeds": 8},
    "training": {"epochs": 4, "batch_size": 32},
    "grid": [{"optimizer": "sgd"}, {"optimizer": "sam", "rho": 0.1}],
    "block": 4,
    "stack": 4,
    "audit": {"resamples": 50},
}


TOKEN = "t0ken-that-must-appear-nowhere"
KINDS = ("actors", "tasks", "workers", "nodes", "jobs", "runtime_envs")
PAGES = (*(f"api/v0/{kind}?detail=1" for kind in KINDS), "logical/actors", "nodes?view=summary", "api/jobs/")
SECRET = re.compile(rb"must-appear-nowhere|AKIATEST")


def flatleak(*arguments: str, endpoint: str, temp: Path) -> bytes:
    """Runs the command on a Ray of its own below ``temp``.

    Returns:
        What it printed, and what Ray's dashboard said meanwhile.
    """
    env = environment(
        **aws_environment(endpoint),
        AWS_SESSION_TOKEN="session-that-must-appear-nowhere",
        AWS_SECURITY_TOKEN="its-old-name-that-must-appear-nowhere",
        RAY_AUTH_TOKEN=TOKEN,
        RAY_TMPDIR=str(temp),
    )
    command, log, said = [sys.executable, "-m", "sweep.cli", *arguments], temp / "log", set()
    with open(log, "wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=env)
        try:
            while process.poll() is None:
                time.sleep(0.5)
                if url := re.search(r"dashboard: (\S+)", log.read_text()):
                    for page in PAGES:
                        with suppress(OSError):  # it ends with the command
                            said.add(wait_for(f"{url[1]}/{page}", 0, TOKEN))
        finally:
            process.kill()
    assert process.wait() == 0, log.read_text()
    return log.read_bytes() + b"".join(said)


@pytest.fixture
def temp() -> Iterator[Path]:
    """A folder with a short name: Unix sockets below it have a limit of 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="s3") as folder:
        yield Path(folder)


@pytest.mark.usefixtures("ray_session")
def test_a_sweep_on_s3_equals_one_on_disk(s3: S3, tmp_path: Path, temp: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(json.dumps(SPEC))
    with refusing(s3.endpoint, 5) as hesitant:
        said = flatleak("run", str(spec), "--out", s3.uri("runs/far"), endpoint=hesitant, temp=temp)
    assert re.search(rb'"repr_name": "flatleak far: first (sgd|sam rho=0.1) seeds [04]-[37]"', said)
    assert re.search(rb'"name": "(sgd|sam rho=0.1) seeds [04]-[37]"', said)
    assert not SECRET.search(said)
    logs = [path for path in temp.rglob("*") if path.is_file()]
    assert any(path.name == "runtime_env_agent.log" for path in logs)
    assert [path for path in logs if SECRET.search(path.read_bytes())] == []
    run(SweepSpec.of(SPEC), tmp_path / "near", analyse=False)
    far, near = Store.at(s3.uri("runs/far")), Store.at(tmp_path / "near")
    assert [entry.path for entry in far.list("records")] == [entry.path for entry in near.list("records")]
    for entry in near.list("records"):
        with np.load(near.open(entry.path)) as one, np.load(far.open(entry.path)) as other:
            assert [f for f in one.files if f != "seconds" and one[f].tobytes() != other[f].tobytes()] == []
    assert far.read("report.html").startswith(b"<!")
    assert far.exists("results/recipes.parquet")

    again = run(SweepSpec.of(SPEC), far, analyse=False)
    assert (again.trained.present, again.trained.trained) == (16, 0)
    now = status(far)
    assert (now.done, now.total, now.driver) == (16, 16, None)

    assert [entry.path for entry in far.list() if SECRET.search(far.read(entry.path))] == []


def test_a_storage_that_stays_away_ends_the_run_in_one_line_and_loses_nothing(s3: S3, tmp_path: Path) -> None:
    changes = {"model": "drive:impatient", "subsets": {"seeds": 24}, "training": {"epochs": 200}}
    (tmp_path / "spec.json").write_text(json.dumps({**SPEC, **changes}))
    store, shut = Store.at(s3.uri("away")), threading.Event()
    command = [sys.executable, "-m", "sweep.cli", "run", str(tmp_path / "spec.json"), "--out", str(store)]
    paths = os.pathsep.join([str(Path(__file__).parents[1] / "helpers"), str(Path(__file__).parents[2])])

    def records() -> dict[str, float]:
        return {entry.path: store.modified(entry.path) for entry in store.list("records")}

    with refusing(s3.endpoint, shut=shut) as endpoint:
        about = {"text": True, "env": environment(**aws_environment(endpoint), PYTHONPATH=paths)}
        driver = subprocess.Popen(command, stderr=subprocess.PIPE, **about)
        try:
            while len(records()) < 2 and driver.poll() is None:
                time.sleep(0.05)
            shut.set()
            errors = driver.communicate(timeout=250)[1]
        finally:
            driver.kill()
        assert driver.returncode == 1, errors
        assert "Traceback" not in errors
        assert errors.splitlines()[-1].startswith(f"stopped: {store} takes no files (")
        before = records()
        assert 2 <= len(before) < 12
        shut.clear()
        again = subprocess.run([*command, "--json"], capture_output=True, timeout=250, check=False, **about)
    outcome = json.loads(again.stdout)
    there = sum(len(Address.parse(path).seeds) for path in before)
    assert (outcome["exit_code"], outcome["present"], outcome["trained"]) == (0, there, 48 - there)
    assert before.items() <= records().items()
