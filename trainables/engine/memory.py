"""The memory of the host and of the device: how much is free, and when it has run out."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import sys
from functools import cache
from pathlib import Path

import torch


@cache
def keep_freed_memory() -> None:
    """Has glibc keep freed memory instead of giving it back to the system and asking again in the same step.

    Temporaries of a few MiB cost more in page faults than in arithmetic: a quarter of an MLP stack's time.
    """
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None:
        mallopt(mmap_threshold, 2**25)
        mallopt(trim_threshold, 2**30)


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that the device's or the host's memory ran out.

    torch says so in several ways; all are known here.
    """
    says = str(error)
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(
        part in says for part in ("can't allocate memory", "CUDA error: out of memory", "STATUS_ALLOC_FAILED")
    )


def memory_of(device: torch.device) -> tuple[int, int]:
    """Free bytes, and the most that this process has used so far."""
    if device.type == "cuda":
        # Reserved, not allocated: what captured steps work in counts as free between their captures.
        return torch.cuda.mem_get_info(device)[0], torch.cuda.max_memory_reserved(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return available(), peak


def available() -> int:
    """Return the bytes of the host that could be had now.

    Linux counts what its file cache would give back, without which a machine that has read much would seem
    full; elsewhere all bytes count.
    """
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return 1024 * int(found[1]) if found else os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
