"""Records on an object store are read by ranges: how many requests each look makes, on a real S3 server."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from analysis.audit.sweep_audit import audit_sweep
from analysis.ensemble import load_sweep
from sweep.runner.plan import take_stock
from sweep.watch.status import status
from tests.helpers.servers import S3, counting
from tests.helpers.simulated_records import simulate
from trainables import storage
from trainables.ranges import Remote
from trainables.records import Address, RecordFile, content_id, write_record
from trainables.storage import Store

RECIPES, RECORDS, BLOCK = 4, 3, 4


@pytest.fixture
def far(s3: S3, monkeypatch: pytest.MonkeyPatch):
    """A sweep of 4 recipes in 3 records each, larger than what is read of a file's end, and its requests."""
    with counting(s3.endpoint) as (endpoint, seen):
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        store = Store.at(s3.uri("ranges") + f"?endpoint_override={endpoint}")
        recipes = {content_id(k): k for k in ({"optimizer": "sgd", "lr": 0.1 + i} for i in range(RECIPES))}
        for recipe_id, knobs in recipes.items():
            for first in range(0, RECORDS * BLOCK, BLOCK):
                record = simulate(range(first, first + BLOCK), n=1500, m=500, recipe=knobs)
                address = Address(recipe_id, record.context.context_id, first, first + BLOCK - 1)
                write_record(store, address, record)
        manifest = {"context_id": record.context.context_id, "recipes": recipes, "seeds": RECORDS * BLOCK}
        store.write("manifest.json", json.dumps({**manifest, "name": "ranges"}).encode())
        seen.clear()
        yield store, manifest, seen


def spent(seen: Counter[str]) -> int:
    """The requests since the last question."""
    total = seen.total()
    seen.clear()
    return total


def test_a_record_is_read_once_by_looks(far) -> None:
    store, manifest, seen = far
    records = RECIPES * RECORDS
    assert status(store).done == records * BLOCK
    assert spent(seen) <= 2 * records + 15  # manifest, lease and listings
    about = list(manifest["recipes"]), manifest["context_id"], range(RECORDS * BLOCK)
    assert take_stock(store, *about).missing == 0
    assert spent(seen) <= 2 * records + 15
    first = status(store)
    assert spent(seen) <= 15  # however many records there are
    assert take_stock(store, *about).missing == 0
    assert spent(seen) <= 10
    load_sweep(store)
    assert spent(seen) <= 15
    audit_sweep(store, attacks=["confidence"], resamples=20)
    # Members, three signals of the training examples and one of the test examples; tables and audits.
    assert spent(seen) <= (2 + 5) * records + 80
    store.delete("records.json")
    assert status(store).recipes == first.recipes


def test_only_the_signal_that_is_asked_for_is_read(far) -> None:
    store, _, seen = far
    ensemble = next(iter(load_sweep(store).values()))
    spent(seen)
    correct = ensemble.signal("train", "correct")
    assert spent(seen) == RECORDS
    block = ensemble.blocks[0].source
    assert isinstance(block, RecordFile)
    whole = RecordFile(store, block.path).read()
    np.testing.assert_array_equal(correct[:BLOCK], whole.train.correct)
    expected = simulate(range(BLOCK), n=1500, m=500)
    np.testing.assert_array_equal(whole.train.margin, expected.train.margin)
    np.testing.assert_array_equal(whole.members, expected.members)


class Hesitant:
    """A file of 200,000 bytes that refuses every second read."""

    def __init__(self) -> None:
        self.asked = 0

    def size(self) -> int:
        return 200_000

    def read_at(self, count: int, start: int) -> bytes:
        self.asked += 1
        if self.asked % 2 == 0:
            raise OSError("AWS Error SLOW_DOWN during GetObject operation")
        return bytes(start % 251 for start in range(start, start + count))


def test_a_range_that_is_refused_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "PATIENCE", (0.0,))
    file = Hesitant()
    remote = Remote(file, storage._patiently)
    assert remote.range(1000, 1003) == bytes([1000 % 251, 1001 % 251, 1002 % 251])
    assert file.asked == 3
    with pytest.raises(OSError, match="SLOW_DOWN"):
        Remote(Hesitant()).range(0, 3)
