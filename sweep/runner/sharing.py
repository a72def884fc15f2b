"""How many trials share a GPU, and in what stacks: as many as train the most replicas, measured there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

from sweep.cluster import bundle, options
from sweep.runner.stages import reason

if TYPE_CHECKING:
    from sweep.cluster import Cluster
    from sweep.runner.workload import Workload
    from sweep.spec.schema import Resources
    from trainables.engine.timing import Pace

TRIALS = (2, 4, 8)
GAIN = 0.95  # more trials must need at most this share of the time for a replica
SECONDS = (2.0, 60.0)  # that trials train side by side for the clock: at least, and at most
STEPS = 16  # that each of them takes meanwhile, about
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
    All are timed on one and the same GPU. No more are tried than a node has cores for; that, and what cannot
    be had, is said.

    Raises:
        ray.exceptions.RayError: not even one trial runs.
    """
    room = [n for n in (1, *TRIALS) if n == 1 or cluster.shares(n, resources.shared_by(n).demand)]
    with _one_gpu(resources, max(room)) as place:
        alone = best = side_by_side(work, resources, place, 1, stack)
        for trials in room[1:]:
            stacks = {stack} if fixed else {ceil(stack / trials), stack}
            tried = (_tried(work, resources, place, trials, k, say) for k in sorted(stacks))
            found = min(filter(None, tried), key=lambda sharing: sharing.seconds, default=None)
            if found is None or GAIN * found.gain(best) < 1:
                break
            best = found
    if best.trials == max(room) < max(TRIALS):
        say(f"no more were tried: no node has cpu {resources.cpu:g} for each on all of its GPUs")
    say(str(best) if best is alone else f"{best}: {best.gain(alone):.2f} times the replicas of one trial")
    return alone, best


def _tried(
    work: Workload, resources: Resources, place: Any, trials: int, stack: int, say: Callable[[str], None]
) -> Sharing | None:
    from ray.exceptions import RayError

    try:
        return side_by_side(work, resources, place, trials, stack)
    except (RayError, MemoryError) as error:
        say(f"{trials} trials cannot share a GPU in stacks of {stack}: {reason(error)}")
        return None


def side_by_side(work: Workload, resources: Resources, place: Any, trials: int, stack: int) -> Sharing:
    """So many trials on the GPU of ``place``, timed.

    Raises:
        MemoryError: they leave one another no room to evaluate.
        ray.exceptions.RayError: one of them fails, or is lost for the second time.
    """
    from ray.exceptions import RayError, RayTaskError

    try:
        return _timed(work, resources, place, trials, stack)
    except RayTaskError:
        raise
    except RayError:  # a process or a node was lost, which is no fault of the sharing's
        return _timed(work, resources, place, trials, stack)


def _timed(work: Workload, resources: Resources, place: Any, trials: int, stack: int) -> Sharing:
    import ray

    with _trials(resources, place, trials) as actors:
        built = ray.get([actor.build.remote(work, stack) for actor in actors])
        left = min(left for _, left in built)
        if trials > 1 and left < LEFT:
            raise MemoryError(f"they leave {left:.0%} of its memory, {LEFT:.0%} is needed to evaluate")
        least, most = SECONDS
        seconds = min(max(least, STEPS * trials * min(step for step, _ in built)), most)
        steps = ray.get([actor.train.remote(seconds) for actor in actors])
    return Sharing(trials, stack, trials / sum(stack / step for step in steps))


class _Trial:
    """A process that trains as a trial would, for the clock alone."""

    pace: Pace

    def build(self, work: Workload, stack: int) -> tuple[float, float]:
        """Seconds of a step of the stack, and the share of the device's memory that is left."""
        from trainables.engine.calibration import memory_left
        from trainables.engine.timing import Pace

        task = work.task()
        self.pace = Pace(task, stack)
        return self.pace.step, memory_left(task.data.device)

    def train(self, seconds: float) -> float:
        """Seconds of a step of the stack that was built."""
        return self.pace.beside_others(seconds)


@contextmanager
def _one_gpu(resources: Resources, trials: int) -> Iterator[Any]:
    """A GPU, and on its node the cores for so many trials, kept for this."""
    import ray
    from ray.util.placement_group import placement_group, remove_placement_group
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    each = bundle(resources.shared_by(trials).demand)
    group = placement_group([{name: trials * amount for name, amount in each.items()}])
    try:
        ray.get(group.ready())
        yield PlacementGroupSchedulingStrategy(placement_group=group, placement_group_bundle_index=0)
    finally:
        remove_placement_group(group)


@contextmanager
def _trials(resources: Resources, place: Any, trials: int) -> Iterator[list[Any]]:
    """So many processes with as many shares of the GPU there."""
    import ray

    each = options(resources.shared_by(trials).demand)
    trial: Any = ray.remote(_Trial).options(**each, scheduling_strategy=place)
    actors = [trial.remote() for _ in range(trials)]
    try:
        yield actors
    finally:
        for actor in actors:
            ray.kill(actor)
