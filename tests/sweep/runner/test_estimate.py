"""What ``flatleak plan`` says of a sweep, against counting by hand; it writes nothing."""

from __future__ import annotations

import json
import shutil
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from analysis.attacks import lira
from sweep import SweepSpec, cluster
from sweep.commands import app
from sweep.runner import estimate as estimating
from sweep.runner.audit_time import AuditTime
from sweep.runner.estimate import SIMULATED, estimate, record_bytes
from sweep.runner.timing import Workload, passes
from tests.helpers.nodes import nodes
from tests.helpers.simulated_records import simulate
from trainables.engine.calibration import Calibration
from trainables.errors import UserError


def contents(directory: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in directory.rglob("*") if file.is_file()}


@pytest.fixture
def copied(smoke_sweep: Path, tmp_path: Path) -> Path:
    """A finished sweep of three recipes and 16 seeds."""
    return Path(shutil.copytree(smoke_sweep, tmp_path / "smoke"))


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[Workload]:
    """What was timed: 20 s a replica, four in a stack, on a cluster of two nodes with a GPU each."""
    times: list[Workload] = []

    def time_trial(work: Workload, *_: Any) -> tuple[Calibration, dict[str, Any]]:
        times.append(work)
        return Calibration(4, 20.0), {"gpu": "G", "trial_gib": 1.5}

    monkeypatch.setattr(estimating, "time_trial", time_trial)
    monkeypatch.setattr(estimating, "time_audits", lambda _: AuditTime(2.0, 1e-3))
    monkeypatch.setattr(cluster, "_alive", lambda: nodes(*2 * [{"CPU": 8.0, "GPU": 1.0}]))
    return times


@pytest.mark.parametrize(
    ("k", "queries", "canaries", "n"), [(1, 1, 0, 120), (16, 2, 10, 301), (4, 1, 0, 5000)]
)
def test_the_size_of_a_record_is_that_of_its_file(k: int, queries: int, canaries: int, n: int) -> None:
    size = len(simulate(range(k), n=n, queries=queries, canaries=canaries).to_bytes())
    assert record_bytes(k, n, 90, queries, canaries=canaries) == pytest.approx(size, rel=0.02, abs=3000)


