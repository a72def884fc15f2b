"""Models of a user's own: some fail in calibration, or before it, some share a device well or badly."""

from __future__ import annotations

import fcntl
import math
import os
import time
from typing import Any

import torch
from torch import Tensor, nn


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

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.linear = linear(shape, classes)

    def forward(self, x: Tensor) -> Tensor:
        time.sleep(0.1)
        return self.linear(x)


class Queueing(Waiting):
    """One whose passes have a device to themselves, one process after the other. ``device`` is a file, which
    says whose it was last."""

    def __init__(self, shape: tuple[int, ...], classes: int, *, device: str) -> None:
        super().__init__(shape, classes)
        self.device = device

    def forward(self, x: Tensor) -> Tensor:
        with open(self.device, "w") as device:
            fcntl.flock(device, fcntl.LOCK_EX)
            print(os.getpid(), file=device, flush=True)
            return super().forward(x)


class Exclusive(Queueing):
    """One whose process keeps the device for good, as a GPU in exclusive mode is kept."""

    kept: Any = None

    def forward(self, x: Tensor) -> Tensor:
        if Exclusive.kept is None and torch.is_grad_enabled():  # in training
            Exclusive.kept = open(self.device, "w")  # noqa: SIM115
            try:
                fcntl.flock(Exclusive.kept, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable") from None
        return Waiting.forward(self, x)


class Lost(Waiting):
    """One whose process is lost where the file ``device`` is; that file goes with it."""

    def __init__(self, shape: tuple[int, ...], classes: int, *, device: str) -> None:
        super().__init__(shape, classes)
        self.device = device

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() and os.path.exists(self.device):
            os.remove(self.device)
            os._exit(1)
        return super().forward(x)


def linear(shape: tuple[int, ...], classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), classes))


def _calibrating() -> bool:
    from ray._raylet import getproctitle

    return "calibrate" in getproctitle()
