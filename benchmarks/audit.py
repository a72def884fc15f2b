"""The audit's speed and memory, beside the formulas written out plainly. Equal results are asserted.

    python benchmarks/audit.py                    # LiRA, RMIA and thresholds
    python benchmarks/audit.py --whole 2          # and a whole audit of 2 recipes of 256 x 60,000
    python benchmarks/audit.py --feldman          # 20 recipes x 4,000 seeds x 60,000, from correctness alone

The figures depend on what else the machine does; each is the best of a few runs.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from plotly.graph_objects import Figure
from scipy.special import log_ndtr

from analysis.attacks.registry import lira, rmia, threshold
from analysis.audit.jobs import Job
from analysis.audit.sweep_audit import Results, audit_sweep
from analysis.ensemble import Block, Ensemble
from analysis.report.figures import FIGURES
from analysis.report.figures.panel import SLOTS, THEMES, paint
from analysis.results import Tables
from sweep.runner.plan import cut, guided, take_stock
from trainables.data.subsets import Subsets, draw_members
from trainables.directory import NO_MANIFEST
from trainables.records import PER_REPLICA, Address, Context, Record, Signals, content_id, write_record
from trainables.storage import Store

REPLICAS, EXAMPLES, POPULATION, CLASSES = 256, 20_000, 10_000, 10
VARIANTS = [(online, variance) for online in (True, False) for variance in ("per_example", "pooled")]

Array = NDArray[Any]


def best(work: Callable[[], Any], runs: int = 3) -> tuple[float, Any]:
    """Least seconds of a few runs, and the result."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
    return min(times), result


def plain_lira(margin: Array, members: Array, target: int, online: bool, variance: str) -> Array:
    """Return one target: masked mean and deviation over the shadows."""
    shadows = np.arange(len(margin)) != target
    x, mask = margin[shadows].astype(np.float64), members[shadows]
    centre, spread = [], []
    for side in (~mask, mask):
        mean = np.mean(x, axis=0, where=side)
        centre.append(mean)
        if variance == "pooled":
            spread.append(np.sqrt(np.mean((x - mean) ** 2, where=side)))
        else:
            spread.append(np.std(x, axis=0, where=side))
    z = [(margin[target] - c) / s for c, s in zip(centre, spread, strict=True)]
    if not online:
        return log_ndtr(z[0])
    return (z[0] ** 2 - z[1] ** 2) / 2 + np.log(spread[0] / spread[1])


def plain_rmia(p: Array, members: Array, population: Array, target: int) -> Array:
    """Return one target, online: every pair of an example and a population point."""
    shadows = np.arange(len(p)) != target
    mask = members[shadows]
    sides = [np.mean(p[shadows], axis=0, dtype=np.float64, where=side) for side in (mask, ~mask)]
    ratio_x = p[target] / (sum(sides) / 2)
    ratio_z = population[target] / population[shadows].mean(axis=0, dtype=np.float64)
    return (ratio_x[:, None] / ratio_z[None, :] > 1).mean(axis=1)


def plain_threshold(signal: Array, members: Array, labels: Array, target: int) -> Array:
    """Judge one target: sort each class of the other replicas and try every threshold."""
    others = np.arange(len(signal)) != target
    scores = np.empty(signal.shape[1])
    for label in np.unique(labels):
        column = labels == label
        values, truth = (
            signal[others][:, column].ravel().astype(np.float64),
            members[others][:, column].ravel(),
        )
        order = np.argsort(-values)
        values, truth = values[order], truth[order]
        gain = truth.cumsum() / truth.sum() - (~truth).cumsum() / (~truth).sum()
        cut = int(np.argmax(np.where(np.append(values[1:] < values[:-1], True), gain, -1)))
        scores[column] = signal[target, column] - (values[cut] + values[cut + 1]) / 2
    return scores


