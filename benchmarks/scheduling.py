"""What scheduling costs, and what blocks gain over the naive sweep of one replica a Tune trial.

    python benchmarks/scheduling.py [plan] [overhead] [ideal] [naive]

``plan``: 20 recipes x 4,000 seeds, half the records present: seconds and memory to see what is missing.
``overhead``: wall seconds that one more trial costs, trials so short that it is nearly all scheduling.
``ideal``: wall time of trials of about 5 s over that of a schedule without any gap or overhead.
``naive``: the whole sweep ``digits`` beside Tune's defaults with one replica a trial, a plain PyTorch
loop in each, extrapolated from 40 such trials.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from sweep import SweepSpec, run
from sweep.runner.plan import cut, guided, take_stock
from sweep.runner.timing import passes
from sweep.runner.trainer import Trainer
from trainables.records import (
    PER_REPLICA,
    Address,
    Context,
    Record,
    RecordFile,
    Signals,
    content_id,
    write_record,
)
from trainables.storage import Store

TINY = {
    "name": "tiny",
    "dataset": {"name": "digits", "train_size": 100, "test_size": 50},
    "model": {"name": "mlp", "hidden": [8]},
    "grid": [{"optimizer": "sgd"}],
    "training": {"epochs": 1},
    "block": 2,
    "stack": 2,
}


def plan() -> None:
    """Plan without torch, which alone makes a process of 0.5 GB: planning can be seen beside it."""
    knobs = [{"optimizer": "sam", "rho": 0.01 * i} for i in range(1, 21)]
    recipes = {content_id(k): k for k in knobs}
    context = Context(dataset={"name": "d"}, fingerprint="f", model={"name": "mlp"})
    with tempfile.TemporaryDirectory() as folder:
        store = Store.at(folder)
        for recipe_id in recipes:
            for first in range(0, 4000, 64):
                seeds = range(first, first + 32)
                address = Address(recipe_id, context.context_id, seeds[0], seeds[-1])
                write_record(store, address, _small(recipes[recipe_id], context, seeds))
        seconds = dict.fromkeys(recipes, 0.5)
        start, before = time.perf_counter(), _megabytes()
        stock = take_stock(store, list(recipes), context.context_id, range(4000))
        blocks = cut(stock, recipes, context.context_id, size=guided(64, 16, seconds), seconds=seconds)
        took = time.perf_counter() - start
    print(f"plan: 20 x 4,000, {stock.missing} missing, {len(blocks)} blocks: {took:.2f} s")
    beside = "with" if "torch" in sys.modules else "without"
    whole = _megabytes()
    print(f"      {whole:.0f} MB at its peak {beside} torch, {whole - before:.0f} MB of them for the plan")


def _small(knobs: dict[str, Any], context: Context, seeds: range) -> Record:
    k = len(seeds)
    one = np.zeros((k, 1, 2), np.float32)
    signals = Signals(one > 0, one, one, one, one)
    labels = np.zeros(2, np.int32)
    rest = {name: np.zeros(k) for name in PER_REPLICA}
    nobody = np.zeros((k, 2), bool)
    return Record(knobs, context, np.array(seeds), nobody, labels, labels, signals, signals, **rest)


def overhead() -> None:
    """Print what one more trial costs in wall time."""
    short, long = (_timed({**TINY, "subsets": {"seeds": seeds}}) for seeds in (80, 400))
    trials = long.trials - short.trials
    wall, trained = long.fit - short.fit, long.trained - short.trained
    print(
        f"overhead: {trials} more trials on {long.slots} slots: {wall:.1f} s, {trained:.1f} s of training: "
        f"{(wall - trained / long.slots) / trials:.3f} s of wall time a trial"
    )


def ideal(seconds: float = 5.0) -> None:
    """Print how close a sweep comes to its training time divided by the slots."""
    block, probe = 4, 40
    changes = {"dataset": "digits", "model": {"name": "mlp", "hidden": [64]}, "block": block, "stack": block}
    short = _timed({**TINY, **changes, "training": {"epochs": probe}, "subsets": {"seeds": 8 * block}})
    epochs = round(probe * seconds / (short.trained / short.trials))
    spec = {**TINY, **changes, "training": {"epochs": epochs}, "subsets": {"seeds": 32 * block}}
    whole = _timed(spec)
    best = whole.trained / whole.slots
    print(
        f"ideal: {whole.trials} trials of {whole.trained / whole.trials:.1f} s on {whole.slots} slots: "
        f"{whole.fit:.1f} s, a schedule without gaps {best:.1f} s: {100 * (whole.fit / best - 1):.0f} % more"
    )


class Timed(NamedTuple):
    """Wall seconds of Tune's run and seconds of training in it."""

    fit: float
    trained: float
    slots: int
    trials: int


