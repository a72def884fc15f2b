"""What training did, in numbers: how many replicas are there, which were given up, and why it ended."""

from __future__ import annotations

from dataclasses import dataclass

from trainables.block import Block


@dataclass(frozen=True)
class Trained:
    """What one call of ``Trainer.train`` did. ``failed`` are the blocks given up."""

    replicas: int
    present: int
    trained: int
    failed: tuple[Block, ...] = ()
    interrupted: bool = False
    fatal: str | None = None
    set_aside: tuple[str, ...] = ()
    per_hour: float | None = None  # replicas trained an hour; what an earlier run had trained does not count

    @property
    def replicas_there(self) -> int:
        """Replicas that have a record now."""
        return self.present + self.trained
