"""Records: what was written is what is read, and damage is an error of the record and of nothing else."""

from __future__ import annotations

import contextlib
import io
import json
import random
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.servers import S3, refusing
from tests.helpers.simulated_records import simulate
from trainables import storage
from trainables.records import (
    PER_REPLICA,
    Address,
    Context,
    Record,
    RecordError,
    RecordFile,
    Signals,
    content_id,
    write_record,
)
from trainables.storage import Store


def _record() -> bytes:
    one = np.zeros((2, 1, 50), np.float32)
    signals, labels = Signals(one > 0, one, one, one, one), np.zeros(50, np.int32)
    figures = {name: np.zeros(2) for name in PER_REPLICA}
    context = Context(dataset={"name": "d"}, fingerprint="f", model={"name": "mlp"})
    members = np.zeros((2, 50), bool)
    return Record({}, context, np.arange(2), members, labels, labels, signals, signals, **figures).to_bytes()


def test_a_cut_record_is_an_error_of_the_record(store: Store) -> None:
    whole, chance = _record(), random.Random(0)
    for _ in range(40):
        store.write("record.npz", whole[: chance.randrange(len(whole))])
        with pytest.raises(RecordError, match=r"record\.npz"):
            RecordFile(store, "record.npz").check()


def test_a_flipped_byte_raises_nothing_else(store: Store) -> None:
    """It may lie where a check of the small fields does not read; readers of the rest check again."""
    whole, chance = _record(), random.Random(0)
    for _ in range(40):
        at = chance.randrange(len(whole))
        store.write("record.npz", whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
        with contextlib.suppress(RecordError):
            RecordFile(store, "record.npz").check()
    assert store.exists("record.npz")


def test_a_storage_that_is_away_is_no_damage(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a good record would be set aside and trained again because a network hiccuped."""
    monkeypatch.setattr(storage, "PATIENCE", ())
    Store.at(s3.uri("x")).write("record.npz", _record())
    with refusing(s3.endpoint, 10**6) as endpoint:
        away = Store.at(f"{s3.uri('x')}?endpoint_override={endpoint.removeprefix('http://')}&scheme=http")
        with pytest.raises(OSError, match=r"SLOW_DOWN|503") as refused:
            RecordFile(away, "record.npz").check()
    assert not isinstance(refused.value, RecordError)


def test_threads_parse_one_header_at_a_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's parser reads them, and fails where collecting garbage lets another thread in between."""
    store.write("record.npz", _record())
    parse, inside, most = np.lib.format.read_array, [], []

    def watched(*arguments: Any, **options: Any) -> Any:
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.005)
        inside.pop()
        return parse(*arguments, **options)

    monkeypatch.setattr(np.lib.format, "read_array", watched)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: RecordFile(store, "record.npz").check(), range(8)))
    assert len(most) >= 8
    assert max(most) == 1


@pytest.mark.parametrize("queries", [1, 2])
@pytest.mark.parametrize("n", [2, 7, 8, 9, 120])
def test_what_was_written_is_what_is_read(tmp_path: Path, n: int, queries: int) -> None:
    record = simulate(range(4, 8), n=n, m=n + 3, queries=queries, canaries=n // 2)
    if n % 2:
        object.__setattr__(record, "members", np.random.default_rng(n).random((4, n)) < 0.5)
    address = Address(content_id(record.recipe), record.context.context_id, 4, 7)
    store = Store.at(tmp_path)
    write_record(store, address, record)
    assert [Address.parse(entry.path) for entry in store.list("records")] == [address]
    file = RecordFile(store, address.path)
    file.check()
    found = file.read()
    assert (found.recipe, found.context) == (record.recipe, record.context)
    for side in ("train", "test"):
        for name, values in vars(getattr(record, side)).items():
            np.testing.assert_array_equal(getattr(getattr(found, side), name), values)
    for name in ("seeds", "members", "labels_train", "labels_test", "canaries", *PER_REPLICA):
        np.testing.assert_array_equal(getattr(found, name), getattr(record, name))


def test_a_file_is_a_numpy_archive_of_packed_bits_without_pickles() -> None:
    record = simulate(range(2), n=20, m=11)
    with np.load(io.BytesIO(record.to_bytes()), allow_pickle=False) as archive:
        assert archive["members"].shape == (2, 3)
        np.testing.assert_array_equal(np.unpackbits(archive["members"], axis=1, count=20), record.members)
        assert archive["train_margin"].dtype == np.float32
        assert json.loads(str(archive["recipe"])) == record.recipe


def rewritten(record: Record, **changes: np.ndarray) -> bytes:
    """The record's file with other arrays."""
    buffer = io.BytesIO()
    np.savez(buffer, **{**record.arrays(), **changes})
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": np.array(99)}, "version.* is 99, expected"),
        ({"seeds": np.array([0, 2])}, r"seeds.* are \[0, 2\], the name says 0-1"),
        ({"recipe": np.array('{"optimizer": "sam"}')}, "recipe.* is [0-9a-f]{10}, the name says"),
    ],
)
def test_a_record_that_is_not_what_its_name_says_is_named_with_its_field(
    tmp_path: Path, changes: dict[str, np.ndarray], message: str
) -> None:
    record, store = simulate(range(2)), Store.at(tmp_path)
    address = Address(content_id(record.recipe), record.context.context_id, 0, 1)
    store.write(address.path, rewritten(record, **changes))
    with pytest.raises(RecordError, match=message) as error:
        RecordFile(store, address.path).check()
    assert address.path in str(error.value)
    assert RecordFile(store, address.path).problem() == str(error.value)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        (
            "train_margin",
            np.zeros((2, 1, 119), np.float32),
            r"has shape \(2, 1, 119\), expected \(2, 1, 120\)",
        ),
        ("test_entropy", np.full((2, 1, 90), np.nan, np.float32), "holds NaN"),
        ("labels_train", np.zeros(3, int), r"has shape \(3,\), expected \(120,\)"),
        ("epsilon", np.zeros(3), r"has shape \(3,\), expected \(2,\)"),
        ("members", np.zeros((2, 14), np.uint8), r"has shape \(2, 14\), expected \(2, 15\)"),
    ],
)
def test_arrays_of_another_shape_or_without_numbers_are_refused_when_they_are_read(
    tmp_path: Path, name: str, values: np.ndarray, message: str
) -> None:
    store = Store.at(tmp_path)
    store.write("record.npz", rewritten(simulate(range(2)), **{name: values}))
    with pytest.raises(RecordError, match=f"{name}.*{message}"):
        RecordFile(store, "record.npz")[name]


HEX = st.text("0123456789abcdef", min_size=10, max_size=10)


@given(HEX, HEX, st.integers(0, 10**6), st.integers(0, 100))
def test_an_address_is_what_its_path_spells(recipe_id: str, context_id: str, first: int, more: int) -> None:
    address = Address(recipe_id, context_id, first, first + more)
    assert Address.parse(address.path) == Address.parse(f"elsewhere/{address.stem}.npz") == address
    assert len(address.seeds) == more + 1
    for other in (address.stem, f"{address.path}.aside", address.path.replace("-", "_")):
        assert Address.parse(other) is None


VALUES = st.recursive(
    st.integers() | st.text() | st.booleans(), lambda inner: st.dictionaries(st.text(), inner, max_size=3)
)


@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_an_id_depends_on_content_and_not_on_order(value: dict[str, Any]) -> None:
    backwards = dict(reversed(value.items()))
    assert content_id(value) == content_id(backwards)
    assert content_id({**value, "one more": 1}) != content_id({**value, "one more": 2})
    assert re.fullmatch("[0-9a-f]{10}", content_id(value))
