"""Models of a user's own: some fail in calibration, or before it, one notes its process."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from torch import Tensor, nn


def never(shape: tuple[int, ...], classes: int) -> nn.Module:
    raise LookupError(f"no weights for {shape}\nnor for {classes} classes")


def not_on_a_node(shape: tuple[int, ...], classes: int) -> nn.Module:
    return never(shape, classes) if _calibrating() else linear(shape, classes)


def killed(shape: tuple[int, ...], classes: int) -> nn.Module:
    return os._exit(1) if _calibrating() else linear(shape, classes)


def data() -> dict[str, Any]:
    raise LookupError("no data today")


class Noting(nn.Module):
    """A network that notes in a file in which process it was last run."""

    def __init__(self, shape: tuple[int, ...], classes: int, *, file: str) -> None:
        super().__init__()
        self.linear, self.file = linear(shape, classes), file

    def forward(self, x: Tensor) -> Tensor:
        Path(self.file).write_text(str(os.getpid()))
        return self.linear(x)


def linear(shape: tuple[int, ...], classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), classes))


def _calibrating() -> bool:
    from ray._raylet import getproctitle

    return "calibrate" in getproctitle()
