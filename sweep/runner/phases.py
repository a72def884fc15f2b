"""Tells from outside what a run does: its phase is noted in the sweep directory until, and when, it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sweep.runner import lease, stopping
from sweep.runner.outcome import Trained
from trainables.directory import PHASE, REPORT
from trainables.errors import UserError, first_line
from trainables.phase import RUNNING, Phase, note_phase, read_phase, write_phase
from trainables.storage import Store


@contextmanager
def told(store: Store, address: str | None) -> Iterator[None]:
    """Note that a run starts and, where it ends by an exception, how.

    A user's mistake leaves the directory as it was: the phase of an earlier run comes back.

    Args:
        store: The sweep directory.
        address: The Ray cluster that the run was given, if any.
    """
    before = read_phase(store)
    write_phase(store, Phase(name="starting", address=address))
    try:
        yield
    except KeyboardInterrupt:
        note_stop(store)
        raise
    except UserError:
        with suppress(OSError):
            write_phase(store, before) if before else store.delete(PHASE)
        raise
    except Exception as error:
        note_phase(store, "failed", first_line(error))
        raise


def note_stop(store: Store) -> None:
    """Note that a signal ended the run, and what it did then.

    Args:
        store: The sweep directory.
    """
    now = read_phase(store)
    if now is not None and now.name in RUNNING:
        note_phase(store, "stopped", f"{stopping.signal_name()} while {now.name}")


def noting_audits(
    store: Store, publish: Callable[[dict[str, Any]], None]
) -> Callable[[dict[str, Any]], None]:
    """Note how many recipes are audited, beside what is published.

    Args:
        store: The sweep directory.
        publish: Gets the figures of the audit, ``audited`` and ``to_audit`` among them.

    Returns:
        What takes its place.
    """

    def tell(figures: dict[str, Any]) -> None:
        publish(figures)
        note_phase(store, "auditing", done=figures["audited"], total=figures["to_audit"])

    return tell


@contextmanager
def note_audit(store: Store) -> Iterator[None]:
    """Note that a sweep was audited by itself, or that a signal stopped the audit inside.

    A run that drives the sweep notes its own phases, and a directory that no run has left one in gets none.

    Args:
        store: The sweep directory.
    """

    def note(name: str, detail: str = "") -> None:
        driver = lease.driver(store)
        if read_phase(store) is not None and not (driver and driver.alive(store)):
            note_phase(store, name, detail)

    try:
        yield
    except KeyboardInterrupt:
        note("stopped", f"{stopping.signal_name()} while auditing")
        raise
    note("complete")


def conclude(store: Store, trained: Trained, *, audited: bool) -> None:
    """Note how a run ended that ran to its end.

    Args:
        store: The sweep directory.
        trained: What it trained.
        audited: Whether results and report were asked for and are there.
    """
    if trained.interrupted:
        note_stop(store)
    elif trained.fatal:
        if store.local:  # one that stays away would be asked in vain for a minute
            note_phase(store, "failed", trained.fatal)
    elif trained.failed:
        note_phase(store, "failed", f"{sum(map(len, trained.failed))} replicas given up")
    else:
        there = audited and store.exists(REPORT)
        note_phase(store, "complete" if there else "trained", "" if there else "not audited")
