"""A whole sweep on a real S3 server: records, results, report, status, resuming, a refusal, no secrets."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from servers import S3, aws_environment, environment, refusing

from sweep import SweepSpec, run
from sweep.status import status
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


def flatleak(*arguments: str, endpoint: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "sweep.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=250,
        env=environment(**aws_environment(endpoint), RAY_AUTH_TOKEN="t0ken-that-must-appear-nowhere"),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "must-appear-nowhere" not in done.stdout + done.stderr
    return done


@pytest.mark.usefixtures("ray_session")
def test_a_sweep_on_s3_equals_one_on_disk(s3: S3, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(json.dumps(SPEC))
    with refusing(s3.endpoint, 5) as hesitant:
        flatleak("run", str(spec), "--out", s3.uri("runs/far"), endpoint=hesitant)
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

    secret = re.compile(rb"must-appear-nowhere|AKIATEST")
    assert [entry.path for entry in far.list() if secret.search(far.read(entry.path))] == []