def _timed(spec: dict[str, Any]) -> Timed:
    seen: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, _timing_fits(seen):
        run(SweepSpec.of(spec), folder, analyse=False)
        store = Store.at(folder)
        records = [RecordFile(store, entry.path) for entry in store.list("records")]
        trained = sum(float(record["seconds"].sum()) for record in records)
    return Timed(seen["fit"], trained, int(seen["slots"]), len(records))


@contextmanager
def _timing_fits(seen: dict[str, float]) -> Iterator[None]:
    original = Trainer._fit

    def fit(self: Trainer, *arguments: Any) -> Any:
        start = time.perf_counter()
        try:
            return original(self, *arguments)
        finally:
            seen["fit"] = time.perf_counter() - start
            seen["slots"] = self._cluster.slots(self.spec.resources.demand) if self._cluster else 1

    Trainer._fit = fit  # type: ignore[method-assign]
    try:
        yield
    finally:
        Trainer._fit = original  # type: ignore[method-assign]


def naive(trials: int = 40) -> None:
    """Print the time of a sweep beside one Tune trial a replica."""
    from ray import tune

    from sweep.cluster import connected
    from trainables.data.dataset import load_dataset

    spec = SweepSpec.load("digits")
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        outcome = run(spec, folder, analyse=False)
        ours = time.perf_counter() - start
    replicas = outcome.trained.replicas
    chosen = [spec.recipes[i % len(spec.recipes)] for i in range(trials)]
    configs = [{**r.knobs, "passes": passes(r) // r.epochs, "seed": i} for i, r in enumerate(chosen)]
    data = load_dataset(spec.dataset)
    arrays = (data.x_train, data.y_train, data.x_test, data.y_test)
    with connected(None), tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        tune.Tuner(
            tune.with_resources(tune.with_parameters(_plain, data=arrays), {"cpu": 1}),
            param_space={"replica": tune.grid_search(configs)},
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        ).fit()
        wall = time.perf_counter() - start
    whole = wall / trials * replicas
    print(
        f"naive: {trials} trials of one replica took {wall:.0f} s, {replicas} make {whole / 60:.1f} min; "
        f"flatleak took {ours / 60:.1f} min, Ray's start included: {whole / ours:.0f}x"
    )


def _plain(config: dict[str, Any], data: Any) -> None:
    """Return one replica as a user would write it: modules, autograd, one batch at a time."""
    import torch
    from ray import tune
    from torch import nn

    config = config["replica"]
    torch.set_num_threads(1)
    torch.manual_seed(config["seed"])
    x, y, x_test, y_test = (torch.as_tensor(np.array(array)) for array in data)
    x, x_test, y, y_test = x.float().flatten(1), x_test.float().flatten(1), y.long(), y_test.long()
    mine = torch.randperm(len(x))[: len(x) // 2]
    model = nn.Sequential(
        nn.Linear(x.shape[1], 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=config["lr"], momentum=0.9, weight_decay=5e-4)
    for _ in range(config["epochs"]):
        for batch in mine[torch.randperm(len(mine))].split(config["batch_size"]):
            for last in range(config["passes"], 0, -1):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
                if last > 1:
                    _climb(list(model.parameters()), config.get("rho", 0.0))
            optimizer.step()
    with torch.no_grad():
        tune.report({"accuracy": float((model(x_test).argmax(1) == y_test).float().mean())})


def _climb(parameters: list[Any], rho: float) -> None:
    """SAM's step uphill; the way back is left out, which only favours the naive sweep."""
    import torch

    with torch.no_grad():
        norm = torch.stack([p.grad.norm() for p in parameters]).norm()
        for p in parameters:
            p.add_(p.grad * (rho / (norm + 1e-12)))


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parts = {f.__name__: f for f in (plan, overhead, ideal, naive)}
    for part in sys.argv[1:] or parts:
        parts[part]()
