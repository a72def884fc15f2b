"""A block, which a trial trains, and the job that the trials of a run share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trainables.engine.runtime import Runtime
from trainables.records import Address, Context
from trainables.storage import Store


@dataclass(frozen=True)
class Block:
    """What one trial trains: consecutive subset seeds of one recipe. ``label`` tells it from the others."""

    knobs: dict[str, Any]
    address: Address
    label: str

    @property
    def name(self) -> str:
        """The block's name for people: label and subset seeds."""
        return f"{self.label} seeds {self.address.first}-{self.address.last}"

    def __len__(self) -> int:
        return len(self.address.seeds)


@dataclass(frozen=True)
class Job:
    """What the trials of one run share. ``run_id`` tells its failures from those of earlier runs."""

    run_id: str
    store: Store
    context: Context
    blocks: tuple[Block, ...]
    runtime: Runtime
    progress_seconds: float
