"""What went wrong with a block, as it lies in the sweep directory, and when it is given up."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass

from trainables.block import Block, Job
from trainables.directory import failure_path

ATTEMPTS = 3


@dataclass(frozen=True)
class Failures:
    """What went wrong with a block in this run, kept beside the records."""

    job: Job
    block: Block

    @property
    def path(self) -> str:
        """Where the failure lies in the sweep directory."""
        return failure_path(self.block.address)

    def count(self) -> int:
        """Return the attempts that failed in this run."""
        try:
            failure = json.loads(self.job.store.read(self.path))
        except (FileNotFoundError, ValueError):
            return 0
        return int(failure["attempts"]) if failure.get("run_id") == self.job.run_id else 0

    def add(self, error: str, trace: str, log: str, *, last: bool = False) -> int:
        """Note a failed attempt, ``last`` if none will follow; return how many there were in this run."""
        attempts = self.count() + 1
        failure = {
            "block": self.block.name,
            "recipe": self.block.knobs,
            "seeds": [self.block.address.first, self.block.address.last],
            "run_id": self.job.run_id,
            "attempts": attempts,
            "given_up": last or attempts >= ATTEMPTS,
            "error": error,
            "traceback": trace,
            "log": log,
            "host": socket.gethostname(),
            "time": time.time(),
        }
        self.job.store.write(self.path, json.dumps(failure, indent=1).encode())
        return attempts

    def clear(self) -> None:
        """Delete what was noted, once the block is trained."""
        if self.job.store.exists(self.path):
            self.job.store.delete(self.path)
