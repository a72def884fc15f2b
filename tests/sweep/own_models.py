"""Models of a user's own that fail in calibration, or before it."""

from __future__ import annotations

import math
import os
from typing import Any

from torch import nn


def never(shape: tuple[int, ...], classes: int) -> nn.Module:
    raise LookupError(f"no weights for {shape}\nnor for {classes} classes")


def not_on_a_node(shape: tuple[int, ...], classes: int) -> nn.Module:
    return never(shape, classes) if _calibrating() else linear(shape, classes)


def killed(shape: tuple[int, ...], classes: int) -> nn.Module:
    return os._exit(1) if _calibrating() else linear(shape, classes)


def data() -> dict[str, Any]:
    raise LookupError("no data today")


def linear(shape: tuple[int, ...], classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), classes))


def _calibrating() -> bool:
    from ray._raylet import getproctitle

    return "calibrate" in getproctitle()
