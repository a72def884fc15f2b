"""``flatleak status``: what a sweep directory holds and what happens to it now, without Ray."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from sweep.runner import lease
from trainables.checked import FIGURES, Checked
from trainables.directory import (
    FAILURES,
    NO_MANIFEST,
    REPORT,
    SPEC,
    Manifest,
    addressed,
    addresses,
    failure_path,
    read_manifest,
    require_manifest,
)
from trainables.labels import labels
from trainables.pace import PACE, pace
from trainables.phase import RUNNING, Phase, read_phase
from trainables.records import Address, RecordError, RecordFile
from trainables.storage import Entry, Store

SAMPLE = 8  # records a recipe that are read for their figures, of those not checked yet, and at most
SAMPLES = 64  # of all recipes: more would make a large sweep on an object store slow
REFRESH = 2.0  # seconds between looks with --watch


@dataclass(frozen=True)
class RecipeStatus:
    """Replicas of one recipe by state, and means over its latest records; None before there is any."""

    recipe_id: str
    label: str
    done: int
    running: int
    failed: int
    missing: int
    test_accuracy: float | None
    train_accuracy: float | None
    final_loss: float | None


@dataclass(frozen=True)
class Failure:
    """A block that was given up: why, and where its record and its log lie."""

    block: str
    seeds: int
    attempts: int
    error: str
    file: str
    log: str


@dataclass(frozen=True)
class Status:
    """A sweep at one moment. ``rate`` (replicas a second) and ``time_left`` (seconds) while it is driven."""

    name: str
    directory: str
    seeds: int
    recipes: tuple[RecipeStatus, ...]
    failures: tuple[Failure, ...]
    driver: str | None
    rate: float | None
    time_left: float | None
    phase: Phase
    pace: dict[str, Any] = field(default_factory=dict)

    @property
    def done(self) -> int:
        """Replicas that are recorded."""
        return sum(recipe.done for recipe in self.recipes)

    @property
    def total(self) -> int:
        """Replicas that the sweep asks for."""
        return self.seeds * len(self.recipes)

    def to_json(self) -> dict[str, Any]:
        """Return the status as JSON values, for ``--json``."""
        return {**asdict(self), "phase": self.phase.model_dump(), "done": self.done, "total": self.total}


def status(store: Store) -> Status:
    """Look at a sweep directory, also at one whose first run only starts.

    Args:
        store: The sweep directory.

    Returns:
        Replicas by recipe, the phase and who drives it.

    Raises:
        UserError: it is not a sweep directory.
    """
    driver, noted = lease.driver(store), read_phase(store)
    if driver and not driver.alive(store):
        driver = None
    manifest = read_manifest(store) or (NO_MANIFEST if driver or noted else require_manifest(store))
    wanted = manifest.seed_range
    checked, records = Checked(store), _records(store, manifest)
    done = {recipe_id: _seeds((a for a, _ in found), wanted) for recipe_id, found in records.items()}
    all_there = all(len(seeds) == len(wanted) for seeds in done.values())
    figures: dict[str, Any] = driver.figures if driver else {}
    running = {recipe_id: now["running"] for recipe_id, now in figures.get("recipes", {}).items()}
    failures, failed = _failures(store, manifest, done, wanted)
    rows = []
    with ThreadPoolExecutor(8) as pool:
        sample = max(1, min(SAMPLE, SAMPLES // max(1, len(records))))
        means = pool.map(lambda found: _means(store, checked, found, sample), records.values())
        names = labels(manifest.recipes.values())
        for recipe_id, label, mean in zip(records, names, means, strict=True):
            have, lost = len(done[recipe_id]), len(failed[recipe_id])
            now = min(running.get(recipe_id, 0), len(wanted) - have - lost)
            rows.append(
                RecipeStatus(recipe_id, label, have, now, lost, len(wanted) - have - lost - now, **mean)
            )
    return Status(
        manifest.name,
        str(store),
        len(wanted),
        tuple(rows),
        failures,
        str(driver) if driver else None,
        figures.get("rate"),
        figures.get("time_left"),
        _phase(store, noted, driver, all_there),
        {key: figures[key] for key in PACE if key in figures},
    )


def _phase(store: Store, noted: Phase | None, driver: lease.Driver | None, all_there: bool) -> Phase:
    """Return the phase that was noted, where that still holds."""
    if driver:
        if noted and noted.name in RUNNING:
            return noted
        return Phase(name="training" if driver.figures else "starting")
    if noted and noted.name in RUNNING:  # whoever noted it is gone
        return noted.model_copy(update={"name": "crashed", "detail": f"while {noted.name}"})
    if noted and (noted.name in ("stopped", "failed") or all_there):
        return noted
    if not all_there:
        return Phase(name="incomplete", address=noted and noted.address)
    return Phase(name="complete" if store.exists(REPORT) else "trained")


def _records(store: Store, manifest: Manifest) -> dict[str, list[tuple[Address, Entry]]]:
    """Return the records of each recipe in the manifest's context."""
    found: dict[str, list[tuple[Address, Entry]]] = {recipe_id: [] for recipe_id in manifest.recipes}
    for address, entry in addressed(store, manifest):
        found[address.recipe_id].append((address, entry))
    return found


def _seeds(addresses: Iterable[Address], wanted: range) -> set[int]:
    return {seed for address in addresses for seed in address.seeds if seed in wanted}


