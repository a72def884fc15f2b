"""Records of one recipe -> Ensemble: all its replicas, read lazily."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from os import PathLike
from threading import RLock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trainables.checked import Checked
from trainables.directory import addressed, read_manifest
from trainables.errors import UserError
from trainables.labels import labels
from trainables.records import PER_REPLICA, Address, Context, Record, RecordFile
from trainables.storage import Store, as_store

Array = NDArray[Any]


class Memo(dict[str, Array]):
    """Signals that were read; its lock keeps two threads from reading the same one."""

    def __init__(self, signals: Mapping[str, Array] | None = None) -> None:
        super().__init__(signals or {})
        self.lock = RLock()


class Source(Protocol):
    """What holds a block's arrays by the record's names: a RecordFile, or a plain dict of arrays."""

    def __getitem__(self, name: str, /) -> Array: ...


@dataclass(frozen=True)
class Block:
    """The rows that an ensemble takes from one record."""

    source: Source
    rows: Array

    def __getitem__(self, name: str) -> Array:
        return self.source[name][self.rows]


@dataclass(frozen=True)
class _Columns:
    """A source with some of its training examples."""

    source: Source
    columns: Array

    def __getitem__(self, name: str) -> Array:
        values = self.source[name]
        by_example = name == "members" or (name.startswith("train_") and name not in PER_REPLICA)
        return values[..., self.columns] if by_example else values


@dataclass(frozen=True, eq=False)
class Ensemble:
    """All R replicas of one recipe on n training and m test examples, in order of their subset seeds.

    Masks and signals stay in the records until asked for and are not kept, so an ensemble costs next to
    nothing; `kept` gives one that reads each once.
    """

    recipe_id: str
    recipe: Mapping[str, Any]
    label: str
    context: Context
    blocks: Sequence[Block] = field(repr=False)
    labels_train: Array = field(repr=False)
    labels_test: Array = field(repr=False)
    canaries: Array = field(repr=False)
    memo: Memo | None = field(default=None, repr=False)

    @cached_property
    def _order(self) -> Array:
        return np.argsort(np.concatenate([block["seeds"] for block in self.blocks]), kind="stable")

    def kept(self) -> Ensemble:
        """Return the same ensemble, holding on to what it has read."""
        return self if self.memo is not None else replace(self, memo=Memo())

    def __getstate__(self) -> dict[str, Any]:
        """Return what is sent to another process: nothing that was read, which it can read itself."""
        return {f.name: getattr(self, f.name) for f in fields(self)} | {"memo": None}

    def _gather(self, name: str) -> Array:
        if self.memo is None:
            return self._read(name)
        with self.memo.lock:
            if name not in self.memo:
                self.memo[name] = self._read(name)
            return self.memo[name]

    def _read(self, name: str) -> Array:
        parts = [block[name] for block in self.blocks]
        joined = parts[0] if len(parts) == 1 else np.concatenate(parts)
        in_order = len(self._order) < 2 or bool((np.diff(self._order) > 0).all())
        return joined if in_order else joined[self._order]

    @cached_property
    def seeds(self) -> NDArray[np.int64]:
        """Subset seeds ``[R]``, ascending."""
        return self._gather("seeds").astype(np.int64)

    @property
    def members(self) -> NDArray[np.bool_]:
        """``[R, n]``: which training examples each replica trained on; read like a signal."""
        return self._gather("members").astype(bool, copy=False)

    @property
    def replicas(self) -> int:
        """How many replicas the ensemble has."""
        return sum(len(block.rows) for block in self.blocks)

    def signal(self, side: str, name: str) -> Array:
        """``[R, Q, n]`` of side "train" or ``[R, Q, m]`` of side "test", read from the records on every call.

        ``name`` is "correct" (bool) or one of `trainables.records.FLOAT_SIGNALS` (float32); of side "train"
        also "curvature" where ``context.curvature`` says that it was recorded.
        """
        return self._gather(f"{side}_{name}")

    def per_replica(self, name: str) -> NDArray[np.float64]:
        """Return a figure of every replica, one of `trainables.records.PER_REPLICA`: ``[R]``."""
        return self._gather(name).astype(np.float64)

    @property
    def cluster_ids(self) -> Array:
        """``[R]``: what `clusters` are called in every recipe: the number of a pair of halves, or a seed."""
        return self.clusters_of(self.seeds)

    def clusters_of(self, seeds: NDArray[np.int64]) -> Array:
        """Give the ``cluster_ids`` of these subset seeds."""
        return seeds // 2 if self.context.subsets.scheme == "half" else seeds

    @cached_property
    def clusters(self) -> Array:
        """``[R]``: which replicas must be resampled together. Complementary halves share their draw."""
        return np.unique(self.cluster_ids, return_inverse=True)[1]

    def restrict(self, seeds: Array) -> Ensemble:
        """Return the same ensemble with only the replicas of these subset seeds; what was kept stays kept."""
        if np.isin(self.seeds, seeds).all():
            return self
        blocks = [Block(b.source, b.rows[np.isin(b["seeds"], seeds)]) for b in self.blocks]
        memo = self.memo
        if memo is not None:
            rows = np.isin(self.seeds, seeds)
            memo = Memo({name: values[rows] for name, values in dict(memo).items()})
        return replace(self, blocks=[b for b in blocks if len(b.rows)], memo=memo)

    def drawn(self) -> Ensemble:
        """Return the same ensemble on the training examples that chance lets in.

        These are all, but with subset scheme ``canaries`` only the canaries: every replica was trained on the
        others, so nothing can be said of them.
        """
        if self.context.subsets.scheme != "canaries":
            return self
        blocks = [Block(_Columns(b.source, self.canaries), b.rows) for b in self.blocks]
        labels = self.labels_train[self.canaries]
        return replace(self, blocks=blocks, labels_train=labels, canaries=self.canaries[:0], memo=None)


def all_clusters(ensembles: Collection[Ensemble], planned: Sequence[int] = ()) -> Array:
    """Give every cluster that an ensemble of a sweep has, or will have.

    Args:
        ensembles: The ensembles of one sweep.
        planned: Subset seeds that are to be trained.

    Returns:
        Their ``cluster_ids``, sorted.
    """
    parts = [e.cluster_ids for e in ensembles]
    parts += [e.clusters_of(np.array(planned, np.int64)) for e in ensembles][:1]
    return np.unique(np.concatenate(parts))


def ensemble_of(record: Record, label: str = "", recipe_id: str = "") -> Ensemble:
    """Make an ensemble of one record in memory, as `train_replicas` returns it.

    Args:
        record: The replicas of one recipe.
        label: A name for people; by default that of the recipe.
        recipe_id: A name for programs.

    Returns:
        The ensemble, its replicas in order of their subset seeds.
    """
    arrays: dict[str, Array] = {name: getattr(record, name) for name in ("seeds", "members", *PER_REPLICA)}
    for side, values in (("train", record.train), ("test", record.test)):
        arrays |= {f"{side}_{name}": value for name, value in vars(values).items()}
    if record.train_curvature is not None:
        arrays["train_curvature"] = record.train_curvature
    return Ensemble(
        recipe_id=recipe_id,
        recipe=record.recipe,
        label=label or labels([record.recipe])[0],
        context=record.context,
        blocks=[Block(arrays, np.unique(record.seeds, return_index=True)[1])],
        labels_train=record.labels_train,
        labels_test=record.labels_test,
        canaries=record.canaries,
    )


def load_sweep(
    directory: str | PathLike[str] | Store,
    *,
    recipes: Mapping[str, dict[str, Any]] | None = None,
    seeds: range | None = None,
) -> dict[str, Ensemble]:
    """Load the ensembles of a sweep directory; their signals stay on disk until they are asked for.

    Only records of the manifest's recipes, context and subset seeds count. Without a manifest every record
    counts, and two contexts in one directory are an error. A subset seed that two records hold is taken from
    the first.

    Args:
        directory: A path, or a URI such as ``s3://bucket/sweep``.
        recipes: Knobs by recipe_id, to load others than the manifest's.
        seeds: Subset seeds, to load others than the manifest's.

    Returns:
        Ensembles by recipe_id, in the manifest's order.

    Raises:
        UserError: No records, mixed contexts, or a record that is truncated or foreign.

    >>> ensembles = load_sweep("runs/digits")  # doctest: +SKIP
    """
    store = as_store(directory)
    manifest = read_manifest(store)
    asked = recipes or (manifest.recipes if manifest else None)
    if seeds is None and manifest:
        seeds = manifest.seed_range
    checked = Checked(store)
    found: dict[str, list[Address]] = {}
    known: dict[Address, str] = {}
    for address, entry in addressed(store):
        known[address] = checked.content(entry)
        if seeds is not None and (address.last < seeds.start or address.first >= seeds.stop):
            continue
        if manifest is None or address.context_id == manifest.context_id:
            found.setdefault(address.recipe_id, []).append(address)
    wanted = [r for r in asked or sorted(found) if r in found]
    if not wanted:
        raise UserError(
            f"{store}: no records to audit; expected records/<recipe_id>/<block>.npz of its manifest"
        )
    contexts = sorted({address.context_id for recipe_id in wanted for address in found[recipe_id]})
    if len(contexts) > 1:
        raise UserError(f"{store}: records of contexts {', '.join(contexts)} are mixed; expected one context")
    blocks = {recipe_id: _blocks(store, found[recipe_id], seeds, known) for recipe_id in wanted}
    files = {recipe_id: RecordFile(store, found[recipe_id][0].path) for recipe_id in wanted}
    knobs = asked or {r: file.recipe for r, file in files.items()}
    names = labels([knobs[recipe_id] for recipe_id in wanted])
    first = next(iter(files.values()))
    context, canaries = first.context, first["canaries"]
    labels_train, labels_test = first["labels_train"], first["labels_test"]
    return {
        recipe_id: Ensemble(
            recipe_id=recipe_id,
            recipe=knobs[recipe_id],
            label=name,
            context=context,
            blocks=blocks[recipe_id],
            labels_train=labels_train,
            labels_test=labels_test,
            canaries=canaries,
        )
        for recipe_id, name in zip(wanted, names, strict=True)
    }


def _blocks(
    store: Store, addresses: Sequence[Address], seeds: range | None, known: Mapping[Address, str]
) -> list[Block]:
    """Return the records of one recipe, every subset seed from the first that has it; ``known``: contents."""
    seen: set[int] = set()
    blocks = []
    for address in sorted(addresses, key=lambda a: (a.first, a.last)):
        rows = [
            row
            for row, seed in enumerate(address.seeds)
            if seed not in seen and (seeds is None or seed in seeds)
        ]
        seen.update(address.seeds)
        if rows:
            file = RecordFile(store, address.path, known[address])
            if not file.checked:
                file.check()
            blocks.append(Block(file, np.array(rows)))
    return blocks
