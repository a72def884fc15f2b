"""What a replica costs here: its stack, its share of a GPU and its seconds, as timed on the cluster."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sweep.cluster import Cluster, Demand, options
from sweep.runner.sharing import share
from sweep.runner.workload import Workload
from trainables.recipe import Recipe

if TYPE_CHECKING:
    from sweep.spec.schema import SweepSpec
    from trainables.engine.calibration import Calibration


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
    from trainables.engine.stack import epochs_run
    from trainables.optimizers.registry import find_optimizer

    optimizer = find_optimizer(recipe.optimizer)
    return epochs_run(recipe) * (optimizer.passes * (1 + bool(recipe.grad_reg)) + 0.5 * bool(recipe.noise))


def measure(
    spec: SweepSpec,
    work: Workload,
    cluster: Cluster,
    remembered: Speed | None,
    step: Callable[[str], AbstractContextManager[None]],
    say: Callable[[str], None],
) -> Speed:
    """As the spec says or as remembered, else timed like a trial; how a GPU is shared is timed in every run.

    ``step`` names what is being done, ``say`` tells what was found.
    """
    stack = spec.stack if isinstance(spec.stack, int) else remembered.stack if remembered else None
    seconds = remembered.seconds_per_pass if remembered else None
    auto = spec.resources.gpu == "auto"
    if stack and not auto and (seconds or spec.block != "auto"):
        return Speed(stack, None, seconds)
    demand = spec.resources.demand
    if not cluster.most_on_a_node(demand):
        needed = ", ".join(f"{name} {amount:g}" for name, amount in demand.items())
        say(f"waiting for a node that a trial fits on: {needed}; none has that now")
    with step(f"timing a few steps of {work.recipe.label}"):
        found = time_stack(work, demand, stack, cluster.most_on_a_node(demand))
    seconds = found.seconds_per_replica / passes(work.recipe)
    if stack and found.stack < stack:
        say(f"out of memory: stacks of {found.stack} instead of {stack}")
    if not auto:
        return Speed(found.stack, None, seconds)
    with step("timing trials that share a GPU"):
        alone, best = share(work, spec.resources, cluster, found.stack, fixed=bool(stack), say=say)
    return Speed(best.stack, best.trials, seconds * best.seconds / alone.seconds)


def time_stack(work: Workload, demand: Demand, stack: int | None, on_a_node: int) -> Calibration:
    """What a stack takes, by default the fastest, in a process of Ray's: one of so many trials on a node."""
    import ray

    # A GPU's share is that of its memory too; else a node's trials have all the same share of the node's.
    share = min(1.0, demand["gpu"]) if "gpu" in demand else 1 / max(on_a_node, 1)
    # Ray keeps processes for the next task, and with them the memory of the GPU.
    task = ray.remote(max_calls=1)(_time_stack).options(**options(demand), name="calibrate")
    found: Calibration = ray.get(task.remote(work, stack, share))
    return found


def _time_stack(work: Workload, stack: int | None, share: float) -> Calibration:
    from trainables.engine.calibration import fastest_stack, timed_stack

    return timed_stack(work.task(), stack) if stack else fastest_stack(work.task(), share)
