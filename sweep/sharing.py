"""How many trials share a GPU, and in what stacks: as many as train the most replicas, measured there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

from sweep.cluster import bundle, options
from sweep.steps import reason

if TYPE_CHECKING:
    from sweep.cluster import Cluster
    from sweep.spec import Resources
    from sweep.speed import Workload
    from trainables.pace import Pace

TRIALS = (2, 4, 8)
GAIN = 0.95  # more trials must need at most this share of the time for a replica
SECONDS = 2.0  # that trials train side by side for the clock, at least
STEPS = 16  # that each of them takes meanwhile, about, at least
LEFT = 0.25  # of the device's memory that they must leave, for evaluation above all


@dataclass(frozen=True)
class Sharing:
    """``trials`` at once on one GPU, each of which takes ``seconds`` for a step of one replica of its
    ``stack``."""

    trials: int
    stack: int
    seconds: float

    def gain(self, other: Sharing) -> float:
        """How many times as many replicas a GPU trains so as in the other way."""
        return (self.trials / self.seconds) / (other.trials / other.seconds)

    def __str__(self) -> str:
        whose = "1 trial has a GPU to itself" if self.trials == 1 else f"{self.trials} trials share a GPU"
        return f"{whose}, in stacks of {self.stack}"


def share(
    work: Workload,
    resources: Resources,
    cluster: Cluster,
    stack: int,
    *,
    fixed: bool,
    say: Callable[[str], None],
) -> tuple[Sharing, Sharing]:
    """One trial with a GPU to itself, and the best sharing: more trials while they train 5 % more replicas.

    Trials that share have stacks of ``stack`` each or, unless it is ``fixed``, together, whichever is faster.
    No more are tried than a node has cores for. What cannot be had is said, and left out.

    Raises:
        ray.exceptions.RayError: not even one trial runs.
    """
    alone = best = side_by_side(work, resources, 1, stack)
    whole = cluster.slots(resources.demand)
    for trials in TRIALS:
        if cluster.slots(resources.shared_by(trials).demand) < trials * whole:
            break
        stacks = {stack} if fixed else {ceil(stack / trials), stack}
        found = [s for s in (_tried(work, resources, trials, k, say) for k in sorted(stacks)) if s]
        faster = min(found, key=lambda sharing: sharing.seconds, default=None)
        if faster is None or GAIN * faster.gain(best) < 1:
            break
        best = faster
    say(str(best) if best is alone else f"{best}: {best.gain(alone):.2f} times the replicas of one trial")
    return alone, best


def _tried(
    work: Workload, resources: Resources, trials: int, stack: int, say: Callable[[str], None]
) -> Sharing | None:
    from ray.exceptions import RayError

    try:
        return side_by_side(work, resources, trials, stack)
    except (RayError, MemoryError) as error:
        say(f"{trials} trials cannot share a GPU in stacks of {stack}: {reason(error)}")
        return None


def side_by_side(work: Workload, resources: Resources, trials: int, stack: int) -> Sharing:
    """So many trials on one GPU, timed.

    Raises:
        MemoryError: they leave one another no room to evaluate.
        ray.exceptions.RayError: one of them fails.
    """
    import ray

    with _actors(resources, trials) as actors:
        built = ray.get([actor.build.remote(work, stack) for actor in actors])
        left = min(left for _, left in built)
        if trials > 1 and left < LEFT:
            raise MemoryError(f"they leave {left:.0%} of its memory, {LEFT:.0%} is needed to evaluate")
        seconds = max(SECONDS, STEPS * trials * max(first for first, _ in built))
        steps = ray.get([actor.train.remote(seconds) for actor in actors])
    return Sharing(trials, stack, trials / sum(stack / step for step in steps))


class _Trial:
    """A process that trains as a trial would, for the clock alone."""

    pace: Pace

    def build(self, work: Workload, stack: int) -> tuple[float, float]:
        """Seconds of a step of the stack, and the share of the device's memory that is left."""
        from trainables.calibrate import memory_left
        from trainables.pace import Pace

        task = work.task()
        self.pace = Pace(task, stack)
        return self.pace.first, memory_left(task.data.device)

    def train(self, seconds: float) -> float:
        """Seconds of a step of the stack that was built."""
        return self.pace.beside_others(seconds)


@contextmanager
def _actors(resources: Resources, trials: int) -> Iterator[list[Any]]:
    """So many processes with as many shares of one and the same GPU."""
    import ray
    from ray.util.placement_group import placement_group, remove_placement_group
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    each = resources.shared_by(trials).demand
    group = placement_group([{name: trials * amount for name, amount in bundle(each).items()}])
    place = PlacementGroupSchedulingStrategy(placement_group=group, placement_group_bundle_index=0)
    trial = ray.remote(_Trial).options(**options(each), scheduling_strategy=place)
    actors: list[Any] = []
    try:
        ray.get(group.ready())
        actors += [trial.remote() for _ in range(trials)]
        yield actors
    finally:
        for actor in actors:
            ray.kill(actor)
        remove_placement_group(group)
