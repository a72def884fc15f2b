"""The same sweep by ``ray job submit`` on a head with token authentication and its dashboard on."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError

import pytest

from sweep.runner.head import require_welcome
from tests.helpers.servers import environment, free_port, wait_for
from trainables.errors import UserError
from trainables.records import Address
from trainables.storage import Store

pytestmark = pytest.mark.timeout(1200)  # a hang is to be found, a slow machine is not
RAY = str(Path(sys.executable).with_name("ray"))
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A head node of its own, started as cluster.yaml starts one; yields its clients' environment."""
    folder = tmp_path_factory.mktemp("head")
    token = folder / "token"
    token.write_text("4f1c" * 16)
    names = ("port", "dashboard-port", "dashboard-agent-listen-port", "ray-client-server-port")
    ports = {name: str(free_port()) for name in names}  # Ray's own are taken where another Ray runs
    env = environment(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(token))
    env.pop("RAY_AUTH_TOKEN", None)
    command = [
        *(RAY, "start", "--head", "--block", "--num-cpus=2", "--dashboard-host=127.0.0.1"),
        *("--node-ip-address=127.0.0.1", f"--temp-dir={folder.parent / 'h'}"),
        *(f"--{name}={port}" for name, port in ports.items()),
    ]
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    try:
        dashboard = f"http://127.0.0.1:{ports['dashboard-port']}"
        wait_for(f"{dashboard}/api/version", token=token.read_text())
        env["RAY_API_SERVER_ADDRESS"] = dashboard
        env["HEAD"] = f"127.0.0.1:{ports['port']}"
        wait_for_the_agent(env)
        yield env
    finally:
        process.terminate()  # ends the whole node
        process.wait(60)


def wait_for_the_agent(env: dict[str, str]) -> None:
    """The dashboard answers before the agent that starts its jobs has told it where it is."""
    end = time.monotonic() + 300
    while True:
        job = _submit(env, "true")
        if "No available agent" not in job.stdout + job.stderr:
            assert job.returncode == 0, job.stdout + job.stderr
            return
        assert time.monotonic() < end, job.stderr


def submit(head: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return _submit(head, sys.executable, "-m", "sweep.cli", *arguments)


def _submit(env: dict[str, str], *entrypoint: str) -> subprocess.CompletedProcess[str]:
    command = [RAY, "job", "submit", "--", *entrypoint]
    return subprocess.run(
        command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )


def test_a_sweep_as_a_job(head: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "smoke"
    job = submit(head, "run", "smoke", "--address", "auto", "--out", str(out), "--set", "subsets.seeds=8")
    assert job.returncode == 0, job.stdout + job.stderr
    assert "succeeded" in job.stdout + job.stderr
    records = [Address.parse(entry.path) for entry in Store.at(out).list("records")]
    assert sum(len(address.seeds) for address in records if address) == 24
    assert (out / "report.html").exists()
    token = Path(head["RAY_AUTH_TOKEN_PATH"]).read_text().encode()
    assert token.decode() not in job.stdout + job.stderr
    assert not any(token in path.read_bytes() for path in out.rglob("*") if path.is_file())


def test_a_mistake_fails_the_job(head: dict[str, str]) -> None:
    job = submit(head, "run", "no-such-spec")
    assert job.returncode != 0
    assert "no-such-spec" in job.stdout + job.stderr


def test_without_the_token_nothing_answers(head: dict[str, str]) -> None:
    request = urllib.request.Request(f"{head['RAY_API_SERVER_ADDRESS']}/api/jobs/")
    with pytest.raises(HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    assert refused.value.code in (401, 403)


def test_a_driver_without_the_token_is_told_so(
    head: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(problem: str, **env: str) -> None:
        for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
            monkeypatch.delenv(name, raising=False)
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(UserError, match=f"^--address '{head['HEAD']}': the cluster {problem}") as error:
            require_welcome(head["HEAD"], "--address")
        assert "\n" not in str(error.value)
        assert "dcba" not in str(error.value)

    refused("wants a token; set RAY_AUTH_MODE=token", RAY_AUTH_MODE="disabled")
    refused("refuses the token of RAY_AUTH_TOKEN;", RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="dcba" * 16)
    nowhere = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(tmp_path / "nowhere")}
    refused(f"wants a token, and {tmp_path}/nowhere does not exist", **nowhere)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", head["RAY_AUTH_TOKEN_PATH"])
    require_welcome(head["HEAD"], "--address")
