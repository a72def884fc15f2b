"""What a run measures before it trains, what the next one reuses, and what it tells."""

from __future__ import annotations

import json
import os
import time
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest

from sweep import SweepSpec, cluster, run
from sweep.cluster import Cluster
from sweep.runner import timing
from sweep.runner.timing import Speed, Workload
from sweep.runner.trainer import Trainer
from tests.helpers.nodes import nodes
from trainables import Recipe
from trainables.data.dataset import load_dataset
from trainables.engine.calibration import Calibration
from trainables.engine.runtime import Runtime
from trainables.records import Context

CONTEXT = Context(dataset={"name": "digits"}, fingerprint="", model={"name": "mlp"})


def workload(spec: SweepSpec, **runtime: Any) -> Workload:
    return Workload(spec.recipes[0], CONTEXT, None, Runtime(**runtime), 16)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Workload, Any]]:
    """What was timed; a stack of 4, 1 s a replica, on a GPU called G."""
    times: list[tuple[Workload, Any]] = []

    def timed(work: Workload, demand: Any, *_: Any) -> tuple[Calibration, dict[str, Any]]:
        times.append((work, demand))
        return Calibration(4, 1.0, "default"), {"gpu": "G"}

    monkeypatch.setattr(timing, "time_trial", timed)
    monkeypatch.setattr(cluster, "_alive", lambda: nodes({"CPU": 2.0}, {"CPU": 8.0}))
    return times


@pytest.mark.parametrize(
    ("runtime", "remembered", "block", "expected", "times"),
    [
        ({}, Speed(8, 0.5), 8, Speed(8, 0.5), 0),
        ({"device": "cuda"}, Speed(8, 0.5, "default"), "auto", Speed(8, 0.5, "default"), 0),
        ({"device": "cuda", "stack": 8}, None, 8, Speed(4, 1 / 8, "default", {"gpu": "G"}), 1),  # may compile
        ({"device": "cuda", "stack": 8, "compile": None}, None, 8, Speed(8), 0),
        ({"stack": 8}, None, 8, Speed(8), 0),  # blocks are given, so seconds are not needed
        ({"stack": 8}, None, "auto", Speed(4, 1 / 8, "default", {"gpu": "G"}), 1),
        ({}, Speed(8), "auto", Speed(4, 1 / 8, "default", {"gpu": "G"}), 1),  # seconds were not measured
    ],
)
def test_what_one_run_measured_the_next_reuses(
    asked: list[Any],
    runtime: dict[str, Any],
    remembered: Speed | None,
    block: Any,
    expected: Speed,
    times: int,
) -> None:
    spec = SweepSpec.load("smoke", [f"block={block}"])
    said: list[str] = []
    work = workload(spec, **runtime)
    found = timing.measure(spec, work, Cluster(None), remembered, lambda _: nullcontext(), said.append)
    assert (found, len(asked)) == (expected, times)
    if remembered and asked:
        assert asked[0][0].runtime.stack == remembered.stack, "it binds: bits depend on it"


def test_a_sweep_with_gpu_auto_gives_each_trial_a_whole_one_and_measures_once(
    ray_session: None,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    times: list[Workload] = []

    def timed(work: Workload, demand: Any, *_: Any) -> tuple[Calibration, dict[str, Any]]:
        times.append(work)
        assert demand == {"cpu": 1.0, "gpu": 1.0}
        return Calibration(4, 0.1), {"gpu": "made up", "driver": "1.2"}

    monkeypatch.setattr(Trainer, "_device", "cpu")
    monkeypatch.setattr(timing, "time_trial", timed)
    for seeds in (4, 6):
        settings = ["resources.gpu=auto", f"subsets.seeds={seeds}", "block=2"]
        assert run(SweepSpec.load("smoke", settings), tmp_path, address="auto", analyse=False).exit_code == 0
        manifest = json.loads((tmp_path / "manifest.json").read_text())
        assert manifest["stack"] == 4
        assert manifest["hardware"]["slots"] == 1
        assert (manifest["hardware"]["gpu"], manifest["hardware"]["driver"]) == ("made up", "1.2")
        assert manifest["replicas_per_hour"] > 0
    assert [work.replicas for work in times] == [9], "3 recipes of 4 seeds, in passes of the longest"


def test_timing_leaves_no_process_behind_that_would_keep_a_gpu(
    ray_session: None,  # noqa: ARG001
    tmp_path: Path,
) -> None:
    import ray

    data = ray.put(load_dataset({"name": "digits", "train_size": 160, "test_size": 50}))
    model = {"name": "tests.helpers.own_models:Noting", "file": str(tmp_path / "process")}
    context = Context(dataset={"name": "digits"}, fingerprint="", model=model)
    work = Workload(Recipe(epochs=2, batch_size=16), context, data, Runtime(stack=2), 2)
    found, device = timing.time_trial(work, {"cpu": 1, "gpu": 0.5}, Cluster(None))
    assert (found.stack, set(device)) == (2, {"trial_gib"})
    assert 0.05 < device["trial_gib"] < 8, "what a process with torch takes"
    process = int((tmp_path / "process").read_text())
    with suppress(ProcessLookupError):
        for _ in range(300):
            os.kill(process, 0)  # asks whether it lives
            time.sleep(0.1)
        pytest.fail("the process that timed lives on")
