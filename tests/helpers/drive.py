"""A driver process that a test may kill: ``drive.py SPEC.json DIR ADDRESS`` trains, without the audit.

Exits as ``flatleak run`` does, also after SIGTERM. The GPUs of the test cluster are made up, so training
stays on the CPU. The outcome also says on which nodes trials ``died_on``; FLATLEAK_DEATHS is how many deaths
one may have.
"""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

from torch import nn


def explosive(shape: tuple[int, ...], classes: int) -> nn.Module:
    """A model that cannot be built in the trials of recipe sam: a trial that fails by itself."""
    if _in_a_trial_of_sam():
        raise RuntimeError("the fuse was lit")
    return small(shape, classes)


def deadly(shape: tuple[int, ...], classes: int) -> nn.Module:
    """A model that ends the process of every trial of recipe sam."""
    if _in_a_trial_of_sam():
        os._exit(1)
    return small(shape, classes)


def impatient(shape: tuple[int, ...], classes: int) -> nn.Module:
    """A model whose processes wait for no storage."""
    from trainables import storage

    storage.PATIENCE = ()  # type: ignore[assignment]
    return small(shape, classes)


def _in_a_trial_of_sam() -> bool:
    from ray._raylet import getproctitle

    return "sam" in getproctitle()


def small(shape: tuple[int, ...], classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), 16), nn.ReLU(), nn.Linear(16, classes))


def main(spec: str, out: str, address: str) -> Any:
    from sweep.runner import stopping

    stopping.install()
    stopping.shield()
    from sweep import SweepSpec, run
    from sweep.runner.trainer import Trainer
    from sweep.watch import tally

    watches = []

    class Watch(tally.Watch):
        DEATHS = int(os.environ.get("FLATLEAK_DEATHS", tally.Watch.DEATHS))

        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            watches.append(self)

    tally.Watch = Watch  # type: ignore[misc]
    Trainer._device = "cpu"  # type: ignore[method-assign, assignment]
    outcome = run(SweepSpec.of(json.loads(Path(spec).read_text())), out, address=address, analyse=False)
    died_on = [node for watch in watches for nodes in watch.died_on.values() for node in nodes]
    print(json.dumps({**outcome.to_json(), "died_on": died_on}))
    return outcome.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