def _means(
    store: Store, checked: Checked, records: list[tuple[Address, Entry]], sample: int
) -> dict[str, float | None]:
    """Means over the records that were checked, and over a few others, evenly spread over the seeds."""
    known = [(address, checked.sums(entry)) for address, entry in records if entry in checked]
    others = sorted((r for r in records if r[1] not in checked), key=lambda r: r[0].first)
    spread = others[:: max(1, -(-len(others) // sample))]
    total: dict[str, float] = defaultdict(float)
    replicas = 0
    for address, sums in [*known, *((address, _sums(store, entry)) for address, entry in spread)]:
        if sums is None:  # the next run sets it aside; a look changes nothing
            continue
        replicas += len(address.seeds)
        for name, value in sums.items():
            total[name] += value
    return {name: total[name] / replicas if replicas else None for name in FIGURES}


@lru_cache(maxsize=4096)
def _sums(store: Store, entry: Entry) -> dict[str, float] | None:
    """Of a record's replicas, None of a bad record; with ``--watch`` each is read once."""
    record = RecordFile(store, entry.path)
    try:
        return {name: float(record[name].sum()) for name in FIGURES}
    except (RecordError, FileNotFoundError):
        return None


def _failures(
    store: Store, manifest: Manifest, done: dict[str, set[int]], wanted: range
) -> tuple[tuple[Failure, ...], dict[str, set[int]]]:
    """Return blocks given up, and their seeds by recipe, where no record has come since."""
    failures = []
    seeds: dict[str, set[int]] = {recipe_id: set() for recipe_id in done}
    for address in addresses(store, manifest, folder=FAILURES, suffix=".json"):
        file = failure_path(address)
        lost = _seeds([address], wanted) - done[address.recipe_id]
        try:
            about = json.loads(store.read(file))
        except (FileNotFoundError, ValueError):
            continue
        if lost and about["given_up"]:
            seeds[address.recipe_id] |= lost
            failures.append(
                Failure(about["block"], len(lost), about["attempts"], about["error"], file, about["log"])
            )
    return tuple(failures), seeds


def show(console: Console, store: Store, *, watch: bool = False) -> Status:
    """Print the table; with ``watch``, keep it fresh until nobody drives the sweep, its report included."""
    now = status(store)
    if not watch:
        for part in _parts(now, console):  # text is left to the terminal to wrap: a path can then be copied
            console.print(part, soft_wrap=isinstance(part, str))
        return now
    with Live(Group(*_parts(now, console)), console=console, auto_refresh=False) as live:
        while now.driver:
            time.sleep(REFRESH)
            now = status(store)
            live.update(Group(*_parts(now, console)), refresh=True)
    return now


def _parts(now: Status, console: Console) -> list[Table | str]:
    words = ", ".join(pace(now.pace))
    parts: list[Table | str] = [_headline(now), *([escape(words)] if words else []), _fitting(now, console)]
    for failure in now.failures:
        parts.append(
            f"[red]given up:[/] {escape(failure.block)} after {failure.attempts} attempts: "
            f"{escape(failure.error)}\n"
            f"  traceback: {escape(now.directory)}/{failure.file}\n"
            f"  log: {escape(failure.log)}"
        )
    return parts


COLUMNS: dict[str, Callable[[RecipeStatus], str]] = {  # those that are needed least come last
    "done": lambda r: str(r.done),
    "running": lambda r: str(r.running),
    "failed": lambda r: f"[red]{r.failed}[/]" if r.failed else "0",
    "missing": lambda r: str(r.missing),
    "test %": lambda r: _percent(r.test_accuracy),
    "train %": lambda r: _percent(r.train_accuracy),
    "loss": lambda r: _number(r.final_loss),
}
KEPT = 5  # columns at any width


def _fitting(now: Status, console: Console) -> Table:
    """As many columns as the console has room for; where even the kept ones have none, recipes wrap."""
    names = list(COLUMNS)
    unbounded = console.options.update(max_width=10_000)
    while (
        len(names) > KEPT and Measurement.get(console, unbounded, _table(now, names)).maximum > console.width
    ):
        names.pop()
    return _table(now, names)


def _table(now: Status, names: Iterable[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("recipe")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for r in now.recipes:
        table.add_row(escape(r.label), *(COLUMNS[name](r) for name in names))
    return table


def _headline(now: Status) -> str:
    line = f"[bold]{escape(now.name)}[/] {now.done}/{now.total} replicas, {escape(str(now.phase))}"
    if not now.recipes:  # nothing is known of it yet
        line = f"[bold]{escape(now.directory)}[/] {escape(str(now.phase))}"
    if now.driver:
        training = now.phase.name in ("training", "waiting")
        speed = f", {now.rate:.2g} replicas/s" if training and now.rate else ""
        known = now.time_left is not None and (training or now.phase.name == "auditing")
        left = f", {lease.age(now.time_left or 0.0)} left" if known else ""
        return f"{line}{speed}{left}; driven by {now.driver}"
    if now.phase.name == "complete":
        return line
    spec = f"{now.directory}/{SPEC}" if now.recipes and "://" not in now.directory else "SPEC"
    address = f" --address {now.phase.address}" if now.phase.address else ""
    command = f"flatleak run {spec} --out {now.directory}{address}"
    return f"{line}; nobody drives it, go on with `{escape(command)}`"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
