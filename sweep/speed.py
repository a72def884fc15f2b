"""What a replica costs here: its stack, its share of a GPU and its seconds, as timed on the cluster."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sweep.cluster import Cluster, Demand, options
from sweep.sharing import share
from trainables.recipe import Recipe
from trainables.registry import lookup

if TYPE_CHECKING:
    from sweep.spec import SweepSpec
    from trainables.calibrate import Calibration
    from trainables.lockstep import Task


@dataclass(frozen=True)
class Workload:
    """What a trial trains, and how. ``data`` is the data set's reference in Ray's object store."""

    recipe: Recipe
    data: Any
    model: dict[str, Any]
    device: str
    threads: int
    compile: str | None

    def task(self) -> Task:
        """The task in a process of Ray's, whose threads are set as a trial's."""
        import ray
        import torch

        from trainables.lockstep import make_task

        torch.set_num_threads(self.threads)
        data = ray.get(self.data)
        return make_task(self.recipe, data, self.model, device=self.device, compile=self.compile)


@dataclass(frozen=True)
class Speed:
    """Replicas of a stack, trials that share a GPU (None: as the spec's resources say), and seconds of a
    replica's epoch at one gradient evaluation a step (None: unmeasured)."""

    stack: int
    trials_per_gpu: int | None
    seconds_per_pass: float | None

    def replica(self, recipe: Recipe) -> float:
        """Seconds of one replica of this recipe; relative to others where nothing was measured."""
        return passes(recipe) * (self.seconds_per_pass or 1.0)


def passes(recipe: Recipe) -> float:
    """Passes over its members, forward and backward, that training one replica takes, as an estimate.

    The penalty evaluates the optimizer's gradient twice; drawing noise counts as half an evaluation.
    """
    from trainables.lockstep import epochs_run
    from trainables.optimizers import OPTIMIZERS

    optimizer = lookup("optimizer", recipe.optimizer, OPTIMIZERS)
    return epochs_run(recipe) * (optimizer.passes * (1 + bool(recipe.grad_reg)) + 0.5 * bool(recipe.noise))


def measure(
    spec: SweepSpec,
    work: Workload,
    cluster: Cluster,
    remembered: Speed | None,
    step: Callable[[str], AbstractContextManager[None]],
    say: Callable[[str], None],
) -> Speed:
    """As the spec says, else as remembered, else timed like a trial.

    ``step`` names what is being done, ``say`` tells what was found.
    """
    auto = spec.resources.gpu == "auto"
    stack = spec.stack if spec.stack != "auto" else remembered and remembered.stack
    trials = remembered.trials_per_gpu if remembered and auto else None
    seconds = remembered.seconds_per_pass if remembered else None
    if stack and (trials or not auto) and (seconds or spec.block != "auto"):
        return Speed(stack, trials, seconds)
    with step(f"timing a few steps of {work.recipe.label}"):
        found = time_stacks(work, spec.resources.shared_by(trials).demand)
    seconds = found.seconds_per_replica / passes(work.recipe)
    if not auto or trials:
        return Speed(stack or found.stack, trials, seconds)
    with step("timing trials that share a GPU"):
        alone, best = share(work, spec.resources, cluster, stack or found.stack, fixed=bool(stack), say=say)
    return Speed(best.stack, best.trials, seconds * best.seconds / alone.seconds)


def time_stacks(work: Workload, demand: Demand) -> Calibration:
    """The fastest stack of one trial."""
    import ray

    task = ray.remote(_time_stacks).options(**options(demand), name="calibrate")
    found: Calibration = ray.get(task.remote(work))
    return found


def _time_stacks(work: Workload) -> Calibration:
    from trainables.calibrate import fastest_stack

    return fastest_stack(work.task())
