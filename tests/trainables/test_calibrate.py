"""How many replicas to stack: what calibration may answer, and what it takes for memory."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
import torch
from torch import nn

from trainables import Recipe
from trainables.calibrate import _available, fastest_stack, out_of_memory
from trainables.lockstep import make_task

SMALL = {"name": "digits", "train_size": 160, "test_size": 50}
MLP = {"name": "mlp", "hidden": [16]}


def dropping(shape: tuple[int, ...], classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), classes), nn.Dropout(0.5))


def test_calibration_takes_one_of_its_stacks_and_one_replica_where_dropout_draws() -> None:
    found = fastest_stack(make_task(Recipe(epochs=2), SMALL, MLP))
    assert found.stack in (1, 2, 4, 8, 16, 32, 64)
    assert found.seconds_per_replica > 0
    assert fastest_stack(make_task(Recipe(epochs=2), SMALL, f"{__name__}:dropping")).stack == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells its file cache apart")
def test_free_memory_counts_what_the_file_cache_would_give_back() -> None:
    free, every = (os.sysconf(f"SC_{kind}_PAGES") * os.sysconf("SC_PAGE_SIZE") for kind in ("AVPHYS", "PHYS"))
    assert 0.9 * free < _available() < every


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
