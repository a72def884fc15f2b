"""The Ray Tune trainable: trains one block and leaves its record. The only file here that knows Ray."""

from __future__ import annotations

import os
import socket
import time
import traceback
from dataclasses import dataclass
from typing import Any

from trainables.block import Block, Job
from trainables.errors import Diverged, StorageFull
from trainables.failures import ATTEMPTS, Failures
from trainables.progress import Progress
from trainables.recipe import Recipe
from trainables.records import write_record

REPORT_EVERY = 2.0  # seconds; each report is a round trip to the driver


@dataclass(frozen=True)
class SaveRequests:
    """Tells the trials of a run to save their progress soon: all of them, or those on one node.

    The requests lie in Ray's own key-value store, so that a look costs little and leaves no file.
    """

    run_id: str

    def ask(self, node_id: str = "") -> None:
        """Ask the trials on a node; by default those on all nodes."""
        from ray.experimental.internal_kv import _internal_kv_put

        _internal_kv_put(f"{self.run_id}/{node_id}", b"save", namespace="flatleak")

    def asked(self) -> tuple[bool, bool]:
        """Return whether all trials were asked, and whether those on this node were."""
        import ray
        from ray.experimental.internal_kv import _internal_kv_exists

        def said(node_id: str) -> bool:
            return bool(_internal_kv_exists(f"{self.run_id}/{node_id}", namespace="flatleak"))

        return said(""), said(ray.get_runtime_context().get_node_id())


def trial(config: dict[str, int], job: Job, dataset: Any) -> None:
    """Train block ``config["block"]`` of ``job``; Tune calls it.

    A block that fails by itself ``ATTEMPTS`` times is recorded under ``failures/`` and given up without an
    error to Tune, whose own retries are left for processes and nodes that die; one that diverges would do so
    again and is given up at once. A storage that takes no files ends the whole run.

    ``dataset`` lies once in the object store; its arrays are views of that memory.
    """
    from ray import tune

    block = job.blocks[config["block"]]
    failures = Failures(job, block)
    _show(block)
    try:
        _train(block, job, dataset, failures.count())
    except Exception as error:
        trace = traceback.format_exc()
        if isinstance(error, StorageFull):
            tune.report({"fatal": f"{job.store} is full ({error})", "replicas": 0.0})
            return
        hopeless = isinstance(error, Diverged)
        try:
            attempts = failures.add(f"{type(error).__name__}: {error}", trace, _log_place(), last=hopeless)
        except OSError as refused:  # most likely what failed first; further attempts would train in vain
            why = " ".join(str(refused).split())
            tune.report({"fatal": f"{job.store} takes no files ({why})", "replicas": 0.0})
            return
        if attempts < ATTEMPTS and not hopeless:
            raise
        tune.report({"failed": True, "replicas": 0.0, "reason": type(error).__name__})


def _train(block: Block, job: Job, dataset: Any, failed_before: int) -> None:
    from ray import tune

    from trainables.engine.task import Task
    from trainables.training import train_task

    job.runtime.use_threads()
    requests, seen = SaveRequests(job.run_id), (False, False)
    last_report, latest = time.monotonic(), {"replicas": 0.0}
    resumed: float | None = None  # what an earlier run or attempt had trained of the block
    progress = Progress(
        job.store, block.address, job.progress_seconds, lambda: tune.report({**latest, "saved": True})
    )

    def on_epoch(done: float, loss: float) -> None:
        nonlocal last_report, latest, resumed, seen
        resumed = (done if progress.loaded else 0.0) if resumed is None else resumed
        _show(block)  # Ray puts its own title back whenever Tune asks for the next report
        latest = {"replicas": done, "resumed": resumed, "loss": loss}
        if time.monotonic() - last_report > REPORT_EVERY:
            last_report = time.monotonic()
            asked = requests.asked()
            progress.urgent = progress.urgent or asked != seen
            seen = asked
            tune.report(latest)

    figures: dict[str, float] = {}
    if job.store.exists(block.address.path):  # a death between record and report
        resumed = float(len(block))
    else:
        task = Task(Recipe.model_validate(block.knobs), job.context, dataset, job.runtime)
        record = train_task(task, list(block.address.seeds), progress=progress, on_epoch=on_epoch)
        write_record(job.store, block.address, record)
        progress.clear()
        figures = {
            "loss": float(record.final_loss.mean()),
            "test_accuracy": float(record.test_accuracy.mean()),
        }
    if failed_before:
        Failures(job, block).clear()
    tune.report({"replicas": float(len(block)), "resumed": resumed or 0.0, "done": True, **figures})


def _show(block: Block) -> None:
    """Name the process after its block, for Ray's dashboard and ``top``."""
    from ray._raylet import setproctitle  # type: ignore[attr-defined]

    setproctitle(f"ray::{block.name}")


def _log_place() -> str:
    """Return where Ray keeps this worker's output."""
    import ray

    logs = ray._private.worker._global_node.get_logs_dir_path()  # type: ignore[attr-defined]
    worker = ray.get_runtime_context().get_worker_id()
    return f"{logs}/worker-{worker}-*-{os.getpid()}.out on {socket.gethostname()}"
