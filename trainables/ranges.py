"""A file of an object store, read in few requests: its end at once, the rest in ranges."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import Any

TAIL = 1 << 16  # bytes of a file's end that are read first; a smaller file is read whole


class Remote:
    """The end of a file, kept for all that read it.

    Args:
        file: of pyarrow, open for random access.
        patiently: calls a read, again where that is worth it.
    """

    def __init__(
        self, file: Any, patiently: Callable[[Callable[[], Any]], Any] = lambda read: read()
    ) -> None:
        self._file, self._patiently = file, patiently
        self.size = int(file.size())
        self.tail_start = max(0, self.size - TAIL)
        self._tail = bytes(file.read_at(self.size - self.tail_start, self.tail_start))

    def range(self, start: int, end: int) -> bytes:
        """Return the bytes from ``start`` to ``end``: one request, none within the file's end."""
        if start >= self.tail_start:
            return self._tail[start - self.tail_start : end - self.tail_start]
        return bytes(self._patiently(lambda: self._file.read_at(end - start, start)))


class Ranges(io.RawIOBase):
    """A seekable reader of a `Remote`, one for each thread; ``expect`` says what is wanted next."""

    def __init__(self, remote: Remote) -> None:
        self._remote, self._place = remote, 0
        self._start, self._held = 0, b""

    def expect(self, start: int, end: int) -> None:
        """Read a range in one request, for the reads that follow."""
        self._start, self._held = start, self._remote.range(start, min(end, self._remote.size))

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        end = self._remote.size if size is None or size < 0 else min(self._place + size, self._remote.size)
        begin, self._place = self._place, max(self._place, end)
        if self._start <= begin and end <= self._start + len(self._held):
            return self._held[begin - self._start : end - self._start]
        return self._remote.range(begin, end) if end > begin else b""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the place of the next read."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._remote.size}[whence]
        self._place = base + offset
        return self._place

    def tell(self) -> int:
        """Return the place of the next read."""
        return self._place

    def seekable(self) -> bool:
        """Return True."""
        return True

    def readable(self) -> bool:
        """Return True."""
        return True
