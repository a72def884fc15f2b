"""A block's unfinished state, as it lies in the sweep directory."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trainables.directory import progress_path
from trainables.records import Address, Array
from trainables.storage import Store


@dataclass
class Progress:
    """A block's unfinished state at its own content address, for whoever picks the block up.

    It is saved every ``seconds``, and at the next chance where it is ``urgent``; ``on_saved`` is told.
    """

    store: Store
    address: Address
    seconds: float
    on_saved: Callable[[], None] = lambda: None
    urgent: bool = False
    loaded: bool = False  # whether there was any to go on from

    @property
    def every(self) -> float:
        """The least number of seconds between two saves."""
        return 0.0 if self.urgent else self.seconds

    @property
    def path(self) -> str:
        """Where the progress lies in the sweep directory."""
        return progress_path(self.address)

    def load(self) -> dict[str, Array] | None:
        """Return the saved arrays, or None; unreadable progress counts as none."""
        try:
            with np.load(io.BytesIO(self.store.read(self.path)), allow_pickle=False) as saved:
                arrays = dict(saved)
        except FileNotFoundError:
            return None
        except (ValueError, EOFError, zipfile.BadZipFile):
            return None
        self.loaded = True
        return arrays

    def save(self, arrays: dict[str, Array]) -> None:
        """Keep these arrays in place of the former ones."""
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        self.store.write(self.path, buffer.getvalue())
        if self.urgent:
            self.urgent = False
            self.on_saved()

    def clear(self) -> None:
        """Delete the progress, once the block's record is there."""
        if self.store.exists(self.path):
            self.store.delete(self.path)
