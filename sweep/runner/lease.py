"""One driver a sweep directory: a lease file that its holder keeps fresh, and that outlives nobody.

The lease is ``driver.json``: who drives (host, process, job), since when, its last sign of life, and the
figures that ``flatleak status`` shows from any terminal. On a disk the hand-over is exclusive. Object stores
have no exclusive create here: the last of two simultaneous starters wins, the other stops at its next beat.
Whether a driver on another host lives is seen by watching its lease change, or, for a look, from the time
that the storage put on it: clocks of two hosts may differ.
Either way no record can be corrupted: records are content-addressed and appear whole.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any

from trainables.directory import DRIVER
from trainables.errors import UserError
from trainables.storage import Store

BEAT = 5.0
STALE = 60.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Driver:
    """Who drives a sweep. ``started`` and ``beat`` are seconds since the epoch on the driver's clock."""

    token: str
    host: str
    pid: int
    born: str
    started: float
    beat: float
    stale: float = STALE
    job: str | None = None
    figures: dict[str, Any] = field(default_factory=dict)

    @staticmethod
    def here(stale: float) -> Driver:
        """Describe this process as a driver whose lease is stale after so many seconds."""
        now = time.time()
        job = os.environ.get("RAY_JOB_SUBMISSION_ID")
        return Driver(
            uuid.uuid4().hex, socket.gethostname(), os.getpid(), _born(os.getpid()), now, now, stale, job
        )

    @property
    def near(self) -> bool:
        """Whether it was started on this host, since its last boot: whether it runs can then be seen."""
        return self.host == socket.gethostname() and self.born.startswith(_boot())

    def alive(self, store: Store) -> bool:
        """Return whether the driver still runs.

        Near, that very process is looked for. Elsewhere, ``store`` must have got the lease lately by its own
        clock: those of the driver's host and of this one may both be wrong.
        """
        if self.near:
            return _born(self.pid) == self.born
        with suppress(FileNotFoundError):
            return time.time() + _ahead(store) - store.modified(DRIVER) < self.stale
        return False

    def __str__(self) -> str:
        where = f"process {self.pid} on {self.host}" + (f" (job {self.job})" if self.job else "")
        return f"{where}, running for {age(self.beat - self.started)}"


class Lease:
    """A held lease. ``publish`` replaces the figures that go out with the next beat."""

    def __init__(self, store: Store, driver: Driver, beat: float) -> None:
        self._store, self._driver, self._beat = store, driver, beat
        self._figures: dict[str, Any] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="flatleak-lease", daemon=True)

    def publish(self, figures: dict[str, Any]) -> None:
        """Replace the figures that go out with the next beat."""
        self._figures = figures

    def _keep(self) -> None:
        refused = False
        while not self._stop.wait(self._beat):
            try:
                now = driver(self._store)
                if now is not None and now.token != self._driver.token:
                    log.error("%s is now driven by %s; this run stops", self._store, now)
                    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN  # as in a shell's `... &`
                    os.kill(os.getpid(), signal.SIGTERM if ignored else signal.SIGINT)
                    return
                self._write()
                refused = False
            except OSError as error:  # storage that refuses briefly must not end a sweep
                if not refused:  # once is enough
                    log.warning("%s/%s: %s", self._store, DRIVER, " ".join(str(error).split()))
                refused = True

    def _write(self) -> None:
        content = {**asdict(self._driver), "beat": time.time(), "figures": self._figures}
        self._store.write(DRIVER, json.dumps(content).encode())

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.release()

    def release(self) -> None:
        """Take the lease away, where it is still the own one."""
        with suppress(OSError):
            now = driver(self._store)
            if now is not None and now.token == self._driver.token:
                self._store.delete(DRIVER)


def hold(store: Store, *, beat: float = BEAT, stale: float = STALE) -> Lease:
    """Take the lease of a sweep directory; use as a context manager.

    A lease whose driver died is taken over: at once where that can be seen (same host), else when it has not
    changed for its ``stale`` seconds on the clock here.

    Raises:
        UserError: another driver is alive.
    """
    mine = Driver.here(stale)
    lease = Lease(store, mine, beat)
    silent = _silent(store)
    with _exclusive(store):
        other = driver(store)
        if other is not None and (other.alive(store) if other.near else other != silent):
            raise UserError(
                f"sweep {store} is already driven by {other}; watch it with `flatleak status {store}`, "
                "or stop that process first"
            )
        lease._write()
    return lease


def _silent(store: Store) -> Driver | None:
    """Return the lease of a driver elsewhere that stayed as it is until it is stale; else None."""
    first = driver(store)
    if first is None or first.near:
        return None
    log.warning("%s was driven by %s; watching up to %.0f s whether it still is", store, first, first.stale)
    end = time.monotonic() + first.stale
    while time.monotonic() < end:
        time.sleep(min(1.0, first.stale / 10))
        if driver(store) != first:
            return None
    return first


def driver(store: Store) -> Driver | None:
    """Return the driver that the lease names, alive or not; None without a lease."""
    try:
        return Driver(**json.loads(store.read(DRIVER)))
    except (FileNotFoundError, ValueError, TypeError):
        return None


@lru_cache(maxsize=16)
def _ahead(store: Store) -> float:
    """Seconds that the storage's clock is ahead of the one here; 0 where this process may only read."""
    try:
        return store.clock() - time.time()
    except OSError:
        return 0.0


@contextmanager
def _exclusive(store: Store) -> Iterator[None]:
    """On a disk, one process at a time between look and write; the kernel frees it when its holder dies."""
    if store.local is None:
        yield
        return
    store.local.mkdir(parents=True, exist_ok=True)
    handle = os.open(store.local, os.O_RDONLY)
    try:
        with suppress(OSError):  # NFS mounts without locks: as on an object store
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _boot() -> str:
    """Identify this start of this machine; empty where the system does not say (macOS)."""
    with suppress(OSError), open("/proc/sys/kernel/random/boot_id") as boot:
        return boot.read().strip()
    return ""


def _born(pid: int) -> str:
    """Return what tells a running process from a later one with the same number; empty where none runs."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            state, *rest = stat.read().rpartition(")")[2].split()
        return "" if state in "ZX" else f"{_boot()} {rest[18]}"
    except OSError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return str(pid)


def age(seconds: float) -> str:
    """Return a time span for people, as ``"2 h 5 min"``, from seconds."""
    minutes, s = divmod(int(max(seconds, 0)), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours} h {m} min" if hours else f"{m} min {s} s" if m else f"{s} s"
