"""How many replicas to stack: a few timed steps for growing stacks, bounded by memory."""

from __future__ import annotations

import os
import re
import resource
import sys
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

import torch

from trainables.engine.stack import Task
from trainables.engine.timing import SLOW_STEP, Pace

STACKS = (1, 2, 4, 8, 16, 32, 64)
GAIN = 0.95  # a stack must take at most this share of one replica's time to be preferred to it
PAST = 1.2  # times the least time; two stacks in a row that take so long end the growth
MEMORY_SHARE = 0.5  # of what is free


@dataclass(frozen=True)
class Calibration:
    """A stack, and the training time that it needs for one replica in seconds."""

    stack: int
    seconds_per_replica: float


def timed_stack(task: Task, k: int) -> Calibration:
    """What a stack of ``k`` replicas takes; where it does not fit, what half of it takes, as in training."""
    try:
        return _timed(task, k)
    except (RuntimeError, MemoryError) as error:
        if k == 1 or not out_of_memory(error):
            raise
    # Only here, outside the handler, has the failed stack's memory been let go.
    return _timed(task, ceil(k / 2))


def _timed(task: Task, k: int) -> Calibration:
    return Calibration(k, Pace(task, k).alone() / k * task.steps)


def fastest_stack(task: Task, share: float = 1.0) -> Calibration:
    """The stack with the least time a replica; one replica alone unless stacking saves 5 % or more.

    Growing stacks are timed for a few steps each, about a second in all for small models, until they take
    half of the memory that is free; ``share`` of it is this process's. What decides is timed twice, lest a
    moment in which the machine does something else decide: the stack that ends the growth, and at last the
    best one and one replica alone. With ``compile`` the stack is chosen without it, which would take a while
    for each, and then timed with it.
    """
    free, start = _memory(task.data.device)
    plain = replace(task, compile=None)
    seconds: dict[int, float] = {}
    for k in STACKS[:1] if task.dropout else STACKS:
        try:
            seconds[k] = Pace(plain, k).alone() / k
            if seconds[k] > PAST * min(seconds.values()):
                seconds[k] = min(seconds[k], Pace(plain, k).alone() / k)
        except (RuntimeError, MemoryError) as error:
            if k == 1 or not out_of_memory(error):
                raise
            break
        used = _memory(task.data.device)[1] - start
        # A small stack of a CNN may be slower than one replica where a large one is faster.
        past_the_best = min(list(seconds.values())[-2:]) > PAST * min(seconds.values())
        if past_the_best or seconds[k] > SLOW_STEP or 2 * used > MEMORY_SHARE * share * free:
            break
    best = min(seconds, key=seconds.__getitem__)
    if best > 1:
        seconds |= {k: min(seconds[k], Pace(plain, k).alone() / k) for k in (1, best)}
    if seconds[best] > GAIN * seconds[1]:
        best = 1
    return _timed(task, best) if task.compile else Calibration(best, seconds[best] * task.steps)


def out_of_memory(error: BaseException) -> bool:
    """Whether this is the device's or the host's memory running out, in any of the ways that torch says
    so."""
    says = str(error)
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(
        part in says for part in ("can't allocate memory", "CUDA error: out of memory", "STATUS_ALLOC_FAILED")
    )


def _memory(device: torch.device) -> tuple[int, int]:
    """Free bytes, and the most that this process has used so far."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0], torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return _available(), peak


def memory_left(device: torch.device) -> float:
    """Which share of the device's memory, or of the host's, is free for whoever asks for it."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return free / total
    return _available() / (os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))


def _available() -> int:
    """Bytes that could be had now. Linux counts what its file cache would give back, without which a machine
    that has read much would seem full; elsewhere all there are."""
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return 1024 * int(found[1]) if found else os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
