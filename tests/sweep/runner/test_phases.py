"""How a run's phase is noted when it starts, goes on, ends, and is ended."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from analysis.audit.ensemble_audit import side_by_side
from sweep.runner import lease
from sweep.runner.outcome import Trained
from sweep.runner.phases import conclude, note_audit, note_stop, noting_audits, told
from trainables.block import Block
from trainables.directory import PHASE, REPORT
from trainables.errors import UserError
from trainables.phase import Phase, note_phase, read_phase, write_phase
from trainables.records import Address
from trainables.storage import Store

BLOCK = Block({}, Address("a" * 10, "b" * 10, 0, 3), "sgd")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.at(tmp_path)


def words(store: Store) -> str:
    return str(read_phase(store))


@pytest.mark.parametrize(
    ("error", "phase"),
    [
        (None, "training"),
        (KeyboardInterrupt(), "stopped (Ctrl+C while training)"),
        (RuntimeError("the disk\nis gone"), "failed (the disk)"),
        (UserError("a mistake"), "complete"),
    ],
)
def test_an_exception_says_how_a_run_ended_and_a_mistake_leaves_the_run_before(
    store: Store, error: BaseException | None, phase: str
) -> None:
    note_phase(store, "complete")
    with suppress(KeyboardInterrupt, RuntimeError, UserError), told(store, "head:6379"):
        assert words(store) == "starting"
        note_phase(store, "training")
        if error:
            raise error
    assert words(store) == phase
    found = read_phase(store)
    assert found is not None
    assert found.address == (None if phase == "complete" else "head:6379")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("no"), UserError("no")])
def test_what_is_raised_is_passed_on(store: Store, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, told(store, None):
        raise error
    assert caught.value is error


def test_a_mistake_in_a_new_directory_leaves_no_phase(store: Store) -> None:
    with pytest.raises(UserError), told(store, None):
        raise UserError("a mistake")
    assert not store.exists(PHASE)


@pytest.mark.parametrize("name", ["complete", "trained", "failed"])
def test_a_signal_after_the_end_changes_nothing(store: Store, name: str) -> None:
    note_phase(store, name)
    note_stop(store)
    assert words(store) == name


def test_audits_are_counted_beside_what_is_published(store: Store) -> None:
    published: list[dict[str, Any]] = []
    tell = noting_audits(store, published.append)
    for audited in (0, 1):
        tell({"audited": audited, "to_audit": 2, "more": "figures"})
        assert words(store) == f"auditing {audited}/2"
    assert [figures["audited"] for figures in published] == [0, 1]


@pytest.mark.parametrize("error", [None, KeyboardInterrupt()])
def test_how_an_audit_by_itself_ends_is_noted_where_nobody_drives(
    store: Store, error: KeyboardInterrupt | None
) -> None:
    def audit() -> None:
        with suppress(KeyboardInterrupt), note_audit(store):
            if error:
                raise error

    audit()
    assert not store.exists(PHASE), "of predictions no run is noted"
    note_phase(store, "trained")
    with lease.hold(store):
        audit()
        assert words(store) == "trained"
    audit()
    assert words(store) == ("stopped (Ctrl+C while auditing)" if error else "complete")


def test_a_signal_does_not_wait_for_what_runs_in_threads() -> None:
    begun, go = Event(), Event()

    def long() -> bool:
        begun.set()
        return go.wait(60)

    with pytest.raises(KeyboardInterrupt), side_by_side(2) as pool:  # noqa: PT012
        running = pool.submit(long)
        begun.wait(60)
        raise KeyboardInterrupt
    assert not running.done()
    go.set()
    assert running.result(60)
    with side_by_side(2) as pool:
        running = pool.submit(begun.wait, 60)
    assert running.done(), "else it does"


@pytest.mark.parametrize(
    ("trained", "audited", "report", "phase"),
    [
        (Trained(8, 4, 4), True, True, "complete"),
        (Trained(8, 4, 4), True, False, "trained (not audited)"),
        (Trained(8, 4, 4), False, True, "trained (not audited)"),
        (Trained(8, 0, 4, failed=(BLOCK,)), True, True, "failed (4 replicas given up)"),
        (Trained(8, 0, 4, fatal="the disk is full"), False, False, "failed (the disk is full)"),
        (Trained(8, 0, 4, interrupted=True), False, False, "stopped (Ctrl+C while training)"),
    ],
)
def test_a_run_that_ends_says_what_is_there(
    store: Store, trained: Trained, audited: bool, report: bool, phase: str
) -> None:
    write_phase(store, Phase(name="training"))
    if report:
        store.write(REPORT, b"")
    conclude(store, trained, audited=audited)
    assert words(store) == phase
