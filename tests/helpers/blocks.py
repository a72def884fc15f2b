"""A block of a made-up run, and what is noted where it fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trainables.block import Block, Job
from trainables.directory import failure_path
from trainables.engine.runtime import Runtime
from trainables.records import Address, Context
from trainables.storage import Store

ADDRESS = Address("a" * 10, "b" * 10, 4, 7)
BLOCK = Block({"optimizer": "sam", "rho": 0.1}, ADDRESS, "sam rho=0.1")
CONTEXT = Context(dataset={"name": "digits"}, fingerprint="0", model={"name": "mlp"})


def job(folder: Path, run_id: str = "first") -> Job:
    """A run of this one block, whose sweep directory is the folder."""
    return Job(run_id, Store.at(folder), CONTEXT, (BLOCK,), Runtime(), 60.0)


def failure(folder: Path) -> dict[str, Any]:
    """What was noted of the block."""
    return dict(json.loads(Store.at(folder).read(failure_path(ADDRESS))))
