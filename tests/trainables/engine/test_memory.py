"""The memory of the host: how much is free, and when it has run out."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
import torch

from trainables.engine.memory import available, memory_of, out_of_memory


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells its file cache apart")
def test_free_memory_counts_what_the_file_cache_would_give_back() -> None:
    free, every = (os.sysconf(f"SC_{kind}_PAGES") * os.sysconf("SC_PAGE_SIZE") for kind in ("AVPHYS", "PHYS"))
    assert 0.9 * free < available() < every


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
    ],
)
def test_every_way_to_run_out_of_memory_is_known(error: Exception, expected: bool) -> None:
    assert out_of_memory(error) is expected


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says it in /proc")
def test_the_most_that_this_process_has_used_is_what_linux_says() -> None:
    free, peak = memory_of(torch.device("cpu"))
    said = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert said is not None
    assert peak == pytest.approx(1024 * int(said[1]), rel=0.05)
    assert free > 0


def test_a_gpus_memory_is_what_is_free_there_and_was_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (7, 10))
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda _: 3)
    assert memory_of(torch.device("cuda")) == (7, 3)