def attacks() -> None:
    """Time LiRA's variants against a plain loop."""
    rng = np.random.default_rng(0)
    members = draw_members(Subsets(), range(REPLICAS), EXAMPLES)
    margin = (rng.normal(size=members.shape) * 3 + members).astype(np.float32)

    def ours() -> list[Array]:
        return [lira(margin, members, online=o, variance=v) for o, v in VARIANTS]  # type: ignore[arg-type]

    def plain() -> list[Array]:
        return [plain_lira(margin, members, 0, o, v) for o, v in VARIANTS]

    one, expected = best(plain)
    every, found = best(ours)
    for have, want in zip(found, expected, strict=True):
        np.testing.assert_allclose(have[0], want, rtol=1e-6, atol=1e-8)
    print(f"LiRA, 4 variants, {REPLICAS} x {EXAMPLES}: one target plainly {one:.2f} s; ", end="")
    print(f"all targets {every:.2f} s = {every / one:.1f} times one")

    p, z = 1 / (1 + np.exp(-margin)), rng.beta(3, 1, (REPLICAS, POPULATION)).astype(np.float32)
    few = EXAMPLES // 10
    tenth, want = best(lambda: plain_rmia(p[:, :few], members[:, :few], z, 0), runs=1)
    every, have = best(lambda: rmia(p, members, z), runs=1)
    np.testing.assert_allclose(have[0, :few], want, atol=1e-9)
    print(
        f"RMIA, {EXAMPLES} x {POPULATION}: one target, a tenth of the examples plainly {tenth:.2f} s; ",
        end="",
    )
    print(f"all {REPLICAS} targets {every:.2f} s, no n x m array")

    labels = rng.integers(0, CLASSES, EXAMPLES)
    one, want = best(lambda: plain_threshold(margin, members, labels, 0), runs=1)
    every, have = best(lambda: threshold(margin, members, labels), runs=1)
    np.testing.assert_allclose(have[0], want, atol=1e-9)
    print(
        f"thresholds, {CLASSES} classes: one target plainly {one:.2f} s; all {REPLICAS} targets {every:.2f} s"
    )


def whole(recipes: int, examples: int = 60_000) -> None:
    """Audit a sweep of made-up signals from its directory, as the command does."""
    seeds, block = range(REPLICAS), 32
    labels = np.random.default_rng(0).integers(0, CLASSES, examples)
    labels_test = labels[:POPULATION]
    context = Context(dataset={"name": "made up"}, fingerprint="0", model={"name": "none"})
    with tempfile.TemporaryDirectory() as folder:
        store = Store.at(folder)
        for recipe in range(recipes):
            knobs = {"optimizer": "sgd", "lr": 0.1 + recipe}
            for first in seeds[::block]:
                part = seeds[first : first + block]
                members = draw_members(Subsets(), part, examples)
                record = _made_up(knobs, context, part, members, labels, labels_test)
                write_record(store, Address(content_id(knobs), context.context_id, part[0], part[-1]), record)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        start, busy = time.perf_counter(), time.process_time()
        audit_sweep(store)
        seconds, busy = time.perf_counter() - start, time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    scores = np.random.default_rng(0).random(REPLICAS * examples, np.float32)
    sorts, _ = best(lambda: [np.sort(scores) for _ in range(12)], runs=2)
    print(
        f"whole audit, {recipes} recipes x {REPLICAS} replicas x {examples} + {POPULATION} examples: ", end=""
    )
    each = seconds / recipes
    print(
        f"{seconds:.0f} s, {each:.0f} s a recipe = {each / sorts:.0f} times twelve sorts of its scores, "
        f"{busy / recipes:.0f} s of processor time a recipe, "
        f"peak {peak:.2f} GiB (before it {before:.2f})"
    )


def _made_up(
    knobs: dict[str, Any], context: Context, seeds: range, members: Array, labels: Array, labels_test: Array
) -> Record:
    rng = np.random.default_rng(seeds[0])

    def signals(mask: Array) -> Signals:
        margin = (rng.normal(size=(len(seeds), 1, mask.shape[1])) * 3 + 3 + mask[:, None]).astype(np.float32)
        loss = np.log1p(np.exp(-margin))
        return Signals(margin > 0, margin, -loss, np.exp(-np.abs(margin)), loss)

    train, test = signals(members), signals(np.zeros((len(seeds), len(labels_test)), bool))
    ones = np.ones(len(seeds))
    return Record(
        recipe=knobs,
        context=context,
        seeds=np.array(seeds),
        members=members,
        labels_train=labels,
        labels_test=labels_test,
        train=train,
        test=test,
        test_accuracy=test.correct[:, 0].mean(axis=1),
        train_accuracy=train.correct[:, 0].mean(axis=1),
        final_loss=ones,
        seconds=ones,
        epochs=ones,
        epsilon=np.inf * ones,
        delta=0 * ones,
    )


