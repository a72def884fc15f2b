"""Shared by all tests: real data where it is at hand, one Ray, one finished sweep."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest_plugins = ["tests.helpers.chromium", "tests.helpers.servers"]

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# A suite started in a script's background ignores Ctrl+C, and so would every process that its tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _signals_as_they_were() -> Iterator[None]:
    """A command that a test runs in this process keeps SIGTERM from Ray; processes of later tests need it."""
    handler, mask = signal.getsignal(signal.SIGTERM), signal.pthread_sigmask(signal.SIG_BLOCK, [])
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets; tests that need it skip where it is absent."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the real data sets are not at {folder}")
    return folder


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """One local Ray with two cores, and a GPU that is made up, for the whole test session."""
    import ray

    from sweep.cluster import QUIET

    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    ray.init(address="local", num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def smoke_sweep(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001
    """A finished sweep of the shipped spec ``smoke``, audited and reported. Copy it before changing it."""
    from sweep import SweepSpec, run

    directory = tmp_path_factory.mktemp("sweep") / "smoke"
    assert run(SweepSpec.load("smoke"), directory).exit_code == 0
    return directory
