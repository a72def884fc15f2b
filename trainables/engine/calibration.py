"""How many replicas to train at once, and whether to compile: a few timed steps, bounded in time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from trainables.engine.capture import warn_once
from trainables.engine.compilation import compiler_fault
from trainables.engine.lanes import make_stack
from trainables.engine.memory import memory_of, out_of_memory
from trainables.engine.networks import DenseNetwork
from trainables.engine.task import Task
from trainables.optimizers.registry import find_optimizer
from trainables.optimizers.schedule import batch_sizes

STACKS = (1, 2, 4, 8, 16, 32, 64)
GAIN = 0.95  # a stack must take at most this share of one replica's time to be preferred to it
PAST = 1.2  # times the least time; two stacks in a row that take so long end the growth
MEMORY_SHARE = 0.5  # of what is free

SECONDS, SHARE = 10.0, 0.05  # choosing takes at most so long, and this share of the training that is left
WORTH = 0.2  # seconds; in less time nothing is timed, and the usual stack is taken
# Replicas of a plain MLP, and of any other network, in a stack where timing does not pay.
USUAL = {"cpu": (32, 1), "cuda": (64, 2)}
SLOW_STEP = 1.0  # seconds; a step that takes this long needs no other to be timed
RUN = 0.1  # seconds of a timed run, at most
MOST = 20  # steps of one
TIMES = 3  # that it is repeated

# Measured on an H100: what one batch shape takes to compile, and the share of training that it saves.
COMPILING, COMPILED_GAIN = 30.0, 0.2


@dataclass(frozen=True)
class Calibration:
    """What was chosen.

    Args:
        stack: Replicas that train at once.
        seconds_per_replica: Training time that one replica then needs.
        compile: The mode of torch.compile, or None.
    """

    stack: int
    seconds_per_replica: float
    compile: str | None = None


class Pace:
    """A stack of ``k`` replicas that trains for the clock; ``step`` is about the seconds of one step."""

    def __init__(self, task: Task, k: int) -> None:
        self.stack = make_stack(task, range(k))
        self._train(1)  # loads what the device needs, and compiles
        self.step = self._train(1)

    def _train(self, steps: int) -> float:
        self.stack.epoch = 0
        return _seconds(lambda: self.stack.train_epoch(steps))

    def alone(self, run: float = RUN) -> float:
        """Return seconds of one step of the stack, in the fastest of three runs of ``run`` seconds each."""
        if self.step > SLOW_STEP:
            return self.step
        every = self.stack.steps
        steps = min(every, MOST, max(2, round(run / self.step)))
        fastest = min(self._train(steps) for _ in range(TIMES))
        # Each run draws a whole epoch, of which its steps are but a part.
        drawing = min(_seconds(self.stack.load_epoch) for _ in range(TIMES))
        return (fastest - drawing * (1 - steps / every)) / steps


def calibrate(task: Task, replicas: int, share: float = 1.0) -> Calibration:
    """Choose what the task's runtime leaves open.

    Args:
        task: What to train. Its runtime's ``stack`` and ``compile`` are taken where they are given.
        replicas: How many this process is about to train.
        share: This process's part of the memory that is free.

    Returns:
        The choice. A given stack that does not fit is halved, as in training.
    """
    plain = replace(task, runtime=replace(task.runtime, compile=None))
    given = task.runtime.stack
    found = timed_stack(plain, given) if isinstance(given, int) else fastest_stack(plain, replicas, share)
    mode = task.runtime.compile
    if mode == "auto":
        pays = compiling_pays(task, found.seconds_per_replica * replicas)
        fault = compiler_fault(task.device.type) if pays else None
        if fault:
            warn_once(f"networks are not compiled: {fault}")
        mode = "default" if pays and not fault else None
    return replace(found, compile=mode)


def compiling_pays(task: Task, seconds: float) -> bool:
    """Say whether compiling wins back its own time where ``seconds`` of training are left.

    Only on a GPU, and only for networks whose passes are not written out; private optimizers, which clip
    example by example, are left as they are.
    """
    if task.device.type != "cuda" or isinstance(task.network, DenseNetwork):
        return False
    shapes = len(set(batch_sizes(task.size, task.recipe.batch_size)))
    private = find_optimizer(task.recipe.optimizer).private
    return not private and COMPILED_GAIN * seconds > COMPILING * shapes


def timed_stack(task: Task, k: int) -> Calibration:
    """Time a stack of ``k`` replicas; one that does not fit is halved until it does, as in training."""
    try:
        return Calibration(k, Pace(task, k).alone() / k * task.steps)
    except (RuntimeError, MemoryError) as error:
        if k == 1 or not out_of_memory(error):
            raise
    # Only here, outside the handler, has the failed stack's memory been let go.
    return timed_stack(task, ceil(k / 2))


def fastest_stack(task: Task, replicas: int = STACKS[-1], share: float = 1.0) -> Calibration:
    """Return the stack with the least time a replica; one replica alone unless stacking saves 5 % or more.

    Growing stacks are timed for a few steps each, until they take half of the memory that is free or 5 % of
    the training that is left, 10 seconds at most. Where that is too little time to tell, the stack is one
    that is usually fast: 32 replicas of a plain MLP, one of any other network; on a GPU 64 and 2.

    Args:
        task: What to train, without a compiler.
        replicas: How many there are to train; no larger stack is tried.
        share: This process's part of the memory that is free.
    """
    begin, (free, start) = time.perf_counter(), memory_of(task.device)
    stacks = [k for k in STACKS if k <= max(replicas, 1) and (k == 1 or not task.dropout)]
    one = Pace(task, 1)
    allowed = min(SECONDS, SHARE * one.step * task.steps * replicas)
    if allowed < WORTH:
        dense, other = USUAL[task.device.type]
        usual = min(dense if isinstance(task.network, DenseNetwork) else other, stacks[-1])
        return Calibration(usual, Pace(task, usual).step / usual * task.steps)
    run = min(RUN, allowed / (2 * TIMES * len(stacks)))
    seconds = _grown(
        task,
        stacks,
        run,
        left=lambda: allowed - (time.perf_counter() - begin),
        full=lambda: 2 * (memory_of(task.device)[1] - start) > MEMORY_SHARE * share * free,
    )
    best = min(seconds, key=seconds.__getitem__)
    if seconds[best] > GAIN * seconds[1]:
        best = 1
    return Calibration(best, seconds[best] * task.steps)


def _grown(
    task: Task, stacks: list[int], run: float, *, left: Callable[[], float], full: Callable[[], bool]
) -> dict[int, float]:
    """Time growing stacks, until the time is up or the memory is full: seconds a replica and step.

    Another stack is timed while there are seconds ``left`` for it and the memory is not ``full``. What
    decides is timed twice, lest a moment in which the machine does something else decide: the stack that ends
    the growth, and at last the best one and one replica alone.
    """
    seconds: dict[int, float] = {}
    last = 0.0
    for k in stacks:
        if seconds and left() < 2 * last:
            break
        begin = time.perf_counter()
        try:
            seconds[k] = Pace(task, k).alone(run) / k
            if seconds[k] > PAST * min(seconds.values()):
                seconds[k] = min(seconds[k], Pace(task, k).alone(run) / k)
        except (RuntimeError, MemoryError) as error:
            if k == 1 or not out_of_memory(error):
                raise
            break
        last = time.perf_counter() - begin
        # A small stack of a CNN may be slower than one replica where a large one is faster.
        past_the_best = min(list(seconds.values())[-2:]) > PAST * min(seconds.values())
        if past_the_best or seconds[k] > SLOW_STEP or full():
            break
    best = min(seconds, key=seconds.__getitem__)
    if best > 1 and left() > 2 * last:
        seconds |= {k: min(seconds[k], Pace(task, k).alone(run) / k) for k in (1, best)}
    return seconds


def _seconds(work: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
