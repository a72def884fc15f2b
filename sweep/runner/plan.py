"""Recipes x subset seeds, minus what records already hold, cut into blocks: the trials still to run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep.runner.lease import age
from trainables.block import Block
from trainables.checked import Checked
from trainables.directory import PROGRESS, addressed, addresses, set_aside_path
from trainables.labels import labels
from trainables.records import Address
from trainables.storage import Store

Seconds = Mapping[str, float]  # of one replica, by recipe_id

SHORTEST, LONGEST = 4.0, 120.0  # seconds of a trial: scheduling one costs about 0.2, a lost one costs all


@dataclass(frozen=True)
class Inventory:
    """What a sweep directory holds of some recipes x seeds. ``done`` is bool ``[recipes, seeds]``."""

    recipe_ids: tuple[str, ...]
    seeds: range
    done: NDArray[np.bool_]
    in_progress: tuple[Address, ...]
    set_aside: tuple[str, ...]

    @property
    def missing(self) -> int:
        """Replicas still to train."""
        return int((~self.done).sum())


def take_stock(
    store: Store, recipe_ids: Sequence[str], context_id: str, seeds: range, *, repair: bool = True
) -> Inventory:
    """List the records and read the small fields of those not checked before; see `trainables.checked`.

    A bad record is moved to ``set-aside/`` and named. With ``repair`` False nothing is written or moved, a
    bad one is only left out.
    """
    row = {recipe_id: i for i, recipe_id in enumerate(recipe_ids)}
    checked, listed = Checked(store), list(addressed(store))
    records = [(a, entry) for a, entry in listed if a.recipe_id in row and a.context_id == context_id]
    done = np.zeros((len(row), len(seeds)), bool)
    bad = []
    with ThreadPoolExecutor(16) as pool:
        problems = pool.map(lambda record: checked.problem(record[1]), records)
        for (address, _), problem in zip(records, problems, strict=True):
            if problem is None:
                first, last = address.first - seeds.start, address.last - seeds.start
                done[row[address.recipe_id], max(first, 0) : max(last + 1, 0)] = True
            else:
                bad.append(problem)
                if repair:
                    store.move(address.path, set_aside_path(address))
    if repair:
        checked.write(entry for _, entry in listed)
    progress = tuple(
        a
        for a in addresses(store, folder=PROGRESS)
        if a.recipe_id in row
        and a.context_id == context_id
        and a.first in seeds
        and a.last in seeds
        and not done[row[a.recipe_id], a.first - seeds.start : a.last - seeds.start + 1].any()
    )
    return Inventory(tuple(recipe_ids), seeds, done, progress, tuple(bad))


def cut(
    stock: Inventory,
    knobs: Mapping[str, dict[str, Any]],
    context_id: str,
    *,
    size: Callable[[str, float], int],
    seconds: Seconds,
) -> tuple[Block, ...]:
    """Return the blocks of the missing seeds in the order to run them: begun ones first, then the longest.

    ``size(recipe_id, remaining_seconds)`` is how many replicas the next block may have.
    """
    done = stock.done.copy()
    blocks = []
    named = dict(zip(knobs, labels(knobs.values()), strict=True))

    def block(address: Address) -> Block:
        return Block(knobs[address.recipe_id], address, named[address.recipe_id])

    for address in stock.in_progress:
        span = slice(address.first - stock.seeds.start, address.last - stock.seeds.start + 1)
        if not done[stock.recipe_ids.index(address.recipe_id), span].any():
            done[stock.recipe_ids.index(address.recipe_id), span] = True
            blocks.append(block(address))
    remaining = sum((~row).sum() * seconds[i] for i, row in zip(stock.recipe_ids, done, strict=True))
    for recipe_id in sorted(stock.recipe_ids, key=lambda i: -seconds[i]):
        for start, stop in _runs(~done[stock.recipe_ids.index(recipe_id)]):
            while start < stop:
                end = min(stop, start + size(recipe_id, remaining))
                address = Address(
                    recipe_id, context_id, stock.seeds.start + start, stock.seeds.start + end - 1
                )
                blocks.append(block(address))
                remaining -= (end - start) * seconds[recipe_id]
                start = end
    return tuple(blocks)


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Half-open ends of the runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def outlook(there: int, missing: int, seconds: float | None, slots: int | None) -> str:
    """Return what is there, what is missing, and how long that will take, in a line.

    Args:
        there: Replicas with a record.
        missing: Those without.
        seconds: To train these; None where unknown.
        slots: Trials that run at once; None where unknown.
    """
    line = f"{there} replicas there, {missing} missing"
    if missing:
        line += f"; wall time: {'unknown' if seconds is None else f'about {age(seconds)}'}"
        line += f", {slots} {'trial' if slots == 1 else 'trials'} at once" if slots else ""
    return line


def guided(workers: int, stack: int, seconds: Seconds) -> Callable[[str, float], int]:
    """Block sizes that keep workers busy: guided self-scheduling (Polychronopoulos and Kuck 1987).

    A block is a quarter of each worker's share of the work that remains, so blocks shrink and the last ones
    end together; always whole stacks, and between ``SHORTEST`` and ``LONGEST`` seconds where those allow.

    Args:
        workers: Trials that run at once.
        stack: Replicas that a trial trains at once.
        seconds: Of one replica, by recipe_id.

    Returns:
        ``size(recipe_id, remaining seconds of the sweep)`` -> replicas of the next block.
    """

    def size(recipe_id: str, remaining: float) -> int:
        share = min(max(remaining / (4 * workers), SHORTEST), LONGEST)
        return stack * max(1, round(share / (stack * seconds[recipe_id])))

    return size
