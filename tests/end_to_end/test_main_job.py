"""The main job on real data and a real Ray: trains what is missing and nothing else, and can be stopped."""

from __future__ import annotations

import io
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from analysis import load_sweep
from sweep import SweepSpec, run
from sweep.watch.status import status
from tests.helpers.servers import environment
from trainables.records import RecordFile
from trainables.storage import Store

pytestmark = pytest.mark.timeout(900)  # a hang is to be found, a slow machine is not


def records(directory: Path) -> dict[str, int]:
    """Every record and when it was written."""
    return {
        str(path.relative_to(directory)): path.stat().st_mtime_ns
        for path in sorted(directory.glob("records/*/*.npz"))
    }


@pytest.fixture
def sweep(smoke_sweep: Path, tmp_path: Path) -> Path:
    """A copy of the finished sweep, with the times of its files."""
    return shutil.copytree(smoke_sweep, tmp_path / "smoke")


def test_a_sweep_leaves_records_results_and_a_report(smoke_sweep: Path) -> None:
    table = pd.read_csv(smoke_sweep / "results" / "recipes.csv")
    assert table["label"].tolist() == ["sgd", "sam rho=0.1", "sam rho=0.1 noise=3"]
    assert (table["replicas"] == 16).all()
    assert table["test_accuracy"].between(0.3, 1).all()
    assert "<title>smoke" in (smoke_sweep / "report.html").read_text()
    manifest = json.loads((smoke_sweep / "manifest.json").read_text())
    assert list(manifest["recipes"]) == table["recipe_id"].tolist()
    assert manifest["reference"] == table["recipe_id"][0]
    assert SweepSpec.load(smoke_sweep / "spec.yaml") == SweepSpec.load("smoke")
    assert not list(smoke_sweep.glob("progress/**/*.npz"))
    for ensemble in load_sweep(smoke_sweep).values():
        np.testing.assert_array_equal(ensemble.members.sum(axis=0), 8)


def test_run_again_trains_nothing(sweep: Path) -> None:
    before = records(sweep)
    outcome = run(SweepSpec.load("smoke"), sweep)
    assert outcome.exit_code == 0
    assert (outcome.trained.trained, outcome.trained.present) == (0, 48)
    assert records(sweep) == before


def test_more_rho_and_more_seeds_train_only_that(sweep: Path) -> None:
    before = records(sweep)
    more = ["grid[1].rho=[0.1, 0.2]", "grid[1].noise=0", "subsets.seeds=20"]
    outcome = run(SweepSpec.load("smoke", more), sweep)
    after = records(sweep)
    assert outcome.trained.trained == 20 + 4 + 4
    assert {path: after[path] for path in before} == before
    table = pd.read_parquet(sweep / "results" / "recipes.parquet")
    assert table["label"].tolist() == ["sgd", "sam rho=0.1", "sam rho=0.2"]
    assert (table["replicas"] == 20).all()
    fewer = run(SweepSpec.load("smoke"), sweep)
    assert fewer.trained.trained == 0
    table = pd.read_parquet(sweep / "results" / "recipes.parquet")
    assert (table["replicas"] == 16).all()


def test_curvature_that_a_spec_asks_for_is_recorded_and_compared(sweep: Path) -> None:
    before = records(sweep)
    asked = ["curvature=2", "grid=[{optimizer: sgd}]", "subsets.seeds=4"]
    assert run(SweepSpec.load("smoke", asked), sweep).trained.trained == 4
    assert before.items() <= records(sweep).items()
    (ensemble,) = load_sweep(sweep).values()
    assert ensemble.signal("train", "curvature").shape == (4, 1, 300)
    table = pd.read_parquet(sweep / "results" / "correlations.parquet")
    assert "curvature_of_one_replica" in set(table["against"])


def test_other_data_or_model_address_other_records(sweep: Path) -> None:
    before = records(sweep)
    said = Console(file=io.StringIO(), width=400)
    other = SweepSpec.load("smoke", ["model.hidden=[16]", "grid=[{optimizer: sgd}]"])
    outcome = run(other, sweep, console=said)
    assert outcome.trained.trained == 16
    (line,) = (s for s in said.file.getvalue().splitlines() if "held another sweep" in s)
    assert "model.hidden [32], now [16]; its records stay, its manifest and report are replaced" in line
    assert {path: time for path, time in records(sweep).items() if path in before} == before
    assert pd.read_parquet(sweep / "results" / "recipes.parquet")["replicas"].tolist() == [16]


def test_replicas_do_not_depend_on_their_blocks(tmp_path: Path, ray_session: None) -> None:  # noqa: ARG001
    """Equal to the last bit with equal stacks; other stacks only round differently."""
    one, other, single = tmp_path / "one", tmp_path / "other", tmp_path / "single"
    for directory, block, stack in ((one, 8, 4), (other, 4, 4), (single, 16, 1)):
        settings = ["grid=[{optimizer: sgd, noise: 2}]", f"block={block}", f"stack={stack}"]
        assert run(SweepSpec.load("smoke", settings), directory, analyse=False).trained.trained == 16
    first, second, third = (next(iter(load_sweep(d).values())) for d in (one, other, single))
    np.testing.assert_array_equal(first.signal("train", "margin"), second.signal("train", "margin"))
    np.testing.assert_array_equal(first.members, third.members)
    np.testing.assert_allclose(first.signal("test", "margin"), third.signal("test", "margin"), atol=1e-3)


def interrupted(out: Path, settings: list[str], *, when: Callable[[str], bool]) -> str:
    """What a terminal showed of ``flatleak run smoke``, Ctrl+C being sent once ``when(shown)`` holds."""
    command = ["run", "smoke", "--out", str(out), *(word for s in settings for word in ("--set", s))]
    screen, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "sweep.cli", *command],
        stdout=terminal,
        stderr=terminal,
        env=environment(TERM="xterm", COLUMNS="400"),
        start_new_session=True,
    )
    os.close(terminal)
    shown, sent = "", False
    with suppress(OSError):  # the terminal's end
        while part := os.read(screen, 65536):
            shown += part.decode(errors="replace")
            if not sent and when(shown):
                os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all in the foreground
                sent = True
    os.close(screen)
    assert process.wait(300) == 130, shown
    assert sent
    assert f"flatleak run smoke --out {out}" in shown
    assert "Traceback" not in shown
    assert not (out / "driver.json").exists()
    assert status(Store.at(out)).phase.name == "stopped"
    return shown


def test_ctrl_c_keeps_what_is_trained_and_says_how_to_go_on(tmp_path: Path) -> None:
    settings = ["block=2", "stack=2", "subsets.seeds=200", "resources.cpu=0.5"]
    interrupted(tmp_path, settings, when=lambda _: bool(records(tmp_path)))
    kept = records(tmp_path)
    assert 0 < len(kept) < 300
    for path in kept:
        RecordFile(Store.at(tmp_path), path).check()


@pytest.mark.parametrize("phase", ["starting Ray", "timing a few steps", "auditing"])
def test_ctrl_c_is_heard_in_every_phase(tmp_path: Path, phase: str) -> None:
    settings = ["training.epochs=1", "audit.resamples=5000"]
    interrupted(tmp_path, settings, when=lambda shown: phase in shown)
    assert len(records(tmp_path)) == (6 if phase == "auditing" else 0)
    assert not (tmp_path / "report.html").exists()
