"""``records.json`` spares reads; missing, stale or damaged it costs reads and changes no answer."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import load_sweep
from sweep.runner.plan import take_stock
from sweep.watch.status import status
from tests.helpers.simulated_records import simulate
from trainables.checked import Checked
from trainables.directory import CHECKED, Manifest, addressed, write_manifest
from trainables.errors import UserError
from trainables.records import Address, RecordFile, content_id, write_record
from trainables.storage import Store

SGD = {"optimizer": "sgd"}
ONE = content_id(SGD)
RECORD = simulate(range(4), n=10, m=5, recipe=SGD)
CONTEXT = RECORD.context.context_id


def sweep(folder: Path) -> Store:
    store = Store.at(folder)
    write_manifest(store, Manifest(context_id=CONTEXT, recipes={ONE: SGD}, seeds=8))
    for first in (0, 4):
        record = simulate(range(first, first + 4), n=10, m=5, recipe=SGD)
        write_record(store, Address(ONE, CONTEXT, first, first + 3), record)
    return store


def missing(store: Store) -> int:
    return take_stock(store, [ONE], CONTEXT, range(8), repair=False).missing


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths of the records that are opened."""
    found: list[str] = []
    real = RecordFile._open

    def seen(file: RecordFile):
        found.append(file.path)
        return real(file)

    monkeypatch.setattr(RecordFile, "_open", seen)
    return found


def test_what_was_checked_is_not_opened_again(tmp_path: Path, opened: list[str]) -> None:
    store = sweep(tmp_path)
    assert missing(store) == 0
    assert not store.exists(CHECKED)  # a look writes nothing
    before = status(store).recipes
    take_stock(store, [ONE], CONTEXT, range(8))
    opened.clear()
    assert missing(store) == 0
    assert status(store).recipes == before
    assert opened == []
    assert load_sweep(store)[ONE].seeds.tolist() == list(range(8))
    assert set(opened) == {Address(ONE, CONTEXT, 0, 3).path}  # for the labels


def test_a_record_that_changed_is_read_again(tmp_path: Path) -> None:
    store = sweep(tmp_path)
    take_stock(store, [ONE], CONTEXT, range(8))
    path = tmp_path / Address(ONE, CONTEXT, 4, 7).path
    path.write_bytes(RECORD.to_bytes())  # as many bytes, of other seeds
    os.utime(path, (1, 1))
    assert missing(store) == 4
    with pytest.raises(UserError, match="the name says 4-7"):
        load_sweep(store)
    assert len(take_stock(store, [ONE], CONTEXT, range(8)).set_aside) == 1
    assert len(Checked(store)._known) == 1
    write_record(store, Address(ONE, CONTEXT, 4, 7), simulate(range(4, 8), n=10, m=5, recipe=SGD))
    assert missing(store) == 0


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, bytes]:
    store = sweep(tmp_path_factory.mktemp("known"))
    take_stock(store, [ONE], CONTEXT, range(8))
    return store, store.read(CHECKED)


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_a_damaged_file_counts_as_none(known: tuple[Store, bytes], data: st.DataObject) -> None:
    store, whole = known
    place = data.draw(st.integers(0, len(whole) - 1))
    value = data.draw(st.integers(0, 255).filter(lambda byte: byte != whole[place]))
    flipped = whole[:place] + bytes([value]) + whole[place + 1 :]
    other = [b"null", b"[]", b"{}", b'{"format": 2, "digest": [], "records": 3}', b"\xff", b"[" * 9999]
    content = data.draw(st.sampled_from([flipped, whole[:place], *other]))
    store.write(CHECKED, content)
    assert len(Checked(store)._known) in (0, 2)
    assert all(len(found) == 6 for found in Checked(store)._known.values())
    assert missing(store) == 0
    (recipe,) = status(store).recipes
    assert recipe.done == 8
    assert recipe.final_loss == pytest.approx(0.1)


def test_a_run_notes_its_own_records(smoke_sweep: Path) -> None:
    store = Store.at(smoke_sweep)
    checked, listed = Checked(store), [entry for _, entry in addressed(store)]
    assert listed
    assert all(entry in checked for entry in listed)
    for entry in listed:
        record = RecordFile(store, entry.path)
        assert checked.sums(entry) == {
            name: record[name].sum() for name in ("test_accuracy", "train_accuracy", "final_loss")
        }
