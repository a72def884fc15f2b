"""What a sweep will cost and what its replicas can tell, before anything is trained: ``flatleak plan``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil, isfinite, sqrt
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from rich.console import Console

from sweep.cluster import Cluster, connected, require_head
from sweep.runner.audit_time import MEASURED, time_audits
from sweep.runner.launch import load
from sweep.runner.plan import Inventory, cut, guided, take_stock
from sweep.runner.stages import stage
from sweep.runner.timing import Speed, Workload, passes, remembered, settled, time_trial
from sweep.spec.schema import SweepSpec
from trainables.directory import addresses, read_manifest, read_table, require_usable
from trainables.engine.runtime import Runtime
from trainables.errors import UserError
from trainables.labels import labels
from trainables.recipe import Recipe
from trainables.records import FLOAT_SIGNALS, PER_REPLICA, Context
from trainables.storage import Store, as_store

if TYPE_CHECKING:
    import pandas as pd

    from trainables.data.dataset import Dataset

# Half widths of the 95 % interval of LiRA's AUC and TPR at 0.1 % FPR, by the number of replicas: 1.96 times
# the standard deviation over 200 simulated sweeps of 1,000 examples in complementary halves. Margins are
# N(b, 1), of members N(b + s, 1); b ~ N(0, 1) and s ~ Exp(mean 0.5) are drawn once, by numpy's
# default_rng(0), and the attack is `analysis.attacks.lira` with variance="auto". Its mean AUC is 0.61 with
# 16 replicas and 0.64 with 128, its mean TPR 0.021 to 0.029. Other data, leaks and numbers of examples give
# other widths.
SIMULATED = {
    16: (0.0109, 0.0068),
    32: (0.0066, 0.0054),
    64: (0.0045, 0.0043),
    128: (0.0032, 0.0032),
}


@dataclass(frozen=True)
class RecipePlan:
    """One recipe: its replicas that are there and missing, and the seconds of one; None where unknown."""

    recipe_id: str
    label: str
    there: int
    missing: int
    seconds: float | None


@dataclass(frozen=True)
class Precision:
    """Half widths of the 95 % intervals that so many replicas give, and where each comes from."""

    replicas: int
    auc: float
    auc_from: str
    tpr_at_01pct: float
    tpr_from: str


@dataclass(frozen=True)
class Estimate:
    """What `estimate` found. What is not known is None.

    Args:
        directory: The sweep directory.
        recipes: A line each.
        measured: Where the seconds come from, or why they are unknown.
        slots: Trials that run at once now.
        wall_seconds: To train what is missing on these slots.
        gpus: The number that was asked about.
        gpus_seconds: To train it on that many GPUs like those that were timed.
        unit: What ``hours`` and ``price`` count: ``GPU``, or ``core`` where trials ask for no GPU.
        hours: Of that unit.
        price: Of one hour.
        money: ``hours`` at this price.
        bytes_there: Of the records that are there.
        bytes_missing: Of those to come.
        precision: What replicas can tell, by their number.
        trial_bytes: The most memory that the timed trial took, of its GPU, else of the host.
        audit_seconds: To audit the whole sweep once nothing is missing.
        audit_measured: Where that comes from.
        notes: What is not counted.
    """

    directory: str
    recipes: tuple[RecipePlan, ...]
    measured: str
    slots: int | None
    wall_seconds: float | None
    gpus: int | None
    gpus_seconds: float | None
    unit: str
    hours: float | None
    price: float | None
    money: float | None
    bytes_there: int
    bytes_missing: int
    precision: tuple[Precision, ...]
    trial_bytes: int | None
    audit_seconds: float | None
    audit_measured: str | None
    notes: tuple[str, ...]

    @property
    def there(self) -> int:
        """Replicas that are recorded already."""
        return sum(recipe.there for recipe in self.recipes)

    @property
    def missing(self) -> int:
        """Replicas still to train."""
        return sum(recipe.missing for recipe in self.recipes)

    def to_json(self) -> dict[str, Any]:
        """Return the estimate as JSON values, for ``--json``."""
        return {**asdict(self), "there": self.there, "missing": self.missing}


def estimate(
    spec: SweepSpec,
    out: str | Path | Store | None = None,
    *,
    address: str | None = None,
    gpus: int | None = None,
    price: float | None = None,
    console: Console | None = None,
) -> Estimate:
    """Estimates what is missing of a sweep; trains nothing, and writes nothing to the sweep directory.

    Seconds are those that an earlier run measured. Where there are none, a few steps are timed on the
    cluster, as a run does first; where no trial fits there, they stay unknown.

    Args:
        spec: what to sweep.
        out: the sweep directory, a path or URI; ``runs/<name>`` by default.
        address: as for `sweep.run`.
        gpus: a number of GPUs to estimate the wall time on as well.
        price: of a GPU for an hour; of a core where trials ask for no GPU.
        console: where progress goes; standard error by default.

    Raises:
        UserError: a mistake in the spec, no cluster at the address, an unusable directory, or ``gpus`` on
            which no trial fits.
        RunError: the timing failed.
    """
    require_head(address)
    from trainables.engine.checks import check

    console = console or Console(stderr=True)
    store = as_store(out if out is not None else Path("runs") / spec.name)
    require_usable(store)
    demand = spec.resources.demand
    gpu_slots = _slots_of(gpus, demand)
    dataset = load(spec, None, console)
    with stage(None, console, f"trying model {spec.model['name']}"):
        check([*spec.recipes, *spec.corners], dataset, spec.model, spec.subsets.rule, spec.queries)
    context = spec.context(dataset.fingerprint)
    by_id = {recipe.recipe_id: recipe for recipe in spec.recipes}
    stock = take_stock(store, list(by_id), context.context_id, spec.subsets.range, repair=False)
    speed = remembered(read_manifest(store), context.context_id)
    slots, measured, audit = None, _source(speed), None
    if stock.missing:
        with connected(address) as cluster:
            slots = cluster.slots(demand) if cluster.most_on_a_node(demand) else None
            if not (speed and speed.seconds_per_pass):
                speed, measured = _timed(spec, stock, by_id, context, dataset, cluster, speed, console)
            audit = _audit_seconds(spec, len(dataset.y_train), cluster.slots({"cpu": 1.0}), console)
    known = bool(speed and speed.seconds_per_pass)
    seconds = {i: speed.replica(r) if speed else passes(r) for i, r in by_id.items()}
    missing = dict(zip(stock.recipe_ids, (~stock.done).sum(axis=1).tolist(), strict=True))
    total = sum(seconds[i] * count for i, count in missing.items())
    longest = max((seconds[i] for i, count in missing.items() if count), default=0.0)
    names = labels(recipe.knobs for recipe in spec.recipes)
    unit, share = ("GPU", demand["gpu"]) if "gpu" in demand else ("core", demand["cpu"])
    hours = total * share / 3600 if known else None
    return Estimate(
        directory=str(store),
        recipes=tuple(
            RecipePlan(i, name, len(stock.seeds) - missing[i], missing[i], seconds[i] if known else None)
            for i, name in zip(by_id, names, strict=True)
        ),
        measured=measured,
        slots=slots,
        wall_seconds=max(total / slots, longest) if known and slots else None,
        gpus=gpus,
        gpus_seconds=max(total / gpu_slots, longest) if known and gpu_slots else None,
        unit=unit,
        hours=hours,
        price=price,
        money=hours * price if hours is not None and price is not None else None,
        bytes_there=_bytes_there(store, by_id, context.context_id),
        bytes_missing=_bytes_missing(spec, stock, by_id, dataset, speed, slots),
        precision=precision(store, context.context_id),
        trial_bytes=int(speed.device["trial_gib"] * 2**30) if speed and "trial_gib" in speed.device else None,
        audit_seconds=audit,
        audit_measured=MEASURED if audit is not None else None,
        notes=("what the search trains is not counted",) if spec.search else (),
    )


def _audit_seconds(spec: SweepSpec, examples: int, cores: int, console: Console) -> float:
    """Return seconds to audit all recipes, on so many cores like the one here."""
    options = spec.audit.model_dump(mode="json", exclude={"reference", "claims"})
    with stage(None, console, "timing small audits"):
        found = time_audits(options)
    return found.of_sweep(len(spec.recipes), spec.subsets.seeds, examples, cores)


def _slots_of(gpus: int | None, demand: Mapping[str, float]) -> int | None:
    """Return how many trials run at once on so many GPUs."""
    if gpus is None:
        return None
    if "gpu" not in demand:
        raise UserError(
            f"--gpus {gpus}: the trials of this spec ask for no GPU; expected one that does, "
            "as with --set resources.gpu=auto"
        )
    slots = int(gpus / demand["gpu"] + 1e-9)
    if not slots:
        raise UserError(f"--gpus {gpus}: a trial asks for {demand['gpu']:g}; expected at least as many")
    return slots


def _source(speed: Speed | None) -> str:
    if speed is None or not speed.seconds_per_pass:
        return "unknown: nothing was timed yet"
    return f"as an earlier run measured{_on(speed)}"


def _on(speed: Speed) -> str:
    return f" on {speed.device['gpu']}" if speed.device.get("gpu") else ""


def _timed(
    spec: SweepSpec,
    stock: Inventory,
    by_id: Mapping[str, Recipe],
    context: Context,
    dataset: Dataset,
    cluster: Cluster,
    known: Speed | None,
    console: Console,
) -> tuple[Speed | None, str]:
    """Return what a few steps of the longest recipe take, and how that was found."""
    import ray

    demand = spec.resources.demand
    if not cluster.most_on_a_node(demand):
        needed = ", ".join(f"{name} {amount:g}" for name, amount in demand.items())
        return known, f"unknown: no node has what a trial asks for ({needed}); --address names a cluster"
    longest = max(by_id.values(), key=passes)
    threads = max(1, int(spec.resources.cpu))
    runtime = Runtime("cuda" if "gpu" in demand else "cpu", spec.stack, spec.compile, threads)
    work = Workload(longest, context, ray.put(dataset), settled(runtime, known), _as_longest(stock, by_id))
    with stage(None, console, f"timing a few steps of {longest.label}"):
        found, device = time_trial(work, demand, cluster)
    speed = Speed(found.stack, found.seconds_per_replica / passes(longest), found.compile, device)
    return speed, f"by a few steps timed now{_on(speed)}"


def _as_longest(stock: Inventory, by_id: Mapping[str, Recipe]) -> int:
    """Return the missing replicas, counted in passes of the longest recipe."""
    missing = zip(stock.recipe_ids, (~stock.done).sum(axis=1), strict=True)
    work = sum(passes(by_id[recipe_id]) * int(count) for recipe_id, count in missing)
    return ceil(work / max(map(passes, by_id.values())))


def _bytes_there(store: Store, recipe_ids: Mapping[str, Any], context_id: str) -> int:
    wanted = {a.path for a in addresses(store) if a.recipe_id in recipe_ids and a.context_id == context_id}
    return sum(entry.size for entry in store.list("records") if entry.path in wanted)


def _bytes_missing(
    spec: SweepSpec,
    stock: Inventory,
    by_id: Mapping[str, Recipe],
    dataset: Dataset,
    speed: Speed | None,
    slots: int | None,
) -> int:
    """Return the bytes of the records that the missing replicas will be cut into."""
    seconds = {i: speed.replica(recipe) if speed else passes(recipe) for i, recipe in by_id.items()}
    fixed = spec.block
    guess = guided(slots or 1, speed.stack if speed else 1, seconds)
    size = guess if fixed == "auto" else lambda *_: fixed
    blocks = cut(stock, {i: r.knobs for i, r in by_id.items()}, "", size=size, seconds=seconds)
    sizes = (len(dataset.y_train), len(dataset.y_test))
    canaries = len(dataset.canaries)
    return sum(
        record_bytes(len(b), *sizes, spec.queries, canaries=canaries, curvature=bool(spec.curvature))
        for b in blocks
    )


def record_bytes(
    replicas: int, n_train: int, n_test: int, queries: int, *, canaries: int = 0, curvature: bool = False
) -> int:
    """Size of a record by the shapes of its arrays; see `trainables.records` for them.

    Args:
        replicas: K.
        n_train: training examples.
        n_test: test examples.
        queries: Q.
        canaries: how many.
        curvature: whether it holds input-loss curvature.
    """
    arrays = 10 + 2 * (1 + len(FLOAT_SIGNALS)) + len(PER_REPLICA) + curvature
    header = 128 + 2 * 30 + 46 + 50  # of .npy, and of its entries in the archive, with the name twice
    texts = 4 * 700  # recipe and context, four bytes a letter
    a_replica = ceil(n_train / 8) + 8 * (1 + len(PER_REPLICA)) + 4 * queries * n_train * curvature
    a_replica += sum(queries * (ceil(n / 8) + 4 * len(FLOAT_SIGNALS) * n) for n in (n_train, n_test))
    return replicas * a_replica + 4 * (n_train + n_test + canaries) + arrays * header + texts


def precision(store: Store, context_id: str) -> tuple[Precision, ...]:
    """Say what 16, 32, 64 and 128 replicas can tell about LiRA's AUC and its TPR at 0.1 % FPR.

    The median half width of the sweep's own intervals, times sqrt(replicas now / replicas), where it was
    audited in this context; else that of simulated sweeps.
    """
    table = _audited(store, context_id)
    return tuple(
        Precision(
            n, *_half_width(table, "lira_auc", n, auc), *_half_width(table, "lira_tpr_at_0.1pct", n, tpr)
        )
        for n, (auc, tpr) in SIMULATED.items()
    )


def _audited(store: Store, context_id: str) -> pd.DataFrame | None:
    manifest = read_manifest(store)
    if manifest is None or manifest.context_id != context_id:
        return None
    try:
        return read_table(store, "recipes")
    except FileNotFoundError:
        return None


def _half_width(table: pd.DataFrame | None, name: str, replicas: int, simulated: float) -> tuple[float, str]:
    ends = [f"{name}_low", f"{name}_high"]
    if table is not None and {*ends, "replicas"} <= set(table):
        found: Sequence[float] = ((table[ends[1]] - table[ends[0]]) / 2 * table["replicas"] ** 0.5).tolist()
        found = [value for value in found if isfinite(value)]
        if found:
            return median(found) / sqrt(replicas), "results"
    return simulated, "simulation"
