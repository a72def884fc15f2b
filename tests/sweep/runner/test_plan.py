"""What is missing and how it is cut into blocks, against counting by hand."""

from __future__ import annotations

import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.runner.plan import LONGEST, Inventory, cut, guided, take_stock
from trainables.data.subsets import Subsets, draw_members
from trainables.records import Address, Context, Record, Signals, content_id, write_record
from trainables.storage import Store

CONTEXT = Context(dataset={"name": "none"}, fingerprint="0", model={"name": "mlp"})
SGD, SAM, ASAM = {"optimizer": "sgd"}, {"optimizer": "sam"}, {"optimizer": "asam"}
ONE, TWO = content_id(SGD), content_id(SAM)


def record(seeds: range, context: Context = CONTEXT, recipe: dict[str, Any] = SGD) -> Record:
    """Random replicas of nothing: 12 training and 6 test examples of two classes."""
    rng = np.random.default_rng(0)
    k, figures = len(seeds), np.full(len(seeds), 0.5)
    sides = [Signals.of(rng.normal(size=(k, 1, n, 2)), np.zeros(n, int)) for n in (12, 6)]
    return Record(
        recipe=recipe,
        context=context,
        seeds=np.array(seeds),
        members=draw_members(Subsets(), seeds, 12),
        labels_train=np.zeros(12, int),
        labels_test=np.zeros(6, int),
        train=sides[0],
        test=sides[1],
        test_accuracy=figures,
        train_accuracy=figures,
        final_loss=figures,
        seconds=figures,
        epochs=np.ones(k, int),
        epsilon=np.full(k, np.inf),
        delta=np.zeros(k),
    )


def put(store: Store, recipe: dict[str, Any], seeds: range) -> Address:
    address = Address(content_id(recipe), CONTEXT.context_id, seeds.start, seeds.stop - 1)
    write_record(store, address, record(seeds, recipe=recipe))
    return address