class Correctness(dict[str, Array]):
    """A record in name only: each array is made when it is asked for, as reading it would."""

    def __init__(self, seeds: range, labels: Array, tests: int) -> None:
        self.run, self.labels, self.tests = seeds, labels, tests

    def __missing__(self, name: str) -> Array:
        seeds, examples = self.run, len(self.labels)
        if name == "seeds":
            return np.array(seeds)
        if name in PER_REPLICA:
            return np.full(len(seeds), np.inf if name == "epsilon" else 0.9)
        rng = np.random.default_rng([seeds[0], name == "train_correct"])
        if name == "test_correct":
            return rng.random((len(seeds), 1, self.tests), np.float32) < 0.9
        members = draw_members(Subsets(), seeds, examples)
        if name == "members":
            return members
        if name != "train_correct":
            raise KeyError(f"{name} is no correctness: a memorization audit must not ask for it")
        hard = np.linspace(0, 0.9, examples, dtype=np.float32)
        return (rng.random((len(seeds), 1, examples), np.float32) > hard) | members[:, None]


def feldman(seeds: int = 4_000, examples: int = 60_000, tests: int = POPULATION, recipes: int = 20) -> None:
    """Return memorization and influence at Feldman and Zhang's size: planned, one recipe audited, all drawn.

    The tables and figures are those of all recipes; the audits of the others are copies of the one.
    """
    knobs = [{"optimizer": "sam", "rho": 0.01 * (1 + i)} for i in range(recipes)]
    by_id = {content_id(k): k for k in knobs}
    context = Context(dataset={"name": "made up"}, fingerprint="0", model={"name": "none"})
    what = f"{recipes} recipes x {seeds} replicas x {examples} + {tests} examples, made up:"
    with tempfile.TemporaryDirectory() as folder:
        store, begin = Store.at(folder), time.perf_counter()
        stock = take_stock(store, list(by_id), context.context_id, range(seeds))
        pace = dict.fromkeys(by_id, 60.0)
        blocks = cut(stock, by_id, context.context_id, size=guided(64, 16, pace), seconds=pace)
        print(f"{what} planned, {stock.missing} missing, {len(blocks)} blocks: {_since(begin)}")
        labels = np.random.default_rng(0).integers(0, CLASSES, examples)
        ensembles = {i: _correct_only(k, context, seeds, labels, tests) for i, k in by_id.items()}
        first, begin = next(iter(by_id)), time.perf_counter()
        found = Job(ensembles[first], {"attacks": []}, store, first, None).run(os.cpu_count() or 1)
        print(f"memorization and influence of one recipe: {_since(begin)}")
        results = Results(ensembles, NO_MANIFEST, {"attacks": []}, audits=dict.fromkeys(by_id, found))
        begin = time.perf_counter()
        results.write(store)
        print(f"tables of {recipes} recipes, the buckets of all test examples too: {_since(begin)}")
        begin, tables, drawn = time.perf_counter(), Tables(store), 0
        for recipe_id in by_id:
            for name in ("memorization", "buckets"):
                panel = FIGURES[name]
                assert panel.traces is not None
                slot = {"slot": f"@{SLOTS[0]}", "slot-soft": f"@{SLOTS[0]}-soft"}
                traces = paint(panel.traces(tables, recipe_id), slot)
                figure = Figure(paint(traces, THEMES["light"]))
                drawn += len(figure.data) and len(figure.to_json())
        print(f"figures of memorization and buckets, {drawn >> 10} KiB: {_since(begin)}")


def _since(begin: float) -> str:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    took = f"{time.perf_counter() - begin:.1f} s"
    return f"{took}, processor time so far {time.process_time():.0f} s, peak so far {peak:.2f} GiB"


def _correct_only(knobs: dict[str, Any], context: Context, seeds: int, labels: Array, tests: int) -> Ensemble:
    blocks = [range(i, min(i + 100, seeds)) for i in range(0, seeds, 100)]
    return Ensemble(
        recipe_id=content_id(knobs),
        recipe=knobs,
        label=f"sam rho={knobs['rho']:.2g}",
        context=context,
        blocks=[Block(Correctness(run, labels, tests), np.arange(len(run))) for run in blocks],
        labels_train=labels,
        labels_test=labels[:tests],
        canaries=np.zeros(0, np.int32),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--whole", type=int, default=0, metavar="RECIPES", help="audit a made-up sweep, too")
    parser.add_argument("--feldman", action="store_true", help="only the audit at Feldman and Zhang's size")
    arguments = parser.parse_args()
    if arguments.feldman:
        feldman()
        raise SystemExit
    attacks()
    if arguments.whole:
        whole(arguments.whole)
