"""A driver process that a test may kill: ``drive.py SPEC.json DIR ADDRESS`` trains, without the audit.

Exits as ``flatleak run`` does. The GPUs of the test cluster are made up, so training stays on the CPU.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

from torch import nn


def explosive(shape: tuple[int, ...], classes: int) -> nn.Module:
    """A model that cannot be built in the trials of recipe sam: a trial that fails by itself."""
    from ray._raylet import getproctitle

    if "sam" in getproctitle():
        raise RuntimeError("the fuse was lit")
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), 16), nn.ReLU(), nn.Linear(16, classes))


def main(spec: str, out: str, address: str) -> Any:
    from sweep import SweepSpec, run
    from sweep.trainer import Trainer

    Trainer._device = "cpu"  # type: ignore[method-assign, assignment]
    outcome = run(SweepSpec.of(json.loads(Path(spec).read_text())), out, address=address, analyse=False)
    print(json.dumps(outcome.to_json()))
    return outcome.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
