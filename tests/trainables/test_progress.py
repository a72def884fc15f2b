"""The unfinished state of a block, as it lies in the sweep directory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trainables.directory import progress_path
from trainables.progress import Progress
from trainables.records import Address
from trainables.storage import Store

ADDRESS = Address("a" * 10, "b" * 10, 4, 7)


def test_progress_comes_back_as_it_was_saved_and_only_to_its_block(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    progress, other = (Progress(store, a, 60.0) for a in (ADDRESS, Address("a" * 10, "b" * 10, 8, 11)))
    assert progress.load() is None
    arrays = {"params/0": np.arange(6.0).reshape(2, 3), "epoch": np.array(3)}
    progress.save({"epoch": np.array(2)})
    progress.save(arrays)
    found = progress.load()
    assert found is not None
    assert found.keys() == arrays.keys()
    for name, value in arrays.items():
        np.testing.assert_array_equal(found[name], value)
    assert other.load() is None
    progress.clear()
    progress.clear()
    assert progress.load() is None
    assert [entry.path for entry in store.list()] == []


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"no archive", b"\x80\x04N."])
def test_progress_that_cannot_be_read_counts_as_none(tmp_path: Path, content: bytes) -> None:
    store = Store.at(tmp_path)
    store.write(progress_path(ADDRESS), content)
    assert Progress(store, ADDRESS, 60.0).load() is None


def test_an_urgent_save_comes_at_the_next_chance_and_is_told_once(tmp_path: Path) -> None:
    told: list[str] = []
    progress = Progress(Store.at(tmp_path), ADDRESS, 60.0, lambda: told.append("saved"))
    progress.save({})
    assert (progress.every, told) == (60.0, [])
    progress.urgent = True
    assert progress.every == 0.0
    progress.save({})
    progress.save({})
    assert (progress.every, told) == (60.0, ["saved"])
