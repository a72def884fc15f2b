"""Audits as tasks of Ray give the tables of an audit in this process bit for bit, whatever dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from analysis.audit import artefacts
from analysis.audit.jobs import Job
from analysis.audit.sweep_audit import Results, audit_sweep
from analysis.ensemble import Ensemble, ensemble_of
from sweep.runner.audits import demand, on_cluster, shown
from sweep.runner.stages import named
from tests.analysis.audit.test_artefacts import put, tables
from tests.helpers.servers import environment
from tests.helpers.simulated_records import simulate
from trainables.errors import UserError
from trainables.records import RecordError
from trainables.storage import Store

ATTACKS = ["lira", "rmia", "confidence", "entropy", "loss"]
ROOT = Path(__file__).resolve().parents[3]


def deadly(signals: Ensemble, members: np.ndarray) -> np.ndarray:
    """An attack that ends the process of the first task which runs it beside a file ``armed``."""
    armed = _beside(signals) / "armed"
    if armed.exists():
        armed.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return signals.signal("train", "margin")[:, 0] + 0 * members


def patient(signals: Ensemble, members: np.ndarray) -> np.ndarray:
    """An attack that waits on one recipe as long as there is a file ``hold``."""
    while signals.label == "sam rho=0.2" and (_beside(signals) / "hold").exists():
        time.sleep(0.1)
    return signals.signal("train", "margin")[:, 0] + 0 * members


def wrong(_: Ensemble, __: np.ndarray) -> np.ndarray:
    """An attack that finds a record damaged."""
    raise RecordError("record x: field 'margin' holds NaN")


def _beside(signals: Ensemble) -> Path:
    return Path(signals.blocks[0].source.store.uri)  # type: ignore[attr-defined]


def same(one: Results, other: Results) -> None:
    for found, expected in zip(tables(one), tables(other), strict=True):
        pd.testing.assert_frame_equal(found, expected, check_exact=True)


def twins(folder: Path, recipes: int, **options: Any) -> tuple[Store, Store]:
    """The same sweep twice, with these options of its audit."""
    here, there = Store.at(folder / "here"), Store.at(folder / "there")
    for store in (here, there):
        put(store, recipes, **({"audit": options} if options else {}))
    return here, there


def test_tasks_give_the_tables_of_threads_and_keep_their_audits(
    ray_session: None,  # noqa: ARG001
    tmp_path: Path,
) -> None:
    here, there = twins(tmp_path, 3)
    out = StringIO()
    by_tasks = audit_sweep(there, execute=shown(on_cluster, Console(file=out, force_terminal=True)))
    same(by_tasks, audit_sweep(here))
    assert by_tasks.done == "audited 3 recipes (sgd, sam rho=0.1, sam rho=0.2), 0 were there"
    assert "3/3" in out.getvalue()
    published: list[dict] = []
    again = audit_sweep(there, execute=shown(on_cluster, Console(file=out), published.append))
    assert again.done == "audited 0 recipes, 3 were there"
    assert not published
    path = artefacts.path_of(next(iter(again.ensembles)))
    there.write(path, there.read(path)[:-100])
    mended = audit_sweep(there, execute=shown(on_cluster, Console(file=out), published.append))
    assert (len(mended.audited), len(mended.damaged)) == (1, 1)
    assert [(p["audited"], p["to_audit"]) for p in published] == [(0, 1), (1, 1)]
    same(mended, by_tasks)


def test_a_task_whose_process_is_killed_is_run_again(
    ray_session: None,  # noqa: ARG001
    tmp_path: Path,
) -> None:
    here, there = twins(tmp_path, 2, attacks=["confidence", f"{__name__}:deadly"], resamples=50)
    (tmp_path / "there" / "armed").touch()
    survived = audit_sweep(there, execute=on_cluster)
    assert not (tmp_path / "there" / "armed").exists()
    same(survived, audit_sweep(here))


def test_an_audit_whose_driver_is_killed_goes_on_where_it_was(
    ray_session: None,  # noqa: ARG001
    tmp_path: Path,
) -> None:
    import ray

    here, there = twins(tmp_path, 3, attacks=["confidence", f"{__name__}:patient"], resamples=50)
    hold = tmp_path / "there" / "hold"
    hold.touch()
    address = ray.get_runtime_context().gcs_address
    command = [sys.executable, "-m", "sweep.cli", "audit", there.uri, "--address", address]
    driver = subprocess.Popen(command, cwd=ROOT, env=environment(), stderr=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + 240
        while not there.list("results/audits"):
            assert driver.poll() is None, driver.communicate()
            assert time.monotonic() < end, "no audit was kept in time"
            time.sleep(0.1)
    finally:
        driver.kill()
        driver.communicate()
    hold.unlink()
    resumed = audit_sweep(there, execute=on_cluster)
    assert "sam rho=0.2" in resumed.audited
    assert len(resumed.audited) < 3
    same(resumed, audit_sweep(here))


def test_a_mistake_that_a_task_sees_is_one_line(
    ray_session: None,  # noqa: ARG001
    tmp_path: Path,
) -> None:
    store = Store.at(tmp_path)
    put(store, 2, audit={"attacks": [f"{__name__}:wrong"]})
    with pytest.raises(UserError) as refused, named(None, "auditing"):
        audit_sweep(store, execute=on_cluster)
    assert str(refused.value) == "record x: field 'margin' holds NaN"


@pytest.mark.parametrize(
    ("nodes", "jobs", "threads", "cores"),
    [
        ([{"CPU": 8, "memory": 64e9}], 2, 4, 4),
        ([{"CPU": 8, "memory": 64e9}], 20, 1, 1),
        ([{"CPU": 64, "memory": 64e9}] * 2, 1, 5, 5),
        ([{"memory": 99e9}, {"CPU": 0.5, "memory": 5e9}], 3, 1, 0.5),
    ],
)
def test_a_task_asks_for_its_share_of_the_cores(nodes: list, jobs: int, threads: int, cores: float) -> None:
    job = Job(ensemble_of(simulate(range(8))), {"attacks": ATTACKS}, Store("/nowhere"), "a", None)
    found, asked = demand(job, jobs, nodes)
    assert found == threads
    assert asked == {"num_cpus": cores, "memory": job.memory(threads)}


def test_a_task_asks_for_no_more_memory_than_there_is() -> None:
    job = Job(ensemble_of(simulate(range(8))), {"attacks": ATTACKS}, Store("/nowhere"), "a", None)
    small = (job.memory(2) + job.memory(3)) / 2
    assert demand(job, 1, [{"CPU": 8, "memory": small}]) == (2, {"num_cpus": 2, "memory": job.memory(2)})
    assert demand(job, 1, [{"CPU": 8, "memory": 10}])[1]["memory"] == 10
