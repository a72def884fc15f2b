"""How fast a stack trains: alone, or while other processes train theirs on the same device."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from trainables.engine.stack import Stack, Task

SLOW_STEP = 1.0  # seconds; a step that takes this long needs no other to be timed
RUN = 0.1  # seconds of a timed run
MOST = 20  # steps of one
TIMES = 3  # that it is repeated


class Pace:
    """A stack of ``k`` replicas that trains for the clock; ``step`` is about the seconds of one step."""

    def __init__(self, task: Task, k: int) -> None:
        self.stack = Stack(task, range(k))
        self._train(1)  # loads what the device needs, and compiles
        self.step = self._train(1)

    def _train(self, steps: int) -> float:
        self.stack.epoch = 0
        return _seconds(lambda: self.stack.train_epoch(steps))

    def _steps_in(self, seconds: float) -> int:
        return min(self.stack.sampler.steps, max(2, round(seconds / self.step)))

    def alone(self) -> float:
        """Seconds of one step of the stack: in the fastest of three short runs."""
        if self.step > SLOW_STEP:
            return self.step
        steps = min(MOST, self._steps_in(RUN))
        fastest = min(self._train(steps) for _ in range(TIMES))
        # Each run draws a whole epoch, of which its steps are but a part.
        drawing = min(_seconds(lambda: next(self.stack.batches())) for _ in range(TIMES))
        return (fastest - drawing * (1 - steps / self.stack.sampler.steps)) / steps

    def beside_others(self, seconds: float) -> float:
        """Seconds of one step of the stack, over the middle half of so many seconds.

        Processes that begin within a quarter of them of one another thus all train while any is counted.
        """
        begin, steps = time.perf_counter(), self._steps_in(seconds / 8)
        ends = [0.0]
        while ends[-1] < seconds:
            self._train(steps)
            ends.append(time.perf_counter() - begin)
        done = np.interp([seconds / 4, 3 * seconds / 4], ends, steps * np.arange(len(ends)))
        return float(seconds / 2 / (done[1] - done[0]))


def _seconds(work: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
