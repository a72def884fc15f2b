"""Notes the records of finished trials in ``records.json``, so that the next run need not read them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Lock
from typing import Any

from sweep.watch.tally import LocalCallback, block_of
from trainables.block import Block
from trainables.checked import Checked
from trainables.storage import Store

WRITE_EVERY = 60.0  # seconds


class Noting(LocalCallback):
    """Checks the record of each block that is finished, beside the training.

    Args:
        store: the sweep directory.
        blocks: what the trials train.
    """

    def __init__(self, store: Store, blocks: Sequence[Block]) -> None:
        self._store, self._blocks = store, blocks
        self._checked = Checked(store)
        self._pool = ThreadPoolExecutor(2, "flatleak-noting")
        self._writing, self._written = Lock(), time.monotonic()

    def on_trial_complete(self, *_: Any, **event: Any) -> None:
        """Have the block's record checked; one that was given up has none."""
        self._pool.submit(self._note, self._blocks[block_of(event)])

    def _note(self, block: Block) -> None:
        with suppress(OSError):  # the next run reads it
            self._checked.problem(self._store.entry(block.address.path))
        with self._writing:
            if time.monotonic() - self._written > WRITE_EVERY:
                self._written = time.monotonic()
                self._checked.write()

    def close(self, *, answers: bool = True) -> None:
        """Write what was noted.

        Args:
            answers: whether the storage does; else what is left is dropped.
        """
        self._pool.shutdown(wait=answers, cancel_futures=not answers)
        if answers:
            self._checked.write()
