"""Hands the missing blocks to Ray Tune and waits: the only file that runs trials."""

from __future__ import annotations

import logging
import os
import threading
import uuid
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property
from math import ceil
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from sweep.cluster import Cluster, Demand, chosen_address, connected, local_hardware
from sweep.runner import manifest as manifests
from sweep.runner import stopping
from sweep.runner.lease import Lease
from sweep.runner.outcome import Trained
from sweep.runner.phases import note_stop
from sweep.runner.plan import Inventory, cut, guided, outlook, take_stock
from sweep.runner.preflight import Check, require_nodes
from sweep.runner.scratch import scratch
from sweep.runner.secrets import keep_cloud_keys
from sweep.runner.stages import named, stage
from sweep.runner.timing import Speed, Workload, measure, passes, remembered
from sweep.spec.schema import SweepSpec
from sweep.watch.loggers import make_loggers
from trainables.block import Block, Job
from trainables.data.dataset import Dataset
from trainables.directory import DRIVER, read_manifest
from trainables.engine.runtime import Runtime
from trainables.failures import Failures
from trainables.phase import note_phase
from trainables.recipe import Recipe
from trainables.records import Context
from trainables.storage import Store, located
from trainables.trial import SaveRequests, trial

if TYPE_CHECKING:
    from ray.tune import Callback

    from sweep.watch.noting import Noting
    from sweep.watch.tally import Watch
    from sweep.watch.waiting import Sayer

PATIENCE = 10.0  # seconds that Ray gets to end its trials once their progress is saved


