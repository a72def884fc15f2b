"""Processes, nodes, drivers and heads that die, full disks and truncated records: nothing finished is lost,
nothing finished is trained again, and the results equal those of an undisturbed sweep bit for bit.

``FLATLEAK_KILLS=20 pytest tests/end_to_end/test_faults.py -k random`` runs the long campaign.
"""

from __future__ import annotations

import glob
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.audit.sweep_audit import audit_sweep
from analysis.ensemble import Ensemble
from sweep.watch.status import status
from tests.analysis.audit.test_artefacts import put
from tests.helpers.servers import environment
from trainables.storage import Store

pytestmark = pytest.mark.timeout(1800)  # a hang is to be found, a slow machine is not
PATIENCE = 600.0  # seconds for one driver, which takes about 20 on two quiet cores
KILLS = int(os.environ.get("FLATLEAK_KILLS", "4"))
SPEC: dict[str, Any] = {
    "name": "faults",
    "dataset": {"name": "digits", "train_size": 300, "test_size": 100},
    "model": {"name": "mlp", "hidden": [16]},
    "subsets": {"scheme": "half", "seeds": 12},
    "training": {"epochs": 50, "batch_size": 16},
    "grid": [{"optimizer": "sgd"}, {"optimizer": "sam", "rho": 0.1}],
    "resources": {"cpu": 1, "gpu": 0.5},
    "block": 2,
    "stack": 2,
    "progress_minutes": 0.005,
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two worker nodes with a made-up GPU each, and a head that trains nothing."""
    made = _cluster()
    yield made
    made.shutdown()


def _cluster() -> Any:
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        _add_worker(made)
    return made


def _add_worker(cluster: Any) -> Any:
    return cluster.add_node(num_cpus=1, num_gpus=1, object_store_memory=100 * 2**20)


def wait_until(happens: Callable[[], bool], seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


@dataclass
class Driver:
    """A run in a process of its own, and what its records were when they were first seen."""

    process: subprocess.Popen[str]
    directory: Path

    def records(self) -> dict[str, tuple[int, int]]:
        found = {}
        for path in self.directory.glob("records/*/*.npz"):
            about = path.stat()
            found[str(path.relative_to(self.directory))] = (about.st_ino, about.st_mtime_ns)
        return found

    def wait_for(self, happens: Callable[[], bool]) -> None:
        def goes_on() -> bool:
            assert self.process.poll() is None or happens(), self.process.communicate()
            return happens()

        wait_until(goes_on)

    def finish(self, seconds: float = PATIENCE) -> tuple[int, dict[str, Any]]:
        """Exit code and outcome; an outcome is all that standard output holds, whatever Ray had to say."""
        out, errors = self.process.communicate(timeout=seconds)
        assert out or self.process.returncode, errors
        return self.process.returncode, json.loads(out) if out else {"errors": errors}


@pytest.fixture
def drive(cluster: Any, tmp_path: Path) -> Iterator[Callable[..., Driver]]:
    started = []

    def start(
        directory: Path = tmp_path / "sweep", *, on: Any = None, deaths: int = 10, **changes: Any
    ) -> Driver:
        spec = tmp_path / "spec.json"
        spec.write_text(json.dumps({**SPEC, **changes}))
        command = [
            sys.executable,
            str(Path(__file__).parents[1] / "helpers" / "drive.py"),
            str(spec),
            str(directory),
        ]
        process = subprocess.Popen(
            [*command, (on or cluster).address],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(RAY_gcs_rpc_server_reconnect_timeout_s="10", FLATLEAK_DEATHS=str(deaths)),
        )
        started.append(process)
        return Driver(process, directory)

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.fixture(scope="module")
def undisturbed(cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same sweep with nothing going wrong."""
    directory = tmp_path_factory.mktemp("undisturbed")
    (directory / "spec.json").write_text(json.dumps(SPEC))
    script = str(Path(__file__).parents[1] / "helpers" / "drive.py")
    command = [
        sys.executable,
        script,
        str(directory / "spec.json"),
        str(directory / "sweep"),
        cluster.address,
    ]
    subprocess.run(command, check=True, timeout=PATIENCE, env=environment())
    return directory / "sweep"


def assert_equal(left: Path, right: Path) -> None:
    """The same records with the same bits, the time that training took aside."""
    names = {str(path.relative_to(left)) for path in left.glob("records/*/*.npz")}
    assert names == {str(path.relative_to(right)) for path in right.glob("records/*/*.npz")}
    for name in names:
        with np.load(left / name) as one, np.load(right / name) as other:
            assert set(one.files) == set(other.files)
            different = [f for f in one.files if f != "seconds" and one[f].tobytes() != other[f].tobytes()]
        assert different == [], name


def trial_processes(cluster: Any) -> list[int]:
    """Processes of this cluster, and of no other on this machine, that train a block now."""
    return [pid for node in cluster.worker_nodes for pid in trials_of(node)]


def trials_of(node: Any) -> list[int]:
    """The same on one node."""
    raylet = node.all_processes["raylet"][0].process.pid
    children = [int(pid) for pid in _read(f"/proc/{raylet}/task/{raylet}/children").split()]
    return [pid for pid in children if " seeds " in _read(f"/proc/{pid}/cmdline")]


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def test_random_kills_of_trial_processes(cluster: Any, drive: Any, undisturbed: Path) -> None:
    driver, chance, killed = drive(), random.Random(0), 0
    seen: dict[str, tuple[int, int]] = {}
    while driver.process.poll() is None:
        for path, about in driver.records().items():
            assert seen.setdefault(path, about) == about, "a finished record was written again"
        training = trial_processes(cluster)
        if training and killed < KILLS * min(1, (len(seen) + 2) / 12):  # spread over the sweep
            time.sleep(chance.uniform(0, 0.5))
            victim = chance.choice(training)
            if victim in trial_processes(cluster):
                os.kill(victim, signal.SIGKILL)
                killed += 1
        time.sleep(0.05)
    code, outcome = driver.finish()
    assert (code, outcome["trained"], outcome["failed"]) == (0, 24, [])
    assert killed == KILLS
    assert driver.records() == seen
    assert_equal(driver.directory, undisturbed)
    assert not list(driver.directory.glob("failures/*/*.json"))


def test_a_node_crashes_mid_trial(cluster: Any, drive: Any, undisturbed: Path) -> None:
    driver = drive()
    driver.wait_for(lambda: len(driver.records()) >= 2 and bool(trial_processes(cluster)))
    before = driver.records()
    lost = min(cluster.worker_nodes, key=id)
    cluster.remove_node(lost, allow_graceful=False)
    _add_worker(cluster)
    code, outcome = driver.finish()
    assert (code, outcome["trained"], outcome["failed"]) == (0, 24, [])
    assert set(outcome["died_on"]) <= {lost.node_id}
    assert before.items() <= driver.records().items()
    assert_equal(driver.directory, undisturbed)
    assert not list(driver.directory.glob("failures/*/*.json"))


def test_a_spot_warning_has_the_trials_of_its_node_save_their_progress(cluster: Any, drive: Any) -> None:
    endless = {**SPEC["training"], "epochs": 1_000_000}
    changes = {"grid": SPEC["grid"][:1], "subsets": {**SPEC["subsets"], "seeds": 2}, "progress_minutes": 600}
    driver = drive(training=endless, **changes)
    driver.wait_for(lambda: bool(trial_processes(cluster)))
    assert not list(driver.directory.glob("progress/*/*"))
    (node,) = [node for node in cluster.worker_nodes if set(trials_of(node)) & set(trial_processes(cluster))]
    reason = ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "spot"]
    drain = [sys.executable, "-m", "ray.scripts.scripts", "drain-node", "--address", cluster.address]
    deadline = ["--node-id", node.node_id, "--deadline-remaining-seconds", "600"]
    subprocess.run([*drain, *reason, *deadline], check=True, timeout=60, env=environment())
    driver.wait_for(lambda: bool(list(driver.directory.glob("progress/*/*.npz"))))
    driver.process.send_signal(signal.SIGTERM)
    assert driver.finish()[0] == 143
    cluster.remove_node(node)
    _add_worker(cluster)


