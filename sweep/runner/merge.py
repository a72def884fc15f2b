"""Two sweeps of one context joined in a third directory: the recipes and the subset seeds of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import yaml

from sweep.runner import lease
from trainables.directory import (
    SPEC,
    Manifest,
    addresses,
    read_manifest,
    require_manifest,
    require_usable,
    write_manifest,
)
from trainables.errors import UserError
from trainables.records import RecordFile
from trainables.storage import Store


@dataclass(frozen=True)
class Merged:
    """What a merge did.

    Args:
        directory: Where the joined sweep is.
        recipes: How many it has.
        seeds: Its subset seeds, one stretch that covers those of both sweeps.
        copied: Replicas that were copied.
        repeated: Replicas left out because their subset seed is there already.
        damaged: Records left out because they cannot be read, a line each.
        differences: Versions that differ between the two sweeps, a line each.
    """

    directory: str
    recipes: int
    seeds: range
    copied: int
    repeated: int
    damaged: tuple[str, ...]
    differences: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return what was merged as JSON values, for ``--json``."""
        seeds = {"first_seed": self.seeds.start, "seeds": len(self.seeds)}
        lists = {"damaged": list(self.damaged), "differences": list(self.differences)}
        return {**vars(self), **seeds, **lists}


def merge(first: Store, second: Store, out: Store) -> Merged:
    """Copy the records of two sweeps into one directory, which goes on as a sweep of its own.

    The manifest is that of ``first`` with the recipes and the subset seeds of both. Of a subset seed that
    both hold, the replica of ``first`` is taken. ``out`` may hold an earlier merge: what it has stays.

    Args:
        first: a sweep directory; only read.
        second: another one; only read.
        out: a new or empty directory, or a sweep of the same context.

    Raises:
        UserError: the contexts differ (says in what), ``out`` is one of the two or holds something else, or
            a living process drives it.
    """
    manifests = {store: require_manifest(store) for store in (first, second)}
    if out in manifests:
        raise UserError(f"--out {out}: is one of the sweeps to merge; expected another directory")
    require_usable(out)
    earlier = read_manifest(out)
    if earlier:
        manifests[out] = earlier
    for store, manifest in manifests.items():
        _require_same_context((first, manifests[first]), (store, manifest))
    with lease.hold(out):
        joined = _joined(list(manifests.values()))
        out.write(SPEC, yaml.safe_dump(joined.spec, sort_keys=False).encode())
        write_manifest(out, joined)  # first, or what an interrupted merge leaves were no sweep
        held = {address.recipe_id: set[int]() for address in addresses(out, joined)}
        for address in addresses(out, joined):
            held[address.recipe_id].update(address.seeds)
        copied, repeated, damaged = 0, 0, []
        for store in (first, second):
            fresh, again, bad = _new(store, manifests[store], held)
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda path, store=store: out.write(path, store.read(path)), fresh))
            copied, repeated = copied + sum(map(len, fresh.values())), repeated + again
            damaged += bad
    versions = (manifests[first].versions, manifests[second].versions)
    return Merged(
        directory=str(out),
        recipes=len(joined.recipes),
        seeds=joined.seed_range,
        copied=copied,
        repeated=repeated,
        damaged=tuple(damaged),
        differences=tuple(_differences(*versions, str(first), str(second))),
    )


def _new(
    store: Store, manifest: Manifest, held: dict[str, set[int]]
) -> tuple[dict[str, set[int]], int, list[str]]:
    """Return the new seeds of each record with any, how many others were there, and what cannot be read.

    Adds to ``held``, the seeds that are there by recipe_id.
    """
    fresh: dict[str, set[int]] = {}
    repeated, damaged = 0, []
    found = list(addresses(store, manifest))
    with ThreadPoolExecutor(16) as pool:
        problems = list(pool.map(lambda address: RecordFile(store, address.path).problem(), found))
    for address, problem in zip(found, problems, strict=True):
        if problem:
            damaged.append(problem)
            continue
        there = held.setdefault(address.recipe_id, set())
        new = set(address.seeds) - there
        repeated += len(address.seeds) - len(new)
        if new:
            fresh[address.path] = new
            there |= new
    return fresh, repeated, damaged


def _require_same_context(one: tuple[Store, Manifest], other: tuple[Store, Manifest]) -> None:
    (store, manifest), (second, found) = one, other
    if manifest.context_id == found.context_id:
        return
    here, there = _flat(manifest.context), _flat(found.context)
    if here.get("fingerprint") == there.get("fingerprint"):  # then paths and names of the data do not matter
        here, there = (
            {k: v for k, v in values.items() if not k.startswith("dataset.")} for values in (here, there)
        )
    differing = list(_differences(here, there, str(store), str(second))) or ["context_id differs"]
    raise UserError(
        f"{store} and {second} are sweeps of two contexts: {'; '.join(differing)}; expected sweeps that "
        "differ in recipes and subset seeds alone"
    )


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, its keys joined by dots."""
    out: dict[str, Any] = {}
    for key, value in values.items():
        out |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return out


def _differences(one: Mapping[str, Any], other: Mapping[str, Any], here: str, there: str) -> Iterator[str]:
    for key in [*one, *(key for key in other if key not in one)]:
        if one.get(key) != other.get(key):
            yield f"{key} is {one.get(key)!r} in {here} and {other.get(key)!r} in {there}"


def _joined(manifests: Sequence[Manifest]) -> Manifest:
    """Give the first manifest the recipes and subset seeds of all; pictures only where all show them."""
    first = manifests[0]
    recipes = {recipe_id: knobs for m in manifests for recipe_id, knobs in m.recipes.items()}
    recipes |= first.recipes
    start = min(m.first_seed for m in manifests)
    seeds = max(m.first_seed + m.seeds for m in manifests) - start
    show = all(m.show_examples for m in manifests)
    spec = {key: value for key, value in first.spec.items() if key not in ("training", "grid", "search")}
    spec = {"name": first.name, "dataset": first.context.get("dataset"), **spec}
    spec["subsets"] = {**spec.get("subsets", {}), "seeds": seeds, "first": start}
    spec["show_examples"] = show
    spec["grid"] = [_entry(knobs) for knobs in recipes.values()]
    return first.model_copy(
        update={
            "recipes": recipes,
            "first_seed": start,
            "seeds": seeds,
            "show_examples": show,
            "spec": spec,
        }
    )


def _entry(knobs: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry of a grid that is this one recipe: lists among ``options`` would be crossed."""
    entry = dict(knobs)
    if isinstance(entry.get("options"), Mapping):
        entry["options"] = {name: [value] for name, value in entry["options"].items()}
    return entry
