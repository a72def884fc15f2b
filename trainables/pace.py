"""How fast a stack trains: alone, or while other processes train theirs on the same device."""

from __future__ import annotations

import time

import numpy as np

from trainables.lockstep import Stack, Task

SLOW_STEP = 1.0  # seconds; a step that takes this long needs no other to be timed
RUN = 0.1  # seconds of a timed run


class Pace:
    """A stack of ``k`` replicas that trains for the clock; ``first`` is the seconds of its first step."""

    def __init__(self, task: Task, k: int) -> None:
        self.stack = Stack(task, range(k))
        if task.compile:
            self._train(1)  # compiles
        self.first = self._train(1)

    def _train(self, steps: int) -> float:
        begin, self.stack.epoch = time.perf_counter(), 0
        self.stack.train_epoch(steps)
        return time.perf_counter() - begin

    def _steps_in(self, seconds: float) -> int:
        return min(self.stack.sampler.steps, max(2, round(seconds / self.first)))

    def alone(self) -> float:
        """Seconds of one step of the stack: in the fastest of three short runs."""
        if self.first > SLOW_STEP:
            return self.first
        steps = min(20, self._steps_in(RUN))
        return min(self._train(steps) for _ in range(3)) / steps

    def beside_others(self, seconds: float) -> float:
        """Seconds of one step of the stack, over the middle half of so many seconds.

        Processes that begin within a quarter of them of one another thus all train while any is counted.
        """
        begin, steps = time.perf_counter(), self._steps_in(RUN)
        ends = [0.0]
        while ends[-1] < seconds:
            self._train(steps)
            ends.append(time.perf_counter() - begin)
        done = np.interp([seconds / 4, 3 * seconds / 4], ends, steps * np.arange(len(ends)))
        return float(seconds / 2 / (done[1] - done[0]))
