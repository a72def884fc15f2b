"""Models of a user's own: some fail in calibration, or before it, some share a device well or badly."""

from __future__ import annotations

import fcntl
import math
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

DEVICE = Path(tempfile.gettempdir()) / "flatleak-test-device"  # one file for all processes of a test


def never(shape: tuple[int, ...], classes: int) -> nn.Module:
    raise LookupError(f"no weights for {shape}\nnor for {classes} classes")


def not_on_a_node(shape: tuple[int, ...], classes: int) -> nn.Module:
    return never(shape, classes) if _calibrating() else linear(shape, classes)


def killed(shape: tuple[int, ...], classes: int) -> nn.Module:
    return os._exit(1) if _calibrating() else linear(shape, classes)


def data() -> dict[str, Any]:
    raise LookupError("no data today")


class Waiting(nn.Module):
    """A network whose every pass takes a while and no processor: processes side by side do not slow it."""

    seconds = 0.02

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.linear = linear(shape, classes)

    def forward(self, x: Tensor) -> Tensor:
        time.sleep(self.seconds)
        return self.linear(x)


class Queueing(Waiting):
    """One whose passes have a device to themselves, one process after the other."""

    seconds = 0.15

    def forward(self, x: Tensor) -> Tensor:
        with DEVICE.open("w") as device:
            fcntl.flock(device, fcntl.LOCK_EX)
            return super().forward(x)


class Exclusive(Waiting):
    """One whose process keeps the device for good, as a GPU in exclusive mode is kept."""

    kept: Any = None

    def forward(self, x: Tensor) -> Tensor:
        if Exclusive.kept is None and torch.is_grad_enabled():  # in training
            Exclusive.kept = DEVICE.open("w")
            try:
                fcntl.flock(Exclusive.kept, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable") from None
        return super().forward(x)


def linear(shape: tuple[int, ...], classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), classes))


def _calibrating() -> bool:
    from ray._raylet import getproctitle

    return "calibrate" in getproctitle()
