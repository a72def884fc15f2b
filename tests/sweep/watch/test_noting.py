"""Records of finished trials are noted beside the training, so that the next run need not read them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from sweep.watch import noting
from sweep.watch.noting import Noting
from tests.helpers.small_sweeps import SAM, SGD, put, sweep
from trainables.block import Block
from trainables.checked import Checked
from trainables.records import RecordFile
from trainables.storage import Store


@pytest.fixture
def noted(tmp_path: Path) -> tuple[Store, Noting]:
    """A sweep with two records, and a third that is damaged."""
    store = sweep(tmp_path / "sweep", [SGD, SAM], range(4))
    bad = put(store, SAM, range(4, 8))
    store.write(bad.path, store.read(bad.path)[:-30])
    addresses = [put(store, SGD, range(4)), put(store, SAM, range(4)), bad]
    return store, Noting(store, [Block({}, address, "x") for address in addresses])


def finish(watch: Noting, *blocks: int) -> None:
    for block in blocks:
        watch.on_trial_complete(trial=SimpleNamespace(config={"block": block}))


def test_what_was_noted_is_not_read_again(
    noted: tuple[Store, Noting], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, watch = noted
    finish(watch, 0, 1, 2)
    watch.close()
    read: list[str] = []
    check = RecordFile.check

    def reading(self: RecordFile) -> None:
        read.append(self.path)
        check(self)

    monkeypatch.setattr(RecordFile, "check", reading)
    known = Checked(store)
    problems = [known.problem(entry) for entry in store.list("records")]
    assert sorted(map(bool, problems)) == [False, False, True]
    assert len(read) <= 1, "only the damaged one"


def test_a_block_without_a_record_is_passed_over(noted: tuple[Store, Noting]) -> None:
    store, watch = noted
    store.delete(watch._blocks[0].address.path)
    finish(watch, 0, 1)
    watch.close()
    text = store.read("records.json").decode()
    assert watch._blocks[1].address.stem in text.replace("records/", "")
    assert watch._blocks[0].address.stem not in text
    json.loads(text)


def test_notes_are_written_now_and_then_and_not_to_a_storage_that_is_away(
    noted: tuple[Store, Noting], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, watch = noted
    watch.close(answers=False)
    assert not store.exists("records.json")
    monkeypatch.setattr(noting, "WRITE_EVERY", -1.0)
    again = Noting(store, watch._blocks)
    finish(again, 0)
    again._pool.shutdown(wait=True)
    assert store.exists("records.json"), "written before the end"
