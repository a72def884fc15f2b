"""The phase of a sweep: what is noted is what is read, and nothing that goes wrong with it stops a run."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.directory import PHASE
from trainables.phase import ENDED, RUNNING, Phase, note_phase, read_phase, write_phase
from trainables.storage import Store

COUNTS = st.none() | st.integers(0, 10**6)


@settings(max_examples=30)
@given(st.sampled_from(RUNNING + ENDED), st.text(), COUNTS, COUNTS)
def test_what_is_noted_is_what_is_read(name: str, detail: str, done: int | None, total: int | None) -> None:
    store = Memory()
    before = time.time()
    note_phase(store, name, detail, done, total)  # type: ignore[arg-type]
    found = read_phase(store)  # type: ignore[arg-type]
    assert found is not None
    assert (found.name, found.detail, found.done, found.total) == (name, detail, done, total)
    assert before <= found.time <= time.time()


class Memory:
    """A sweep directory of one file, in memory."""

    content = b""

    def read(self, name: str) -> bytes:
        assert name == PHASE
        return self.content

    def write(self, name: str, content: bytes) -> None:
        assert name == PHASE
        self.content = content


def test_the_address_stays_when_the_next_phase_begins(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    write_phase(store, Phase(name="starting", address="ray://head:10001", time=1.0))
    note_phase(store, "training", done=3, total=8)
    found = read_phase(store)
    assert found is not None
    assert (found.name, found.address) == ("training", "ray://head:10001")
    assert found.time > 1.0


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"detail": "no name"}', b"\xff\xfe", b'{"name": 3}'])
def test_what_is_no_phase_is_none(tmp_path: Path, content: bytes) -> None:
    store = Store.at(tmp_path)
    assert read_phase(store) is None
    store.write(PHASE, content)
    assert read_phase(store) is None
    note_phase(store, "auditing")
    assert str(read_phase(store)) == "auditing"


def test_a_storage_that_takes_no_file_goes_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    store = Store.at(tmp_path)
    monkeypatch.setattr(Store, "write", full)
    note_phase(store, "training")
    assert read_phase(store) is None


@pytest.mark.parametrize(
    ("phase", "text"),
    [
        (Phase(name="training"), "training"),
        (Phase(name="training", total=8), "training 0/8"),
        (Phase(name="auditing", done=3, total=8), "auditing 3/8"),
        (Phase(name="waiting", detail="for a node"), "waiting (for a node)"),
        (Phase(name="failed", detail="no room", done=1, total=2), "failed 1/2 (no room)"),
    ],
)
def test_a_phase_in_words(phase: Phase, text: str) -> None:
    assert str(phase) == text
