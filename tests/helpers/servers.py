"""Real servers for tests, each a process of its own on loopback: S3 (moto) and what stands in front of it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.error import URLError

import pytest

BUCKET = "flatleak-tests"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str, seconds: float = 120, token: str = "") -> bytes:
    """The body of ``url`` once something answers there."""
    end = time.monotonic() + seconds
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    while True:
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.read()
        except (URLError, OSError):
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


@dataclass(frozen=True)
class S3:
    """A running S3 server with one empty bucket; the environment already points every client at it."""

    endpoint: str

    def uri(self, path: str) -> str:
        return f"s3://{BUCKET}/{path}"


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    pytest.importorskip("moto.server", reason="moto[server] is not installed")
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(f"http://127.0.0.1:{port}/moto-api/")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> S3:
    for name, value in aws_environment(s3_server).items():
        monkeypatch.setenv(name, value)
    urllib.request.urlopen(urllib.request.Request(f"{s3_server}/moto-api/reset", method="POST"), timeout=10)
    urllib.request.urlopen(urllib.request.Request(f"{s3_server}/{BUCKET}", method="PUT"), timeout=10)
    return S3(s3_server)


def aws_environment(endpoint: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "AKIATESTTESTTESTTEST",
        "AWS_SECRET_ACCESS_KEY": "a-secret-that-must-appear-nowhere",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
HEAD = b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nConnection: close\r\nContent-Length: "
REFUSAL = HEAD + str(len(SLOW_DOWN)).encode() + b"\r\n\r\n" + SLOW_DOWN


@contextmanager
def refusing(endpoint: str, refusals: int = 0, shut: threading.Event | None = None) -> Iterator[str]:
    """Stands before ``endpoint``: the first connections are told 503 SlowDown, all of them while ``shut``."""
    listener = socket.create_server(("127.0.0.1", 0))
    target = ("127.0.0.1", int(endpoint.rpartition(":")[2]))
    shut = shut or threading.Event()

    def serve() -> None:
        left = refusals
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            left -= 1
            if left >= 0 or shut.is_set():
                client.recv(65536)
                client.sendall(REFUSAL)
                client.close()
                continue
            server = socket.create_connection(target)
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=_pipe, args=(one, other, shut), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()


METHODS = (b"GET ", b"HEAD ", b"PUT ", b"POST ", b"DELETE ")


@contextmanager
def counting(endpoint: str) -> Iterator[tuple[str, Counter[str]]]:
    """Stands before ``endpoint`` and counts the requests that pass, by their method."""
    listener = socket.create_server(("127.0.0.1", 0))
    target = ("127.0.0.1", int(endpoint.rpartition(":")[2]))
    seen: Counter[str] = Counter()

    def ask(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if data.startswith(METHODS):
                    seen[data.partition(b" ")[0].decode()] += 1
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.create_connection(target)
            threading.Thread(target=ask, args=(client, server), daemon=True).start()
            threading.Thread(target=_pipe, args=(server, client, threading.Event()), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", seen
    finally:
        listener.close()


def _pipe(source: socket.socket, sink: socket.socket, shut: threading.Event) -> None:
    with suppress(OSError):
        while (data := source.recv(65536)) and not shut.is_set():
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def environment(**extra: str) -> dict[str, str]:
    """The environment of a child process that a test starts: quiet, one thread, no usage report."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0", **extra}
