"""How many replicas to stack: a few timed steps for growing stacks, bounded by memory."""

from __future__ import annotations

import os
import re
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from trainables.datasets import Dataset
from trainables.lockstep import Stack, Task, make_task
from trainables.models import ModelSpec
from trainables.recipe import Recipe

STACKS = (1, 2, 4, 8, 16, 32, 64)
SLOW_STEP = 1.0  # seconds; where one replica's step takes this long, no overhead is left to share
RUN = 0.1  # seconds of a timed run
GAIN = 0.95  # a stack must take at most this share of one replica's time to be preferred to it
MEMORY_SHARE = 0.5  # of what is free


@dataclass(frozen=True)
class Calibration:
    """The stack that trained fastest, and the training time that it would need for one replica in seconds."""

    stack: int
    seconds_per_replica: float


def calibrate(
    recipe: Recipe,
    dataset: str | Mapping[str, Any] | Dataset,
    model: ModelSpec,
    *,
    device: str | torch.device = "cpu",
    compile: str | None = None,
) -> Calibration:
    """Times a few steps of growing stacks of half-subset replicas; takes about a second for small models."""
    return fastest_stack(make_task(recipe, dataset, model, device=device, compile=compile))


def fastest_stack(task: Task) -> Calibration:
    """The stack with the least time a replica; one replica alone unless stacking saves 5 % or more.

    What decides is timed twice, lest a moment in which the machine does something else decide: the stack that
    ends the growth, and at last the best one and one replica alone. With ``compile`` the stack is chosen
    without it, which would take a while for each, and then timed with it.
    """
    free, start = _memory(task.data.device)
    plain = replace(task, compile=None)
    seconds: dict[int, float] = {}
    for k in STACKS[:1] if task.dropout else STACKS:
        try:
            seconds[k] = _seconds_per_step(plain, k)
            if seconds[k] > 1.2 * min(seconds.values()):
                seconds[k] = min(seconds[k], _seconds_per_step(plain, k))
        except (RuntimeError, MemoryError) as error:
            if k == 1 or not out_of_memory(error):
                raise
            break
        used = _memory(task.data.device)[1] - start
        past_the_best = seconds[k] > 1.2 * min(seconds.values())
        if past_the_best or seconds[k] > SLOW_STEP or 2 * used > MEMORY_SHARE * free:
            break
    best = min(seconds, key=seconds.__getitem__)
    if best > 1:
        seconds |= {k: min(seconds[k], _seconds_per_step(plain, k)) for k in (1, best)}
    if seconds[best] > GAIN * seconds[1]:
        best = 1
    if task.compile:
        seconds[best] = _seconds_per_step(task, best)
    steps = -(-task.size // task.recipe.batch_size) * task.epochs
    return Calibration(best, seconds[best] * steps)


def out_of_memory(error: BaseException) -> bool:
    """Whether this is the device's or the host's memory running out, in any of the ways that torch says
    so."""
    says = str(error)
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(
        part in says for part in ("can't allocate memory", "CUDA error: out of memory", "STATUS_ALLOC_FAILED")
    )


def _seconds_per_step(task: Task, k: int) -> float:
    """Of one replica in a stack of k: the fastest of three short runs, after a step to warm up."""
    stack = Stack(task, range(k))
    if task.compile:
        stack.train_epoch(1)  # compiles

    def run(steps: int) -> float:
        begin, stack.epoch = time.perf_counter(), 0
        stack.train_epoch(steps)
        return (time.perf_counter() - begin) / steps

    first = run(1)
    if first > SLOW_STEP:
        return first / k
    steps = min(stack.sampler.steps, 20, max(2, round(RUN / first)))
    return min(run(steps) for _ in range(3)) / k


def _memory(device: torch.device) -> tuple[int, int]:
    """Free bytes, and the most that this process has used so far."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0], torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return _available(), peak


def _available() -> int:
    """Bytes that could be had now. Linux counts what its file cache would give back, without which a machine
    that has read much would seem full; elsewhere all there are."""
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return 1024 * int(found[1]) if found else os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
