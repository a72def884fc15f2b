"""What is asked of the head of a cluster before anything is loaded: does it answer, in which versions?"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

from trainables.errors import UserError, first_line

CONNECT = 3.0  # seconds until an address counts as silent, and as long again until it must speak gRPC
GREETING = 60.0  # seconds for a process that greets the head, the start of a slow Python included


def require_listening(address: str, source: str) -> None:
    """Refuse ``host:port`` where nothing listens, which Ray itself takes minutes to find out.

    Args:
        address: what Ray is asked to connect to; ``auto`` is left to Ray.
        source: who named it, ``--address`` or ``RAY_ADDRESS``.

    Raises:
        UserError: nothing accepts a connection there within ``CONNECT`` seconds.
    """
    host, colon, port = address.rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT).close()
    except (OSError, OverflowError, ValueError) as error:
        raise UserError(
            f"{source} {address!r}: nothing listens there ({first_line(error)}); expected 'auto' or the "
            "host:port of the head of a Ray cluster that runs"
        ) from error


GREET = """
import json, os, sys, threading
import grpc
from ray._private.authentication import authentication_token_setup as tokens
from ray._private.grpc_utils import init_grpc_channel
from ray._private.services import canonicalize_bootstrap_address
from ray._private.utils import check_version_info
from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc
from ray.exceptions import AuthenticationError

def greet(address, seconds):
    if address == "auto":  # for which alone Ray takes a token that no variable speaks of
        tokens.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
    try:
        channel = init_grpc_channel(canonicalize_bootstrap_address(address))
    except ConnectionError:
        return {"problem": "no Ray"}
    settled, states = threading.Event(), []
    def on_state(state):
        if state in (grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.TRANSIENT_FAILURE):
            states.append(state)
            settled.set()
    channel.subscribe(on_state, try_to_connect=True)
    settled.wait(seconds)
    if states[:1] != [grpc.ChannelConnectivity.READY]:
        return {"problem": "no head"}
    ask = gcs_service_pb2_grpc.InternalKVGcsServiceStub(channel).InternalKVGet
    about = gcs_service_pb2.InternalKVGetRequest(namespace=b"cluster", key=b"CLUSTER_METADATA")
    try:
        there = json.loads(ask(about, timeout=30).value or "{}")
    except (AuthenticationError, grpc.RpcError) as error:
        refused = isinstance(error, AuthenticationError) or error.code() == grpc.StatusCode.UNAUTHENTICATED
        return {"problem": "token" if refused else "no head"}
    try:
        if there:
            check_version_info(there, "here")
    except RuntimeError:
        return {"problem": "versions", **there}
    return {}

print(json.dumps(greet(sys.argv[1], float(sys.argv[2]))))
sys.stdout.flush()
os._exit(0)  # threads of a channel that never came up may take their time
"""


@lru_cache  # a head that has welcomed this process is not asked again
def require_welcome(address: str, source: str) -> None:
    """Refuse a cluster that wants another token or version, and what listens without being the head of one.

    Ray itself says none of this in a line: its client prints from C++, waits, and aborts where there is no
    token at all. So a process of its own asks the head one question.

    Args:
        address: ``auto`` or the ``host:port`` of a head.
        source: who named it, ``--address`` or ``RAY_ADDRESS``.

    Raises:
        UserError: no Ray runs here, no head answers, the token is wrong or missing, or versions differ.
    """
    command = [sys.executable, "-c", GREET, address, str(CONNECT)]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=GREETING)
        answer = json.loads(asked.stdout.strip().splitlines()[-1])
    except (subprocess.TimeoutExpired, IndexError, ValueError):
        return  # whatever keeps Ray from asking is Ray's to say
    problem = answer.get("problem")
    if problem:
        raise UserError(f"{source} {address!r}: {_words(problem, answer)}")


def _words(problem: str, answer: dict[str, str]) -> str:
    if problem == "no Ray":
        return (
            "no Ray runs on this machine; start one with `ray start --head`, or leave the address out "
            "to run in here"
        )
    if problem == "no head":
        return (
            "what listens there does not answer as the head of a Ray cluster; expected 'auto' or the "
            "host:port of one, whose port is 6379 unless `ray start --port` said otherwise"
        )
    if problem == "versions":
        from ray._private.utils import compute_version_info

        ray, python = compute_version_info()
        return (
            f"the cluster runs Ray {answer['ray_version']} on Python {answer['python_version']}, this is "
            f"Ray {ray} on Python {python}; expected the same"
        )
    return _token_problem()


def _token_problem() -> str:
    """Say what is wrong with the token that Ray's client takes here; the token itself is not shown."""
    if os.environ.get("RAY_AUTH_MODE") != "token":
        return (
            "the cluster wants a token; set RAY_AUTH_MODE=token, and have the head's token in "
            "~/.ray/auth_token or in the file that RAY_AUTH_TOKEN_PATH names"
        )
    kept = "RAY_AUTH_TOKEN"
    if kept not in os.environ:
        path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH", "~/.ray/auth_token")).expanduser()
        if not path.exists():
            return f"the cluster wants a token, and {path} does not exist; copy the head's there"
        kept = str(path)
    return f"the cluster refuses the token of {kept}; expected that of the head's ~/.ray/auth_token"
