"""What is wrong with an address is said in one line, in seconds, before data and torch are loaded."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from threading import Thread

import pytest

from sweep.runner.head import require_listening, require_welcome
from tests.helpers.servers import environment, free_port
from trainables.errors import UserError


def test_what_listens_passes_and_what_does_not_is_named_with_its_source() -> None:
    with socket.create_server(("127.0.0.1", 0)) as head:
        require_listening(f"127.0.0.1:{head.getsockname()[1]}", "--address")
    require_listening("auto", "--address")
    with pytest.raises(UserError, match=r"^RAY_ADDRESS '127.0.0.1:\d+': nothing listens there"):
        require_listening(f"127.0.0.1:{free_port()}", "RAY_ADDRESS")
    for address in ("127.0.0.1:port", f"127.0.0.1:{2**40}"):
        with pytest.raises(UserError, match="--address"):
            require_listening(address, "--address")


@contextmanager
def silent() -> Iterator[int]:
    with socket.create_server(("", 0)) as server:
        yield server.getsockname()[1]


@contextmanager
def website() -> Iterator[int]:
    with HTTPServer(("", 0), SimpleHTTPRequestHandler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@contextmanager
def another_ray() -> Iterator[int]:
    """A head that says which versions it runs, and nothing else."""
    import grpc
    from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc

    class Head(gcs_service_pb2_grpc.InternalKVGcsServiceServicer):  # type: ignore[misc]
        def InternalKVGet(self, request: object, context: object) -> object:  # noqa: ARG002
            about = json.dumps({"ray_version": "1.2.3", "python_version": "3.9.1"})
            return gcs_service_pb2.InternalKVGetReply(value=about.encode())

    server = grpc.server(ThreadPoolExecutor(1))
    gcs_service_pb2_grpc.add_InternalKVGcsServiceServicer_to_server(Head(), server)
    port = server.add_insecure_port("0.0.0.0:0")
    server.start()
    yield port
    server.stop(None)


@pytest.mark.parametrize(
    ("server", "problem"),
    [
        (silent, "what listens there does not answer as the head of a Ray cluster; expected 'auto' or"),
        (website, "what listens there does not answer as the head of a Ray cluster; expected 'auto' or"),
        (another_ray, r"the cluster runs Ray 1\.2\.3 on Python 3\.9\.1, this is Ray .* expected the same$"),
    ],
)
def test_what_is_no_head_of_this_ray(server: Callable[[], Iterator[int]], problem: str) -> None:
    with server() as port, pytest.raises(UserError, match=f"^--address '127.0.0.1:{port}': {problem}"):  # type: ignore[attr-defined]
        require_welcome(f"127.0.0.1:{port}", "--address")


def test_a_command_asks_before_it_loads_anything(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    out = tmp_path / "out"
    command = [sys.executable, "-X", "importtime", "-m", "sweep.cli", "run", "smoke", "--out", str(out)]
    done = subprocess.run(
        [*command, "--address", address], capture_output=True, text=True, env=environment(), check=False
    )
    imported = re.findall(r"^import time:.*\| +(\S+)$", done.stderr, re.MULTILINE)
    said = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert done.returncode == 2
    assert len(said) == 1
    assert said[0].startswith(f"error: --address '{address}': nothing listens there")
    assert "sweep.runner.head" in imported
    assert not {"torch", "ray.tune", "sweep.runner.launch"} & set(imported)
    assert not out.exists()
