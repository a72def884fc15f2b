"""A folder for what Tune writes meanwhile. Nothing of it stays behind, whichever way a run ends."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "flatleak-tune-"
LOCK = "lock"


@contextmanager
def scratch() -> Iterator[str]:
    """Make the folder, and take those away whose runs were killed.

    Yields:
        Its path. A lock in it, which the kernel frees with its process, tells that its run lives.
    """
    _clear()
    with (
        tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as folder,
        open(os.path.join(folder, "new"), "w") as lock,
    ):
        with suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
            os.rename(lock.name, os.path.join(folder, LOCK))  # seen only once it is held
        yield folder


def _clear() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError), open(folder / LOCK, "r+") as lock:  # somebody else's, or just taken away
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
