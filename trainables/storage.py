"""A directory that may lie on disk, NFS or an object store; files appear whole or not at all."""

from __future__ import annotations

import errno
import os
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, TypeVar, cast
from urllib.parse import unquote, urlsplit

from pyarrow import fs

from trainables.errors import StorageFull, UserError, first_line
from trainables.ranges import Remote

T = TypeVar("T")

ASIDE = ".aside-"  # begins the names of files that are not in place
# What a healthy object store answers now and then, in Arrow's words; anything else is an answer to keep.
TRANSIENT = (
    "NETWORK_CONNECTION",
    "REQUEST_TIMEOUT",
    "SLOW_DOWN",
    "THROTTLING",
    "SERVICE_UNAVAILABLE",
    "INTERNAL_FAILURE",
    "HTTP status 500",
    "HTTP status 502",
    "HTTP status 503",
    "HTTP status 504",
)
PATIENCE = (
    1.0,
    2.0,
    4.0,
    8.0,
    16.0,
)  # seconds between attempts, each of which Arrow itself retries for a while


@dataclass(frozen=True)
class Entry:
    """One file: its path below the store's root, bytes, and when it was put in place.

    ``modified`` is in nanoseconds since the epoch on the storage's clock; object stores tell whole seconds.
    """

    path: str
    size: int
    modified: int = 0