def test_only_records_of_these_recipes_context_and_seeds_count(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    put(store, SGD, range(0, 4))
    put(store, SGD, range(6, 12))
    put(store, ASAM, range(0, 8))
    other = CONTEXT.model_copy(update={"fingerprint": "1"})
    write_record(store, Address(TWO, other.context_id, 0, 7), record(range(8), other))
    store.write("records/notes.txt", b"not a record")
    stock = take_stock(store, [ONE, TWO], CONTEXT.context_id, range(2, 8))
    np.testing.assert_array_equal(stock.done, [[1, 1, 0, 0, 1, 1], [0] * 6])
    assert stock.missing == 8


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _foreign(path: Path) -> None:
    np.savez(path, version=1, hello=np.zeros(3))


def _text(path: Path) -> None:
    path.write_text("no archive")


def _other_seeds(path: Path) -> None:
    path.write_bytes(record(range(4, 8)).to_bytes())


def _other_context(path: Path) -> None:
    path.write_bytes(record(range(4), CONTEXT.model_copy(update={"sweep_seed": 7})).to_bytes())


def _other_recipe(path: Path) -> None:
    path.write_bytes(record(range(4), recipe=SAM).to_bytes())


def _later_version(path: Path) -> None:
    path.write_bytes(path.read_bytes())
    with np.load(path) as archive:
        np.savez(path, **{**archive, "version": np.int64(99)})


@pytest.mark.parametrize(
    "damage", [_truncate, _foreign, _text, _other_seeds, _other_context, _other_recipe, _later_version]
)
def test_a_bad_record_is_named_set_aside_and_missing(tmp_path: Path, damage: object) -> None:
    store = Store.at(tmp_path)
    bad, good = put(store, SGD, range(0, 4)), put(store, SGD, range(4, 8))
    damage(tmp_path / bad.path)  # type: ignore[operator]
    looked = take_stock(store, [ONE], CONTEXT.context_id, range(8), repair=False)
    assert (tmp_path / bad.path).exists()
    stock = take_stock(store, [ONE], CONTEXT.context_id, range(8))
    assert looked.missing == stock.missing == 4
    assert str(tmp_path / bad.path) in stock.set_aside[0]
    assert "\n" not in stock.set_aside[0]
    assert not (tmp_path / bad.path).exists()
    assert (tmp_path / "set-aside" / f"{bad.stem}.npz").exists()
    assert (tmp_path / good.path).exists()


def inventory(done: np.ndarray, in_progress: tuple[Address, ...] = ()) -> Inventory:
    ids = tuple(f"{i:010x}" for i in range(len(done)))
    return Inventory(ids, range(100, 100 + done.shape[1]), done, in_progress, ())


@settings(deadline=None)
@given(
    done=st.integers(1, 5).flatmap(
        lambda r: st.lists(st.lists(st.booleans(), min_size=9, max_size=9), min_size=r, max_size=r)
    ),
    workers=st.integers(1, 8),
    stack=st.integers(1, 4),
    seconds=st.lists(st.floats(0.01, 100), min_size=5, max_size=5),
)
def test_blocks_cover_what_is_missing_once(
    done: list[list[bool]], workers: int, stack: int, seconds: list[float]
) -> None:
    stock = inventory(np.array(done))
    cost = dict(zip(stock.recipe_ids, seconds, strict=False))
    knobs = {i: {"optimizer": "sgd"} for i in stock.recipe_ids}
    blocks = cut(stock, knobs, "c" * 10, size=guided(workers, stack, cost), seconds=cost)
    trained = [(b.address.recipe_id, seed) for b in blocks for seed in b.address.seeds]
    missing = [
        (recipe_id, 100 + seed)
        for recipe_id, row in zip(stock.recipe_ids, done, strict=True)
        for seed, there in enumerate(row)
        if not there
    ]
    assert sorted(trained) == sorted(missing)
    assert len(set(trained)) == len(trained)


def test_what_was_begun_comes_first_and_keeps_its_block() -> None:
    begun = Address(f"{1:010x}", "c" * 10, 103, 105)
    stock = inventory(np.zeros((2, 9), bool), (begun, replace(begun, first=104, last=107)))
    cost = dict.fromkeys(stock.recipe_ids, 1.0)
    blocks = cut(stock, {i: dict(SGD) for i in stock.recipe_ids}, "c" * 10, size=lambda *_: 4, seconds=cost)
    assert blocks[0].address == begun
    assert sum(map(len, blocks)) == 18


def test_names_say_what_varies_and_no_more() -> None:
    stock = inventory(np.zeros((3, 4), bool))
    cost = dict.fromkeys(stock.recipe_ids, 1.0)
    recipes = [
        {"optimizer": "sgd", "lr": 0.1, "epochs": 9},
        {"optimizer": "sam", "lr": 0.1, "epochs": 9, "rho": 0.05},
        {"optimizer": "sam", "lr": 0.4, "epochs": 9, "rho": 0.05},
    ]
    knobs = dict(zip(stock.recipe_ids, recipes, strict=True))
    blocks = cut(stock, knobs, "c" * 10, size=lambda *_: 4, seconds=cost)
    names = {block.address.recipe_id: block.name for block in blocks}
    assert [names[i] for i in stock.recipe_ids] == [
        "sgd lr=0.1 seeds 100-103",
        "sam lr=0.1 rho=0.05 seeds 100-103",
        "sam lr=0.4 rho=0.05 seeds 100-103",
    ]


@pytest.mark.parametrize("workers", [1, 2, 16])
@pytest.mark.parametrize("seconds", [0.02, 0.3, 5.0])
def test_blocks_shrink_so_that_workers_end_together(workers: int, seconds: float) -> None:
    stock = inventory(np.zeros((12, 256), bool))
    cost = {recipe_id: seconds * (1 + i % 3) for i, recipe_id in enumerate(stock.recipe_ids)}
    knobs = {i: dict(SGD) for i in stock.recipe_ids}
    blocks = cut(stock, knobs, "c" * 10, size=guided(workers, 8, cost), seconds=cost)
    lengths = [len(b) * cost[b.address.recipe_id] for b in blocks]
    free = np.zeros(workers)
    for length in lengths:  # each worker that is free takes the next
        free[free.argmin()] += length
    ideal = sum(lengths) / workers
    assert free.max() <= max(1.15 * ideal, ideal + max(lengths[-workers:]))
    assert all(len(b) <= 8 or length <= 1.5 * LONGEST for b, length in zip(blocks, lengths, strict=True))


def test_a_plan_over_20_recipes_and_4000_seeds_is_small(tmp_path: Path) -> None:
    """Half the replicas are there, 32 a record."""
    store = Store.at(tmp_path)
    recipes = [{"optimizer": "sgd", "noise": i} for i in range(20)]
    ids = [content_id(recipe) for recipe in recipes]
    for recipe in recipes:
        content = record(range(32), recipe=recipe)
        for first in range(0, 2016, 32):
            seeds = range(first, first + 32)
            address = Address(content_id(recipe), CONTEXT.context_id, first, first + 31)
            write_record(store, address, replace(content, seeds=np.array(seeds)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    stock = take_stock(store, ids, CONTEXT.context_id, range(4000))
    cost = dict.fromkeys(ids, 0.5)
    blocks = cut(
        stock, {i: dict(SGD) for i in ids}, CONTEXT.context_id, size=guided(8, 32, cost), seconds=cost
    )
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert stock.missing == 20 * (4000 - 2016) == sum(map(len, blocks))
    assert kilobytes < 500e3


def test_planning_imports_neither_torch_nor_ray() -> None:
    """Torch alone takes more than the 500 MB that a plan may."""
    script = "import sys, sweep.runner.plan; sys.exit('torch' in sys.modules or 'ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=60).returncode == 0