def held(signals: Ensemble, members: np.ndarray) -> np.ndarray:
    """An attack that notes its node, and waits as long as there is a file ``hold``."""
    import ray

    beside = Path(signals.blocks[0].source.store.uri)  # type: ignore[attr-defined]
    node = ray.get_runtime_context().get_node_id() if ray.is_initialized() else "none"
    (beside / f"on-{node}-{time.time_ns()}").touch()
    while (beside / "hold").exists():
        time.sleep(0.05)
    return signals.signal("train", "margin")[:, 0] + 0 * members


AUDIT = """
import sys
from rich.console import Console
from analysis.audit.sweep_audit import audit_sweep
from sweep.runner.audits import auditing
from trainables.storage import Store
store = Store.at(sys.argv[1])
with auditing(store, sys.argv[2], Console(stderr=True)) as execute:
    audit_sweep(store, execute=execute)
"""


def test_a_node_crashes_mid_audit(cluster: Any, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for directory in (here, there):
        put(Store.at(directory), 3, audit={"attacks": ["lira", f"{__name__}:held"], "resamples": 50})
    (there / "hold").touch()

    def nodes() -> list[str]:
        return [path.name.split("-")[1] for path in there.glob("on-*")]

    command = [sys.executable, "-c", AUDIT, str(there), cluster.address]
    root = Path(__file__).parents[2]
    driver = Driver(
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=root, env=environment()), there
    )
    try:
        driver.wait_for(lambda: len(set(nodes())) == 2)  # a task on each
        lost = min(cluster.worker_nodes, key=id)
        cluster.remove_node(lost, allow_graceful=False)
        _add_worker(cluster)
        (there / "hold").unlink()
        _, errors = driver.process.communicate(timeout=PATIENCE)
    finally:
        driver.process.kill()
    assert driver.process.returncode == 0, errors
    assert "Traceback" not in errors
    assert lost.node_id in nodes()
    assert len(nodes()) == 4  # three recipes, one of them twice
    audit_sweep(here)
    for path in (here / "results").rglob("*.parquet"):
        assert (there / path.relative_to(here)).read_bytes() == path.read_bytes(), path


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["kill -9", "SIGTERM"])
def test_the_driver_dies_and_runs_again(
    cluster: Any, drive: Any, undisturbed: Path, how: signal.Signals
) -> None:
    driver = drive()
    driver.wait_for(lambda: len(driver.records()) >= 2)
    driver.process.send_signal(how)
    code, _ = driver.finish()
    assert code == (143 if how == signal.SIGTERM else -signal.SIGKILL)
    wait_until(lambda: not trial_processes(cluster))  # they may finish a record before Ray ends them
    before = driver.records()
    assert len(before) < 12
    again = drive()
    code, outcome = again.finish()
    assert (code, outcome["present"], outcome["trained"]) == (0, 2 * len(before), 24 - 2 * len(before))
    assert before.items() <= again.records().items()
    assert_equal(again.directory, undisturbed)


