"""How many replicas to stack: what calibration may answer, and what it takes for memory."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
import torch
from torch import nn

from trainables import Recipe
from trainables.engine import calibration as calibrate
from trainables.engine.calibration import _available, fastest_stack, out_of_memory
from trainables.engine.stack import make_task

SMALL = {"name": "digits", "train_size": 160, "test_size": 50}
MLP = {"name": "mlp", "hidden": [16]}


def dropping(shape: tuple[int, ...], classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), classes), nn.Dropout(0.5))


def test_calibration_takes_one_of_its_stacks_and_one_replica_where_dropout_draws() -> None:
    found = fastest_stack(make_task(Recipe(epochs=2), SMALL, MLP))
    assert found.stack in (1, 2, 4, 8, 16, 32, 64)
    assert found.seconds_per_replica > 0
    assert fastest_stack(make_task(Recipe(epochs=2), SMALL, f"{__name__}:dropping")).stack == 1


FLAT = {1: 1.0, 2: 1.0, 4: 1.0, 8: 1.0, 16: 1.0, 32: 1.0, 64: 1.0}  # seconds of one step of a stack


@pytest.mark.parametrize(
    ("seconds", "megabytes", "share", "expected", "timed"),
    [
        (FLAT, 0, 1, 64, 7),
        ({k: 1.0 * k for k in FLAT}, 0, 1, 1, 7),  # nothing gained
        ({k: 0.96 * k if k > 1 else 1.0 for k in FLAT}, 0, 1, 1, 7),  # less than 5 %
        ({k: 0.94 * k if k > 1 else 1.0 for k in FLAT}, 0, 1, 2, 7),
        ({**FLAT, 8: 20.0, 16: 40.0}, 0, 1, 4, 5),  # past the best
        ({**FLAT, 2: 3.0}, 0, 1, 64, 7),  # one that is slow does not end it
        ({k: 11.0 * k for k in FLAT}, 0, 1, 1, 1),  # no overhead to share where a step takes so long
        ({1: 1.0, 2: 1.0, 4: 1.0}, 0, 1, 4, 3),  # 8 do not fit
        (FLAT, 70, 1, 4, 3),  # of 1,000 MB a stack may take half, and the next one twice as much
        (FLAT, 70, 0.25, 1, 1),
    ],
)
def test_the_stack_is_the_fastest_that_fits(
    monkeypatch: pytest.MonkeyPatch,
    seconds: dict[int, float],
    megabytes: int,
    share: float,
    expected: int,
    timed: int,
) -> None:
    built: list[int] = []

    class Paced:
        def __init__(self, _: object, k: int) -> None:
            if k not in seconds:
                raise torch.OutOfMemoryError("CUDA out of memory")
            built.append(k)
            self.alone = lambda: seconds[k]

    monkeypatch.setattr(calibrate, "Pace", Paced)
    monkeypatch.setattr(calibrate, "_memory", lambda _: (1000, megabytes * max(built, default=0)))
    monkeypatch.setattr(calibrate, "SLOW_STEP", 10.0)
    task = make_task(Recipe(epochs=2, batch_size=16), SMALL, MLP)
    found = fastest_stack(task, share)
    assert found.stack == expected
    assert found.seconds_per_replica == pytest.approx(seconds[expected] / expected * 10)  # 2 epochs of 5
    assert len(set(built)) == timed


def test_a_given_stack_that_does_not_fit_is_timed_at_half(monkeypatch: pytest.MonkeyPatch) -> None:
    class Paced:
        def __init__(self, _: object, k: int) -> None:
            if k > 5:
                raise torch.OutOfMemoryError("CUDA out of memory")
            self.alone = lambda: 1.0

    monkeypatch.setattr(calibrate, "Pace", Paced)
    task = make_task(Recipe(epochs=2, batch_size=16), SMALL, MLP)
    assert calibrate.timed_stack(task, 5) == calibrate.timed_stack(task, 9)
    assert calibrate.timed_stack(task, 5).stack == 5
    with pytest.raises(torch.OutOfMemoryError):  # halved once, as in training
        calibrate.timed_stack(task, 12)


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
