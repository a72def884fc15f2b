"""Notices that a cluster's head is gone, shortly before Ray does, which then ends the process at once."""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

CHECKS = 20  # while the patience lasts


def patience() -> float:
    """Seconds that a head may be silent: four fifths of what Ray's own clients wait before they give up."""
    return 0.8 * float(os.environ.get("RAY_gcs_rpc_server_reconnect_timeout_s", "60"))  # noqa: SIM112


@contextmanager
def watched(address: str, seconds: float, on_lost: Callable[[], None]) -> Iterator[None]:
    """Call ``on_lost``, from a thread, once nothing listens at ``address`` (host:port) for ``seconds``."""
    ended = threading.Event()

    def watch() -> None:
        since: float | None = None
        while not ended.wait(seconds / CHECKS):
            if _listens(address, seconds / CHECKS):
                since = None
                continue
            now = time.monotonic()
            since = since or now
            if now - since >= seconds:
                on_lost()
                return

    threading.Thread(target=watch, name="flatleak-pulse", daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _listens(address: str, seconds: float) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=seconds).close()
    except OSError as error:
        return error.errno in (errno.EMFILE, errno.ENFILE)  # too many files open here tell nothing of there
    return True
