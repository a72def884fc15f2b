"""A head that goes silent is noticed once its time is up; one that comes back is not lost."""

from __future__ import annotations

import socket
import threading
import time

from sweep.runner.head_watch import watched
from tests.helpers.servers import free_port

SECONDS = 1.0


def test_a_silent_head_is_lost_and_one_that_listens_is_not() -> None:
    head, lost = socket.create_server(("127.0.0.1", 0), backlog=1000), threading.Event()
    port = head.getsockname()[1]
    with watched(f"127.0.0.1:{port}", SECONDS, lost.set):
        assert not lost.wait(2 * SECONDS)
        begun = time.monotonic()
        head.close()
        assert lost.wait(60)
        assert time.monotonic() - begun >= SECONDS


def test_a_head_that_comes_back_is_not_lost() -> None:
    port, lost = free_port(), threading.Event()
    with watched(f"127.0.0.1:{port}", 4 * SECONDS, lost.set):
        time.sleep(SECONDS)
        with socket.create_server(("127.0.0.1", port), backlog=1000):
            assert not lost.wait(6 * SECONDS)


def test_nobody_is_told_once_the_watch_has_ended() -> None:
    lost = threading.Event()
    with watched(f"127.0.0.1:{free_port()}", SECONDS, lost.set):
        pass
    assert not lost.wait(2 * SECONDS)
