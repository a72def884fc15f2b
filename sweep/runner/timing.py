"""What a replica costs here: its stack, whether it is compiled and its seconds, as timed on the cluster."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sweep.cluster import Cluster, options
from trainables.engine.runtime import Runtime
from trainables.optimizers.registry import find_optimizer
from trainables.optimizers.schedule import epochs_run
from trainables.recipe import Recipe
from trainables.records import Context

if TYPE_CHECKING:
    from sweep.spec.schema import SweepSpec
    from trainables.directory import Manifest
    from trainables.engine.calibration import Calibration

LOOK_EVERY = 2.0  # seconds between looks for a node
# What a manifest's hardware says of the GPU; see `trainables.engine.hardware`. ``trial_gib`` is the
# most memory that the process which timed it used, of the GPU where there is one, else of the host.
DEVICE = ("gpu", "gpus_seen", "gpu_gib", "driver", "cuda", "trial_gib")


@dataclass(frozen=True)
class Speed:
    """What one run measured and the next reuses.

    Args:
        stack: Replicas that a trial trains at once.
        seconds_per_pass: Of a replica's epoch at one gradient evaluation a step; None where unmeasured.
        compile: The mode of torch.compile, or None.
        device: What the device is; empty where it was not asked.
    """

    stack: int
    seconds_per_pass: float | None = None
    compile: str | None = None
    device: dict[str, Any] = field(default_factory=dict)

    def replica(self, recipe: Recipe) -> float:
        """Return the seconds of one replica of this recipe; relative to others where nothing was measured."""
        return passes(recipe) * (self.seconds_per_pass or 1.0)


def remembered(manifest: Manifest | None, context_id: str) -> Speed | None:
    """Return what an earlier run of this context measured, by the manifest of the sweep directory."""
    if manifest is None or manifest.context_id != context_id or not manifest.stack:
        return None
    known = {key: value for key, value in manifest.hardware.items() if key in DEVICE}
    return Speed(manifest.stack, manifest.seconds_per_pass, manifest.compile, known)


def passes(recipe: Recipe) -> float:
    """Estimate the passes over its members, forward and backward, that training one replica takes.

    The penalty evaluates the optimizer's gradient twice; drawing noise counts as half an evaluation.
    """
    optimizer = find_optimizer(recipe.optimizer)
    return epochs_run(recipe) * (optimizer.passes * (1 + bool(recipe.grad_reg)) + 0.5 * bool(recipe.noise))


@dataclass(frozen=True)
class Workload:
    """What a trial trains, for those who time it before there is one.

    Args:
        recipe: The recipe that takes the longest.
        context: What else decides a replica.
        data: The data set's reference in Ray's object store.
        runtime: How, with what the spec leaves open as ``auto``.
        replicas: How many there are to train in passes of this recipe's length.
    """

    recipe: Recipe
    context: Context
    data: Any
    runtime: Runtime
    replicas: int


def measure(
    spec: SweepSpec,
    work: Workload,
    cluster: Cluster,
    remembered: Speed | None,
    stage: Callable[[str], AbstractContextManager[None]],
    say: Callable[[str], None],
    waits: Callable[[], None] = lambda: None,
) -> Speed:
    """Return the speed of a trial: as the spec says or as remembered, else timed like a trial.

    Args:
        spec: The sweep.
        work: What to time.
        cluster: Where.
        remembered: What an earlier run of this context measured; it is not measured again.
        stage: Names what is being done.
        say: Tells what was found.
        waits: Tells, again and again, that no node has room.
    """
    runtime = settled(work.runtime, remembered)
    seconds = remembered.seconds_per_pass if remembered else None
    open_ended = "auto" in (runtime.stack, runtime.compile)
    if isinstance(runtime.stack, int) and not open_ended and (seconds or spec.block != "auto"):
        return Speed(runtime.stack, seconds, runtime.compile, remembered.device if remembered else {})
    demand = spec.resources.demand
    with stage(f"timing a few steps of {work.recipe.label}"):
        found, device = time_trial(replace(work, runtime=runtime), demand, cluster, waits)
    if isinstance(runtime.stack, int) and found.stack < runtime.stack:
        say(f"out of memory: stacks of {found.stack} instead of {runtime.stack}")
    return Speed(found.stack, found.seconds_per_replica / passes(work.recipe), found.compile, device)


def settled(runtime: Runtime, remembered: Speed | None) -> Runtime:
    """Return the runtime with what was measured before, and without compiling where there is no GPU."""
    if remembered and runtime.stack == "auto":
        runtime = replace(runtime, stack=remembered.stack)
    if runtime.compile == "auto" and (remembered or runtime.device == "cpu"):
        runtime = replace(runtime, compile=remembered.compile if remembered else None)
    return runtime


def time_trial(
    work: Workload, demand: dict[str, float], cluster: Cluster, waits: Callable[[], None] = lambda: None
) -> tuple[Calibration, dict[str, Any]]:
    """Time what is fastest in a process of Ray's, and name its device: one of the trials at once.

    Args:
        work: What to time.
        demand: Of a trial.
        cluster: Where. The task is asked for at once, so that a cluster that grows by demand does.
        waits: Is told every few seconds that no node has room.
    """
    import ray

    # A GPU's share is that of its memory too; else a node's trials have all the same share of the node's.
    share = min(1.0, demand["gpu"]) if "gpu" in demand else 1 / max(cluster.most_on_a_node(demand), 1)
    left = -(-work.replicas // cluster.slots(demand))
    # Ray keeps processes for the next task, and with them the memory of the GPU.
    task = ray.remote(max_calls=1)(_time).options(**options(demand), name="calibrate")
    reference = task.remote(work.recipe, work.context, work.data, work.runtime, left, share)
    while not ray.wait([reference], timeout=LOOK_EVERY)[0]:
        if not cluster.most_on_a_node(demand):
            waits()
    found: tuple[Calibration, dict[str, Any]] = ray.get(reference)
    return found


def _time(
    recipe: Recipe, context: Context, dataset: Any, runtime: Runtime, replicas: int, share: float
) -> tuple[Calibration, dict[str, Any]]:
    from trainables.engine.calibration import calibrate
    from trainables.engine.hardware import device_hardware
    from trainables.engine.memory import memory_of
    from trainables.engine.task import Task

    runtime.use_threads()
    task = Task(recipe, context, dataset, runtime)
    found = calibrate(task, replicas, share)
    peak = memory_of(task.device)[1]
    return found, {**device_hardware(task.device), "trial_gib": round(peak / 2**30, 2)}