def test_the_head_is_lost_and_another_cluster_goes_on(drive: Any, undisturbed: Path) -> None:
    doomed = _cluster()
    try:
        driver = drive(on=doomed)
        driver.wait_for(lambda: len(driver.records()) >= 2)
        doomed.head_node.kill_all_processes(check_alive=False, allow_graceful=False)
        code, outcome = driver.finish()
        assert code == 1
        (line,) = [line for line in outcome["errors"].splitlines() if line.startswith("stopped:")]
        assert "the Ray cluster is lost" in line
        assert str(driver.directory) in line
        assert "Traceback" not in outcome["errors"]
    finally:
        doomed.shutdown()
    before = driver.records()
    again = drive()
    code, outcome = again.finish()
    assert (code, outcome["present"]) == (0, 2 * len(before))
    assert before.items() <= again.records().items()
    assert_equal(again.directory, undisturbed)


def test_two_drivers_at_once(drive: Any) -> None:
    driver = drive()
    driver.wait_for(lambda: (driver.directory / "driver.json").exists())
    second = drive()
    code, outcome = second.finish()
    assert code != 0
    assert f"already driven by process {driver.process.pid}" in outcome["errors"]
    driver.process.kill()


def test_truncated_records_are_named_set_aside_and_trained_again(
    drive: Any, undisturbed: Path, tmp_path: Path
) -> None:
    shutil.copytree(undisturbed, tmp_path / "sweep")
    broken = sorted((tmp_path / "sweep").glob("records/*/*.npz"))[3]
    content = broken.read_bytes()
    broken.write_bytes(content[: len(content) // 2])
    driver = drive()
    before = driver.records()
    code, outcome = driver.finish()
    assert (code, outcome["trained"]) == (0, 2)
    assert [str(broken.relative_to(tmp_path / "sweep")) in line for line in outcome["set_aside"]] == [True]
    kept = {path: about for path, about in before.items() if not path.endswith(broken.name)}
    assert kept.items() <= driver.records().items()
    assert_equal(driver.directory, undisturbed)


def test_a_trial_that_fails_by_itself_is_given_up_and_the_rest_goes_on(drive: Any, tmp_path: Path) -> None:
    driver = drive(model="drive:explosive", block=12, stack=12, training={"epochs": 2})
    code, outcome = driver.finish()
    assert (code, outcome["trained"], len(outcome["failed"])) == (1, 12, 1)
    now = status(Store.at(tmp_path / "sweep"))
    assert [(r.done, r.failed, r.missing) for r in now.recipes] == [(12, 0, 0), (0, 12, 0)]
    (failure,) = now.failures
    assert failure.attempts == 3
    assert failure.block == "sam rho=0.1 seeds 0-11"
    assert "the fuse was lit" in failure.error
    about = json.loads((tmp_path / "sweep" / failure.file).read_text())
    assert "in explosive" in about["traceback"]
    log, _, host = failure.log.partition(" on ")
    assert host == socket.gethostname()
    assert glob.glob(log)


def test_a_trial_whose_processes_keep_dying_is_given_up_too(drive: Any, tmp_path: Path) -> None:
    driver = drive(model="drive:deadly", block=12, stack=12, training={"epochs": 2}, deaths=2)
    code, outcome = driver.finish()
    assert (code, outcome["trained"], len(outcome["failed"])) == (1, 12, 1)
    (failure,) = status(Store.at(tmp_path / "sweep")).failures
    assert failure.block == "sam rho=0.1 seeds 0-11"
    assert "worker process has died" in failure.error


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 220 KB."""
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=220k", "flatleak-test", str(small)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    yield small
    subprocess.run(["umount", "--lazy", str(small)], check=False)


def remount(disk: Path, options: str) -> bool:
    """Whether it could be: it cannot become read-only while a file is being written."""
    command = ["mount", "-o", f"remount,{options}", str(disk)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_a_full_disk_stops_the_sweep_and_room_lets_it_finish(
    drive: Any, undisturbed: Path, small_disk: Path
) -> None:
    driver = drive(small_disk / "sweep")
    code, outcome = driver.finish()
    assert code == 1
    assert "No space left" in outcome["fatal"]
    before = driver.records()
    assert remount(small_disk, "size=20m")
    code, outcome = drive(small_disk / "sweep").finish()
    assert (code, outcome["present"]) == (0, 2 * len(before))
    assert before.items() <= driver.records().items()
    assert_equal(small_disk / "sweep", undisturbed)


def test_a_disk_that_becomes_read_only_stops_the_sweep_too(
    drive: Any, undisturbed: Path, small_disk: Path
) -> None:
    assert remount(small_disk, "size=20m")
    driver = drive(small_disk / "sweep")
    driver.wait_for(lambda: len(driver.records()) >= 2)
    wait_until(lambda: remount(small_disk, "ro"))
    before = driver.records()
    code, outcome = driver.finish()
    assert code == 1
    assert outcome["fatal"].startswith(f"{small_disk / 'sweep'} takes no files (")
    assert "Read-only file system" in outcome["fatal"]
    assert "\n" not in outcome["fatal"]
    assert remount(small_disk, "rw")
    code, outcome = drive(small_disk / "sweep").finish()
    assert (code, outcome["present"]) == (0, 2 * len(before))
    assert before.items() <= driver.records().items()
    assert_equal(small_disk / "sweep", undisturbed)
