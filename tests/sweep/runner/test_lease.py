"""Two drivers on one sweep directory, on disk and on S3: one drives, the other is told who does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from sweep.runner import lease
from trainables.directory import DRIVER
from trainables.errors import UserError
from trainables.storage import Store


@pytest.fixture(params=["disk", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "disk":
        return Store.at(tmp_path / "sweep")
    return Store.at(request.getfixturevalue("s3").uri("sweep"))


def elsewhere(store: Store, **changes: object) -> lease.Driver:
    """A lease that a driver on another machine left."""
    other = replace(lease.Driver.here(60), host="elsewhere", pid=4711, **changes)
    store.write(DRIVER, json.dumps(asdict(other)).encode())
    return other


def test_the_second_driver_is_refused_and_told_who_drives(store: Store) -> None:
    with lease.hold(store):
        with pytest.raises(UserError) as refused, lease.hold(store):
            pass
        assert f"process {os.getpid()}" in str(refused.value)
        assert f"flatleak status {store}" in str(refused.value)
        assert "\n" not in str(refused.value)
    assert store.list() == []
    with lease.hold(store):
        assert lease.driver(store).alive(store)


@pytest.mark.parametrize("skew", [-86400.0, 0.0, 86400.0], ids=["behind", "equal", "ahead"])
def test_a_driver_elsewhere_lives_while_its_lease_changes_whatever_its_clock_says(
    store: Store, skew: float
) -> None:
    other, ended = elsewhere(store, beat=time.time() + skew), threading.Event()

    def beating() -> None:
        while not ended.wait(1.5):  # not faster: moto takes an object away before it puts the new one
            beat = {"beat": time.time() + skew}
            store.write(DRIVER, json.dumps(asdict(other) | beat).encode())

    with ThreadPoolExecutor(1) as pool:
        pool.submit(beating)
        try:
            with pytest.raises(UserError, match="process 4711 on elsewhere"):
                lease.hold(store)
        finally:
            ended.set()
    left = elsewhere(store, beat=time.time() + skew, stale=0.5)
    begun = time.monotonic()
    with lease.hold(store):
        assert time.monotonic() - begun >= left.stale
        assert lease.driver(store).pid == os.getpid()


@pytest.mark.parametrize("skew", [-86400.0, 0.0, 86400.0], ids=["behind", "equal", "ahead"])
@pytest.mark.parametrize("wrong", ["the driver's clock", "the clock here"])
def test_a_look_trusts_the_clock_of_the_storage_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch, skew: float, wrong: str
) -> None:
    lease._ahead.cache_clear()
    begun = time.time()
    if wrong == "the clock here":
        monkeypatch.setattr(time, "time", lambda real=time.time: real() + skew)
    else:
        begun += skew
    other = elsewhere(store, started=begun - 90, beat=begun, stale=3)
    assert other.alive(store)
    assert "running for 1 min 30 s" in str(other)
    time.sleep(4.5)  # S3 stamps whole seconds
    assert not other.alive(store)
    assert [entry.path for entry in store.list()] == [DRIVER]


def test_a_reader_who_may_not_write_trusts_its_own_clock(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease._ahead.cache_clear()
    other = elsewhere(store)

    def refuse(*_: object) -> None:
        raise PermissionError("read only")

    monkeypatch.setattr(Store, "write", refuse)
    assert other.alive(store)
    assert not replace(other, stale=-60).alive(store)


def test_a_lease_that_is_gone_is_of_nobody(store: Store) -> None:
    other = elsewhere(store)
    store.delete(DRIVER)
    assert not other.alive(store)


HOLDER = """
import sys, time
from sweep.runner import lease
from trainables.storage import Store
with lease.hold(Store.at(sys.argv[1]), beat=0.05):
    print("driving", flush=True)
    time.sleep(300)
"""


def driving(store: Store, *, background: bool = False) -> subprocess.Popen[str]:
    """A driver; in the background as a script starts one with ``&``, deaf to Ctrl+C."""
    hears = "SIG_IGN" if background else "default_int_handler"
    script = f"import signal\nsignal.signal(signal.SIGINT, signal.{hears})\n{HOLDER}"
    command = [sys.executable, "-c", script, str(store)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "driving\n"
    return process


def test_a_killed_driver_is_followed_at_once(store: Store) -> None:
    process = driving(store)
    with pytest.raises(UserError, match=f"process {process.pid} "):
        lease.hold(store)
    process.kill()
    process.wait()
    with lease.hold(store):
        assert lease.driver(store).pid == os.getpid()


def test_a_process_number_used_again_is_not_the_driver(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    mine = lease.Driver.here(60)
    born = mine.born.rpartition(" ")[0] + " 1"
    store.write(DRIVER, json.dumps(asdict(replace(mine, born=born))).encode())
    assert not lease.driver(store).alive(store)


@pytest.mark.parametrize("background", [False, True], ids=["foreground", "background"])
def test_a_driver_whose_lease_was_taken_stops_itself(store: Store, background: bool) -> None:
    process = driving(store, background=background)
    other = elsewhere(store)
    _, errors = process.communicate(timeout=120)
    if background:
        assert process.returncode == -signal.SIGTERM
    else:
        assert process.returncode == -signal.SIGINT or "KeyboardInterrupt" in errors
    assert "now driven by process 4711 on elsewhere" in errors
    assert lease.driver(store) == other


def test_many_at_once_on_a_disk_one_wins(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    elsewhere(store, stale=0.2)

    def start(_: int) -> lease.Lease | None:
        try:
            return lease.hold(store)
        except UserError:
            return None

    with ThreadPoolExecutor(16) as pool:
        held = [one for one in pool.map(start, range(16)) if one is not None]
    assert len(held) == 1


def test_figures_go_out_with_the_beat(store: Store) -> None:
    with lease.hold(store, beat=0.02) as held:
        held.publish({"replicas_done": 7})
        end, seen = time.monotonic() + 60, None
        while seen != {"replicas_done": 7} and time.monotonic() < end:
            now = lease.driver(store)  # moto takes an object away before it puts the new one
            seen = now and now.figures
        assert seen == {"replicas_done": 7}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid": 1}'])
def test_a_damaged_lease_is_no_lease(tmp_path: Path, content: bytes) -> None:
    Store.at(tmp_path).write(DRIVER, content)
    with lease.hold(Store.at(tmp_path)):
        assert lease.driver(Store.at(tmp_path)) is not None