def test_of_a_finished_sweep_nothing_is_missing(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def connected(_: Any) -> None:
        raise AssertionError("nothing is to be trained, so no cluster is needed")

    monkeypatch.setattr(estimating, "connected", connected)
    before = contents(copied)
    found = estimate(SweepSpec.load("smoke"), copied)
    assert contents(copied) == before
    assert (found.there, found.missing, found.hours, found.bytes_missing) == (48, 0, 0.0, 0)
    assert found.bytes_there == sum(file.stat().st_size for file in copied.glob("records/*/*.npz"))
    table = pd.read_parquet(copied / "results" / "recipes.parquet")
    widths = (table.lira_auc_high - table.lira_auc_low) / 2
    assert [p.replicas for p in found.precision] == [16, 32, 64, 128]
    for p in found.precision:
        assert p.auc == pytest.approx(float(widths.median()) * sqrt(16 / p.replicas))
        assert p.auc_from == "results"
        own = table["lira_tpr_at_0.1pct_low"].notna().any()
        assert (p.tpr_from, p.tpr_at_01pct == SIMULATED[p.replicas][1]) == (
            ("results", False) if own else ("simulation", True)
        )


def test_what_an_earlier_run_measured_is_not_measured_again(copied: Path, timed: list[Workload]) -> None:
    manifest = json.loads((copied / "manifest.json").read_text())
    manifest["seconds_per_pass"] = 2.5
    (copied / "manifest.json").write_text(json.dumps(manifest))
    before = contents(copied)
    spec = SweepSpec.load("smoke", ["subsets.seeds=20"])
    found = estimate(spec, copied, price=3)
    assert contents(copied) == before
    assert not timed
    assert (found.there, found.missing, found.slots) == (48, 12, 16)
    seconds = sum(4 * 2.5 * passes(recipe) for recipe in spec.recipes)
    assert found.hours == pytest.approx(seconds / 3600)
    assert found.money == pytest.approx(3 * seconds / 3600)
    assert found.unit == "core"
    longest = max(2.5 * passes(recipe) for recipe in spec.recipes)
    assert found.wall_seconds == pytest.approx(max(seconds / 16, longest))
    assert "earlier run" in found.measured
    one = found.bytes_there / 48
    assert 0.9 * 12 * one < found.bytes_missing < 2 * 12 * one


def test_a_new_sweep_is_timed_on_the_cluster(
    ray_session: None,  # noqa: ARG001
    timed: list[Workload],
    tmp_path: Path,
) -> None:
    spec = SweepSpec.load("smoke", ["resources.gpu=0.5", "block=4", "stack=4", "compile=none"])
    found = estimate(spec, tmp_path / "new", gpus=8, price=2)
    assert not (tmp_path / "new").exists()
    (work,) = timed
    total = sum(map(passes, spec.recipes))
    assert work.replicas == int(np.ceil(16 * total / max(map(passes, spec.recipes))))
    assert max(recipe.seconds or 0 for recipe in found.recipes) == pytest.approx(20)
    seconds = 16 * 20 * total / max(map(passes, spec.recipes))
    assert (found.slots, found.unit, found.measured) == (4, "GPU", "by a few steps timed now on G")
    assert found.wall_seconds == pytest.approx(seconds / 4)
    assert found.gpus_seconds == pytest.approx(seconds / 16)
    assert found.hours == pytest.approx(seconds / 2 / 3600)
    assert found.money == pytest.approx(seconds / 3600)
    assert {p.auc_from for p in found.precision} == {"simulation"}
    assert found.trial_bytes == 1.5 * 2**30
    examples = spec.dataset["train_size"]
    assert found.audit_seconds == pytest.approx(2 + 1e-3 * 16 * examples), "three recipes on 16 cores"


def test_a_few_steps_are_really_timed(ray_session: None, tmp_path: Path) -> None:  # noqa: ARG001
    result = CliRunner().invoke(app, ["plan", "smoke", "--out", str(tmp_path / "new"), "--json"])
    found = json.loads(result.stdout)
    assert (found["missing"], found["slots"]) == (48, 2)
    assert found["wall_seconds"] > 0
    assert found["measured"] == "by a few steps timed now"
    assert found["trial_bytes"] > 50 * 2**20
    assert found["audit_seconds"] > 0
    assert "timed now on this machine" in found["audit_measured"]
    assert not list(tmp_path.iterdir())


def test_where_no_trial_fits_seconds_are_unknown_and_the_rest_is_said(
    ray_session: None,  # noqa: ARG001
    timed: list[Workload],
    tmp_path: Path,
) -> None:
    result = CliRunner().invoke(
        app, ["plan", "smoke", "--out", str(tmp_path / "new"), "--set", "resources.cpu=512", "--price", "1"]
    )
    assert result.exit_code == 0
    assert not timed
    assert "unknown: no node has what a trial asks for (cpu 512)" in result.stdout
    assert "hours" not in result.stdout
    assert result.stdout.splitlines()[-1] == "0 replicas there, 48 missing; wall time: unknown"


@pytest.mark.parametrize(
    ("settings", "gpus", "said"),
    [([], 8, "ask for no GPU"), (["resources.gpu=2"], 1, "a trial asks for 2")],
)
def test_gpus_on_which_no_trial_fits_are_refused(
    settings: list[str], gpus: int, said: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=said):
        estimate(SweepSpec.load("smoke", settings), tmp_path, gpus=gpus)


def test_a_directory_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(UserError, match="is not a sweep directory"):
        estimate(SweepSpec.load("smoke"), tmp_path)


def test_a_search_is_not_counted_and_said(copied: Path) -> None:
    spec = SweepSpec.of(
        {
            **SweepSpec.load("smoke").model_dump(mode="json", exclude_defaults=True),
            "search": {"space": [{"optimizer": "sam", "rho": {"low": 0.1, "high": 0.2}}]},
        }
    )
    assert estimate(spec, copied).notes == ("what the search trains is not counted",)


def test_the_simulated_table_is_what_lira_gives() -> None:
    """A few of the simulations behind the table, with scikit-learn's AUC."""
    rng = np.random.default_rng(0)
    base, pull = rng.normal(size=1000), rng.exponential(0.5, size=1000)
    found = []
    for _ in range(40):
        half = rng.permuted(np.tile(np.arange(1000) < 500, (8, 1)), axis=1)
        members = np.stack([half, ~half], axis=1).reshape(16, 1000)
        scores = lira(base + pull * members + rng.normal(size=(16, 1000)), members, variance="auto")
        found.append(roc_auc_score(members.ravel(), scores.ravel()))
    assert 1.96 * np.std(found, ddof=1) == pytest.approx(SIMULATED[16][0], rel=0.4)
    for (n, (auc, tpr)), (more, (sharper, finer)) in zip(
        list(SIMULATED.items())[:-1], list(SIMULATED.items())[1:], strict=True
    ):
        assert more == 2 * n
        assert sharper < auc
        assert finer < tpr
