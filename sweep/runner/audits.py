"""Audits as Ray tasks, one a recipe, and the bar that shows them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from sweep.cluster import Cluster, connected, elsewhere
from sweep.runner.preflight import Check, require_nodes
from sweep.runner.stages import named
from sweep.watch.console import animates
from sweep.watch.tally import LINE_EVERY, clock
from trainables.directory import MANIFEST
from trainables.storage import Store

if TYPE_CHECKING:
    from analysis.audit.jobs import Execute, Job
    from analysis.audit.outcome import Audit

DEATHS = 10  # of a task's processes and nodes before the audit fails
LOOK_EVERY = 1.0  # seconds between looks at the tasks

Publish = Callable[[dict[str, Any]], None]


def on_cluster(jobs: Sequence[Job]) -> Iterator[tuple[Job, Audit]]:
    """Run jobs as tasks of the Ray that this process is connected to, named after their recipes.

    A task reads the records and keeps the audit itself; it sends back figures and bootstrap draws. One whose
    process or node is lost is run again, ``DEATHS`` times. What ends this early cancels the tasks.
    """
    import ray

    task = ray.remote(max_retries=DEATHS)(_audit)
    nodes = [node["Resources"] for node in Cluster(None).present()]
    running = {}
    for job in jobs:
        threads, needs = demand(job, len(jobs), nodes)
        running[
            task.options(name=f"audit {job.label}", label_selector=elsewhere(), **needs).remote(job, threads)
        ] = job
    try:
        while running:
            done, _ = ray.wait(list(running), timeout=LOOK_EVERY)
            for reference in done:
                audited = ray.get(reference)
                yield running.pop(reference), audited
    finally:
        for reference in running:
            ray.cancel(reference, force=True)


def demand(job: Job, jobs: int, nodes: Sequence[Mapping[str, float]]) -> tuple[int, dict[str, float]]:
    """Say what a task asks Ray for: a share of the cluster's cores for its attacks, an audit's memory.

    Args:
        job: the audit.
        jobs: how many there are.
        nodes: what each node of the cluster has, by Ray's names. A task never asks for more than the one with
            the most memory has, on which it then runs alone.

    Returns:
        Attacks side by side, and options of the task.
    """
    largest = max(nodes, key=lambda node: (node.get("CPU", 0) > 0, node.get("memory", 0)))
    cores, memory = largest.get("CPU", 0), largest.get("memory", 0)
    threads = int(min(sum(node.get("CPU", 0) for node in nodes) // jobs, cores, job.attacks))
    while threads > 1 and job.memory(threads) > memory:
        threads -= 1
    threads = max(threads, 1)
    return threads, {"num_cpus": min(threads, cores), "memory": min(job.memory(threads), memory)}


@contextmanager
def auditing(store: Store, address: str | None, console: Console) -> Iterator[Execute]:
    """Give what runs the audits of a sweep directory: in threads here, or with an address on that cluster.

    Raises:
        UserError: no cluster answers there, or a node of it lacks something.
    """
    from analysis.audit.jobs import in_threads

    if address is None:
        yield shown(in_threads, console)
        return
    with named(None, "auditing"), connected(address) as cluster:
        shared = {"DIR": store.local / MANIFEST} if store.local else {}
        require_nodes(cluster.nodes({"cpu": 1.0}), Check(shared))
        yield shown(on_cluster, console)


def _audit(job: Job, threads: int) -> Audit:
    return job.run(threads)


def shown(execute: Execute, console: Console, publish: Publish = lambda _: None) -> Execute:
    """Run jobs with a bar of recipes and time left; without a terminal, a line now and then.

    Args:
        execute: what runs them.
        console: where the bar goes.
        publish: gets ``audited``, ``to_audit`` and ``time_left`` (seconds or None) as jobs end.
    """

    def run(jobs: Sequence[Job]) -> Iterable[tuple[Job, Audit]]:
        if not jobs:
            return
        begin, last, work, done = time.monotonic(), time.monotonic(), sum(job.scores for job in jobs), 0
        columns = (
            TextColumn("auditing"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
        )
        with Progress(*columns, console=console, disable=not animates(console)) as bar:
            shown = bar.add_task("auditing", total=len(jobs), left="recipes")
            publish({"audited": 0, "to_audit": len(jobs), "time_left": None})
            for count, (job, audited) in enumerate(execute(jobs), 1):
                yield job, audited
                done += job.scores
                left = (time.monotonic() - begin) * (work - done) / done
                bar.update(shown, completed=count, left=f"recipes, {clock(left)} left")
                publish({"audited": count, "to_audit": len(jobs), "time_left": left})
                if not animates(console) and time.monotonic() - last > LINE_EVERY:
                    last = time.monotonic()
                    console.print(f"audited {count}/{len(jobs)} recipes, {clock(left)} left", highlight=False)

    return run
