"""Weights & Biases: a run a trial, and the key for nobody else."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.helpers.logged import NAMES, flatleak, mentions


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
