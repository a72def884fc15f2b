"""What happens to a sweep now: a small file that its driver keeps, for whoever looks from outside."""

from __future__ import annotations

import json
import time
from contextlib import suppress

from pydantic import BaseModel, ConfigDict, ValidationError

from trainables.directory import PHASE
from trainables.storage import Store

RUNNING = ("starting", "waiting", "training", "auditing", "drawing")
ENDED = ("complete", "trained", "stopped", "failed")


class Phase(BaseModel):
    """A phase of a sweep, one of ``RUNNING`` or ``ENDED``.

    Args:
        name: ``trained`` means that the run was asked for no audit.
        detail: What is done, what is waited for, or why it ended.
        done: How many of ``total`` are done, where they are counted.
        total: As many as there are.
        address: The Ray cluster that the run was given, if any.
        time: When this was noted, in seconds since the epoch on the driver's clock.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    detail: str = ""
    done: int | None = None
    total: int | None = None
    address: str | None = None
    time: float = 0.0

    def __str__(self) -> str:
        count = "" if self.total is None else f" {self.done or 0}/{self.total}"
        return f"{self.name}{count}" + (f" ({self.detail})" if self.detail else "")


def read_phase(store: Store) -> Phase | None:
    """Read the phase that was noted last.

    Args:
        store: The sweep directory.

    Returns:
        The phase; None where none was noted, or where the file cannot be read as one.
    """
    try:
        return Phase.model_validate(json.loads(store.read(PHASE)))
    except (FileNotFoundError, ValueError, ValidationError):
        return None


def note_phase(
    store: Store, name: str, detail: str = "", done: int | None = None, total: int | None = None
) -> None:
    """Note what happens to the sweep now. A storage that takes no file goes without.

    Args:
        store: The sweep directory.
        name: One of ``RUNNING`` or ``ENDED``.
        detail: What is done, what is waited for, or why it ended.
        done: How many of ``total`` are done.
        total: As many as there are.
    """
    with suppress(OSError):
        before = read_phase(store)
        write_phase(
            store,
            Phase(name=name, detail=detail, done=done, total=total, address=before and before.address),
        )


def write_phase(store: Store, phase: Phase) -> None:
    """Write a phase as it is, noted now.

    Args:
        store: The sweep directory.
        phase: With the address, which `note_phase` keeps.
    """
    store.write(PHASE, phase.model_copy(update={"time": time.time()}).model_dump_json().encode())