@dataclass
class Trainer:
    """Trains replicas of one context on one cluster; connects when there is something to train.

    Use as a context manager; ``train`` may be called again with other recipes and seeds. ``listed`` are the
    recipes that the manifest names, so that the audit sees them.
    """

    spec: SweepSpec
    store: Store
    context: Context
    dataset: Dataset
    address: str | None
    console: Console
    held: Lease
    listed: list[Recipe]
    _open: ExitStack = field(default_factory=ExitStack)
    _cluster: Cluster | None = None
    _data: Any = None
    _speed: Speed | None = None

    def __enter__(self) -> Trainer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def train(self, recipes: Sequence[Recipe], seeds: range) -> Trained:
        """Train every replica without a record; return when all are there or given up."""
        by_id = {recipe.recipe_id: recipe for recipe in recipes}
        stock = take_stock(self.store, list(by_id), self.context.context_id, seeds)
        for problem in stock.set_aside:
            self.console.print(
                f"[yellow]set aside, will be trained again:[/] {escape(problem)}", highlight=False
            )
        if not stock.missing:
            self._write_manifest(self._remembered())
            return Trained(stock.done.size, stock.done.size, 0, set_aside=stock.set_aside)
        cluster = self._connect()
        longest = max(recipes, key=passes)
        missing = zip(stock.recipe_ids, (~stock.done).sum(axis=1), strict=True)
        work = sum(passes(by_id[recipe_id]) * count for recipe_id, count in missing)
        speed = self._measure(longest, work / passes(longest), cluster)
        self._write_manifest(speed)
        blocks = self._cut(stock, by_id, speed, cluster)
        self._say(self._outlook(stock, by_id, speed, cluster))
        trained = self._fit(blocks, stock, by_id, speed)
        if trained.trained and not trained.fatal:  # a storage that takes no files takes no manifest either
            self._write_manifest(speed, trained.per_hour)
        return trained

    def _connect(self) -> Cluster:
        if self._cluster is None:
            import ray

            with self._stage("starting Ray" if not self.address else f"connecting to {self.address}"):
                self._cluster = self._open.enter_context(connected(self.address, self._lost))
            if chosen_address(self.address) != "local":
                with self._stage("asking every node for what trials need"):
                    require_nodes(self._cluster.nodes(self._demand), self._check)
            if self._cluster.url:
                self.console.print(f"Ray dashboard: {self._cluster.url}", highlight=False)
            with self._stage("putting the data where trials read them"):
                self._data = ray.put(self.dataset)
        return self._cluster

    def has_ray(self) -> bool:
        """Return whether Ray runs for this sweep; a cluster that was named is connected to."""
        if self._cluster is None and chosen_address(self.address) != "local":
            self._connect()
        return self._cluster is not None

    def _lost(self) -> None:
        """End the process, as Ray is about to, but not without a word."""
        self.console.show_cursor()
        note_phase(self.store, "failed", "the Ray cluster is lost")
        self.console.print(
            "[red]stopped:[/] the Ray cluster is lost, its head answers no more; what was trained is kept,"
            f" the same command on a cluster that answers goes on with {escape(str(self.store))}",
            soft_wrap=True,
        )
        os._exit(1)

    def _stop(self, watch: Watch) -> None:
        """Let trials save their progress; Ray may have got the same signal and answer no more."""
        watch.stop()
        end = threading.Timer(watch.GRACE + PATIENCE, self._end)
        end.daemon = True
        end.start()
        self._open.callback(end.cancel)

    def _end(self) -> None:
        self.console.show_cursor()
        self.console.print(
            "[red]stopped:[/] Ray does not end; what was trained is kept, the same command goes on with "
            f"{escape(str(self.store))}",
            soft_wrap=True,
        )
        note_stop(self.store)
        with suppress(OSError):
            self.held.release()
        os._exit(stopping.exit_code())

    def _remembered(self) -> Speed | None:
        """Return what an earlier run of this context measured. Its stack is binding: bits depend on it."""
        return self._speed or remembered(read_manifest(self.store), self.context.context_id)

    def _measure(self, recipe: Recipe, replicas: float, cluster: Cluster) -> Speed:
        if self._speed is None:
            runtime = Runtime(self._device, self.spec.stack, self.spec.compile, self._threads)
            work = Workload(recipe, self.context, self._data, runtime, ceil(replicas))
            remembered = self._remembered()
            self._speed = measure(
                self.spec, work, cluster, remembered, self._stage, self._say, self._sayer.say
            )
        return self._speed

    @property
    def _check(self) -> Check:
        """What a node must have."""
        shared = {"--out": self.store.local / DRIVER} if self.store.local else {}
        return Check(shared, self._device)

    @cached_property
    def _sayer(self) -> Sayer:
        """Says what is waited for; the same one in timing and in training, so that nothing is said twice."""
        from sweep.watch.waiting import Sayer, lacking

        return Sayer(self.store, self.console, lambda: lacking(self._connect(), self._demand))

    def _say(self, line: str) -> None:
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _stage(self, doing: str) -> AbstractContextManager[None]:
        return stage(self.store, self.console, doing)

    @property
    def _demand(self) -> Demand:
        """What one trial asks Ray for."""
        return self.spec.resources.demand

    @property
    def _tune_dir(self) -> str | None:
        return located(self.spec.tune_dir, "tune_dir") if self.spec.tune_dir else None

    @property
    def _device(self) -> str:
        return "cuda" if self.spec.resources.gpu else "cpu"

    @property
    def _threads(self) -> int:
        return max(1, int(self.spec.resources.cpu))

    def _write_manifest(self, speed: Speed | None, hourly: float | None = None) -> None:
        mean = sum(map(passes, self.listed)) / max(len(self.listed), 1)
        per_pass = speed.seconds_per_pass if speed else None
        previous = read_manifest(self.store)
        hardware = (previous.hardware if previous else {}) or local_hardware()
        if self._cluster:
            hardware = self._cluster.hardware(self._demand)
        measured = asdict(speed) if speed else {}
        hardware = {**hardware, **measured.pop("device", {})}
        manifest = manifests.make_manifest(
            self.spec,
            self.listed,
            self.context,
            self.dataset.describe(),
            hardware,
            previous,
            **measured,
            seconds_per_replica=per_pass * mean if per_pass else None,
            replicas_per_hour=hourly or (previous.replicas_per_hour if previous else None),
        )
        manifests.write(self.store, self.spec, manifest)

    def _outlook(self, stock: Inventory, by_id: Mapping[str, Recipe], speed: Speed, cluster: Cluster) -> str:
        """Return the last line of `flatleak plan`."""
        slots = cluster.slots(self._demand)
        counts = zip(stock.recipe_ids, (~stock.done).sum(axis=1).tolist(), strict=True)
        costs = [(speed.replica(by_id[recipe_id]), count) for recipe_id, count in counts if count]
        seconds = max(sum(cost * count for cost, count in costs) / slots, max(cost for cost, _ in costs))
        known = seconds if speed.seconds_per_pass else None
        fits = cluster.most_on_a_node(self._demand)
        return outlook(stock.done.size - stock.missing, stock.missing, known, slots if fits else None)

    def _cut(
        self, stock: Inventory, by_id: Mapping[str, Recipe], speed: Speed, cluster: Cluster
    ) -> tuple[Block, ...]:
        seconds = {recipe_id: speed.replica(recipe) for recipe_id, recipe in by_id.items()}
        fixed = self.spec.block
        slots = cluster.slots(self._demand)
        size = guided(slots, speed.stack, seconds) if fixed == "auto" else lambda *_: fixed
        knobs = {recipe_id: recipe.knobs for recipe_id, recipe in by_id.items()}
        return cut(stock, knobs, self.context.context_id, size=size, seconds=seconds)

    def _fit(
        self, blocks: tuple[Block, ...], stock: Inventory, by_id: Mapping[str, Recipe], speed: Speed
    ) -> Trained:
        """Have the blocks trained, and say what came of it."""
        from sweep.watch.noting import Noting
        from sweep.watch.tally import Bar, Tally, Watch

        job = Job(
            run_id=uuid.uuid4().hex,
            store=self.store,
            context=self.context,
            blocks=blocks,
            runtime=Runtime(self._device, speed.stack, speed.compile, self._threads),
            progress_seconds=60 * self.spec.progress_minutes,
        )
        tally = Tally(blocks, {recipe_id: speed.replica(recipe) for recipe_id, recipe in by_id.items()})
        watch = Watch(
            tally,
            lambda block, error: Failures(job, block).add(error, error, "the driver's", last=True),
            SaveRequests(job.run_id),
        )
        noting = Noting(self.store, blocks)
        watchers = self._watchers(watch, noting, stock, by_id)
        present = stock.done.size - stock.missing
        with (
            named(self.store, "training"),
            Bar(self.console, tally, present) as bar,
            stopping.softly(lambda: self._stop(watch)),
        ):
            left = list(range(len(blocks)))
            while left:
                self._tune(job, left, watch, [*watchers, bar])
                left = watch.take_lost()
        noting.close(answers=not watch.fatal)
        return Trained(
            replicas=stock.done.size,
            present=present,
            per_hour=3600 * tally.rate,
            trained=sum(len(b) for i, b in enumerate(blocks) if i in tally.finished - tally.failed),
            failed=tuple(blocks[i] for i in sorted(tally.failed)),
            interrupted=len(tally.finished) < len(blocks) and not watch.fatal,
            fatal=watch.fatal,
            set_aside=stock.set_aside,
        )

    def _watchers(
        self, watch: Watch, noting: Noting, stock: Inventory, by_id: Mapping[str, Recipe]
    ) -> list[Callback]:
        """Return what looks on while trials run, in the order in which each is told."""
        from sweep.watch.events import Events
        from sweep.watch.gauges import Figures
        from sweep.watch.joining import Joining
        from sweep.watch.naming import Naming
        from sweep.watch.waiting import Waiting

        cluster = self._connect()
        events = Events(watch, cluster, self._demand)
        return [
            Naming(),
            watch,
            noting,
            Joining(cluster, self._demand, self._check, watch, self._say),
            events,
            Figures(self.spec.name, by_id, stock, watch.tally, events, self.held.publish),
            Waiting(self.store, self._sayer, lambda: bool(cluster.most_on_a_node(self._demand))),
        ]

    def _tune(self, job: Job, left: list[int], watch: Watch, callbacks: Sequence[Callback]) -> None:
        """Run one trial for each block that is left, until all are done or the watch ends the run."""
        from ray import tune

        from sweep.runner.placement import placed
        from sweep.watch.naming import listed

        loggers = make_loggers(self.spec.loggers, self.spec.name)
        keep_cloud_keys()
        for name in ("ray.tune", "ray.train", "ray.air"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # failures are recorded
        with scratch() as folder, placed():
            function = tune.with_parameters(trial, job=job, dataset=self._data)
            tuner = tune.Tuner(
                listed(tune.with_resources(function, self._demand), self.spec.name),
                param_space={"block": tune.grid_search(left)},
                tune_config=tune.TuneConfig(
                    reuse_actors=True,
                    trial_name_creator=lambda t: job.blocks[t.config["block"]].name,
                    trial_dirname_creator=lambda t: t.trial_id,
                ),
                run_config=tune.RunConfig(
                    name=self.spec.name,
                    storage_path=self._tune_dir or (None if self.spec.loggers else folder),
                    failure_config=tune.FailureConfig(max_failures=-1),
                    callbacks=[*callbacks, *loggers],
                    stop=watch,
                    verbose=0,
                ),
            )
            tuner.fit()