@dataclass(frozen=True)
class Store:
    """Files below one root, named by relative paths with forward slashes; picklable, so trials carry it."""

    uri: str

    @staticmethod
    def at(location: str | os.PathLike[str]) -> Store:
        """Open a path or a URI (``s3://``, ``gs://``, ``file://``); pyarrow.fs options after a ``?``.

        Raises:
            UserError: the path or URI means no place, the URI cannot be opened, or it holds credentials,
                which would show wherever it is shown.
        """
        text = located(os.fspath(location), "storage")
        if "://" not in text:
            return Store(text)
        secret, at, _ = urlsplit(text).netloc.rpartition("@")
        if at:
            bare = text.replace(secret + at, "", 1)
            raise UserError(f"storage {bare!r}: credentials belong in the environment or ~/.aws, not here")
        base, mark, query = text.partition("?")
        store = Store(base.rstrip("/") + mark + query)
        try:
            store._open()
        except (ValueError, OSError) as error:
            raise UserError(f"storage {text!r} cannot be opened: {error}") from error
        return store

    @property
    def local(self) -> Path | None:
        """The root as a path where it is a plain directory, else None."""
        return None if "://" in self.uri else Path(self.uri)

    def _open(self) -> tuple[fs.FileSystem, str]:
        if self.local is not None:
            return fs.LocalFileSystem(), self.uri
        return _filesystem(self.uri)

    def _locate(self, path: str) -> tuple[fs.FileSystem, str]:
        filesystem, root = self._open()
        return filesystem, f"{root}/{path}" if path else root

    def list(self, folder: str = "") -> list[Entry]:
        """Return every file below ``folder``, in order of path; empty where the folder does not exist."""
        filesystem, root = self._open()
        where = f"{root}/{folder}" if folder else root
        selector = fs.FileSelector(where, allow_not_found=True, recursive=True)
        infos = _patiently(lambda: filesystem.get_file_info(selector))
        cut = len(root.rstrip("/")) + 1
        files = [self._entry(info, info.path[cut:]) for info in infos if info.is_file]
        return sorted((f for f in files if not _is_aside(f.path)), key=lambda f: f.path)

    def entry(self, path: str) -> Entry:
        """Return a file as a listing has it.

        Raises:
            FileNotFoundError: there is no such file.
        """
        filesystem, where = self._locate(path)
        info = _patiently(lambda: filesystem.get_file_info(where))
        if not info.is_file:
            raise FileNotFoundError(where)
        return self._entry(info, path)

    def _entry(self, info: fs.FileInfo, path: str) -> Entry:
        stamp = info.mtime_ns or 0
        # Of an object, a listing may tell fractions of a second that a look at it alone does not.
        return Entry(path, info.size, stamp if self.local is not None else stamp // 10**9 * 10**9)

    def exists(self, path: str) -> bool:
        """Return whether there is a file or folder at ``path``."""
        filesystem, where = self._locate(path)
        return bool(_patiently(lambda: filesystem.get_file_info(where)).type != fs.FileType.NotFound)

    def modified(self, path: str) -> float:
        """When a file was put in place, in seconds since the epoch on the storage's clock, whole on S3.

        Raises:
            FileNotFoundError: there is no such file.
        """
        filesystem, where = self._locate(path)
        info = _patiently(lambda: filesystem.get_file_info(where))
        if info.mtime is None:
            raise FileNotFoundError(where)
        return float(info.mtime.timestamp())

    def clock(self) -> float:
        """Return the time now on the storage's clock, from a file that is put there and taken away."""
        probe = f"{ASIDE}clock-{uuid.uuid4().hex}"
        self.write(probe, b"")
        try:
            return self.modified(probe)
        finally:
            self.delete(probe)

    def open(self, path: str) -> IO[bytes]:
        """Open a seekable binary reader; object stores are read by range.

        Raises:
            FileNotFoundError: there is no such file.
        """
        filesystem, where = self._locate(path)
        return cast(IO[bytes], _patiently(lambda: filesystem.open_input_file(where)))

    def remote(self, path: str) -> Remote:
        """Open a file to be read by ranges, its end already here; for object stores.

        Raises:
            FileNotFoundError: there is no such file.
        """
        filesystem, where = self._locate(path)
        return _patiently(lambda: Remote(filesystem.open_input_file(where), _patiently))

    def read(self, path: str) -> bytes:
        """Return the whole content of a file.

        Raises:
            FileNotFoundError: There is no such file.
        """
        filesystem, where = self._locate(path)

        def get() -> bytes:
            with filesystem.open_input_file(where) as file:
                return cast(bytes, file.read())

        return _patiently(get)

    def write(self, path: str, data: bytes | memoryview) -> None:
        """Put a file in place in one step: readers see the old content or the new, never a part.

        Raises:
            StorageFull: the disk of a local store has no room.
        """
        if self.local is not None:
            _replace(self.local / path, data)
            return
        filesystem, where = self._locate(path)

        def put() -> None:
            with filesystem.open_output_stream(where) as out:
                out.write(data)

        _patiently(put)

    def move(self, path: str, to: str) -> None:
        """Move a file to another path of the store, folders made as needed."""
        filesystem, where = self._locate(path)
        target = self._locate(to)[1]
        if self.local is not None:
            Path(target).parent.mkdir(parents=True, exist_ok=True)
        _patiently(lambda: filesystem.move(where, target))

    def delete(self, path: str) -> None:
        """Delete a file."""
        filesystem, where = self._locate(path)
        _patiently(lambda: filesystem.delete_file(where))

    def __truediv__(self, folder: str) -> Store:
        base, mark, query = self.uri.partition("?")
        return Store(f"{base}/{folder}{mark}{query}")

    def __str__(self) -> str:
        return self.uri


@lru_cache(maxsize=64)
def _filesystem(uri: str) -> tuple[fs.FileSystem, str]:
    if uri.startswith("s3://") and "allow_delayed_open" not in uri:
        # A small object is then one PUT: whole or absent, and a third of the requests of a multipart upload.
        uri += ("&" if "?" in uri else "?") + "allow_delayed_open=true"
    return cast(tuple[fs.FileSystem, str], fs.FileSystem.from_uri(uri))


def _patiently(attempt: Callable[[], T]) -> T:
    """Return what ``attempt`` returns, tried again while an object store refuses for a reason that passes."""
    for pause in PATIENCE:
        try:
            return attempt()
        except OSError as error:
            if not any(reason in str(error) for reason in TRANSIENT):
                raise
            time.sleep(pause)
    return attempt()


def _is_aside(path: str) -> bool:
    return path.rsplit("/", 1)[-1].startswith(ASIDE)


def _replace(target: Path, data: bytes | memoryview) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.parent / f"{ASIDE}{uuid.uuid4().hex}"
    try:
        with open(aside, "xb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        os.replace(aside, target)
    except BaseException as error:
        aside.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(error.errno, error.strerror, str(target)) from error
        error.filename = error.filename or str(target)
        raise


def located(text: str, option: str) -> str:
    """Return the place that a user's path or URI means.

    Args:
        text: a path, where ``~`` is a home directory, or a URI; ``file://`` may hold escapes such as ``%20``.
        option: what named it.

    Returns:
        The absolute path of a local place, else the URI as it was given.

    Raises:
        UserError: the home directory of nobody, a ``file://`` of another host, a URI without a bucket.
    """
    scheme, mark, rest = text.partition("://")
    host, _, path = rest.partition("/")
    if mark and scheme != "file":
        if not host.partition("?")[0]:
            raise UserError(f"{option} {text!r}: names no bucket; expected {scheme}://BUCKET/NAME")
        return text
    if mark and host not in ("", "localhost") and not host.startswith("~"):
        raise UserError(f"{option} {text!r}: {host!r} would be another host; expected file:///{rest}")
    if mark:
        text = unquote(rest if host.startswith("~") else f"/{path}")
    try:
        if "\0" in text or not text.strip():
            raise ValueError("no path")
        return str(Path(text).expanduser().absolute())
    except (RuntimeError, ValueError) as error:  # ~nobody
        raise UserError(f"{option} {text!r}: {first_line(error)}") from error


def as_store(location: str | os.PathLike[str] | Store) -> Store:
    """Accept what a user passes for a sweep directory: a path, a URI or a Store."""
    return location if isinstance(location, Store) else Store.at(cast(Any, location))
