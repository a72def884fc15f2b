"""A real Prometheus, configured by ``flatleak monitor``, scrapes a real sweep and answers a query for every
panel of the dashboard; ``flatleak status`` tells the same from outside."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sweep.watch.monitor import DASHBOARD, monitor
from sweep.watch.status import status
from tests.helpers.servers import environment, free_port, wait_for
from trainables.storage import Store

SPEC = {
    "name": "watched",
    "dataset": {"name": "digits", "train_size": 300, "test_size": 100},
    "model": {"name": "mlp", "hidden": [16]},
    "subsets": {"scheme": "half", "seeds": 8},
    "training": {"epochs": 400_000, "batch_size": 32},  # sam trains for as long as it is looked at
    "grid": [{"optimizer": "sgd", "epochs": 20}, {"optimizer": "sam", "rho": 0.1}],
    "resources": {"cpu": 0.5},  # both recipes at once, even where there is one core
    "block": 4,
    "stack": 4,
}

pytestmark = pytest.mark.timeout(1200)  # a hang is to be found, a slow machine is not
PATIENCE = 400.0  # seconds; all is there after about 20 on two quiet cores


def expressions() -> list[tuple[str, str]]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [
        (f"{panel['title']} {target['refId']}", target["expr"].replace("$sweep", ".*"))
        for panel in panels
        for target in panel["targets"]
    ]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A sweep that runs long enough to be looked at, and a Prometheus that looks."""
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed")
    folder = tmp_path_factory.mktemp("watched")
    (folder / "spec.yaml").write_text(json.dumps(SPEC))
    temp = folder.parent / "r"  # short: Unix sockets below it have a limit of 107 bytes
    env = environment(RAY_TMPDIR=str(temp), RAY_metrics_report_interval_ms="1000")
    command = ["-m", "sweep.cli", "run", str(folder / "spec.yaml"), "--out", str(folder / "sweep")]
    with open(folder / "log", "w") as log:
        driver = subprocess.Popen([sys.executable, *command], env=env, stdout=log, stderr=log)
    port, prometheus = free_port(), None
    try:
        made = monitor(folder / "monitor", ray_dir=temp / "ray", every=1)
        prometheus = subprocess.Popen(
            ["prometheus", f"--config.file={made.prometheus}", f"--web.listen-address=127.0.0.1:{port}"],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(f"http://127.0.0.1:{port}/-/ready")
        yield f"http://127.0.0.1:{port}", folder / "sweep"
    finally:
        driver.kill()
        driver.wait()
        if prometheus:
            prometheus.kill()
            prometheus.wait()


def query(prometheus: str, expression: str) -> list[dict[str, Any]]:
    answer = wait_for(f"{prometheus}/api/v1/query?query={urllib.parse.quote(expression)}")
    return list(json.loads(answer)["data"]["result"])


def once_there(prometheus: str, expression: str) -> list[dict[str, Any]]:
    """The answer as soon as there is one: a busy machine scrapes late, and misses a scrape now and then."""
    end = time.monotonic() + PATIENCE
    while not (found := query(prometheus, expression)) and time.monotonic() < end:
        time.sleep(1)
    return found


def test_every_panel_has_data(watched: tuple[str, Path]) -> None:
    prometheus, _ = watched
    waiting, end = dict(expressions()), time.monotonic() + PATIENCE
    assert len(waiting) >= 10
    while waiting and time.monotonic() < end:
        waiting = {panel: e for panel, e in waiting.items() if not query(prometheus, e)}
        time.sleep(1)
    assert waiting == {}


def test_the_figures_are_those_of_the_sweep(watched: tuple[str, Path]) -> None:
    prometheus, directory = watched
    once_there(prometheus, 'ray_flatleak_replicas_done{recipe="sgd epochs=20"} == 8')
    found = once_there(prometheus, "ray_flatleak_replicas_done")
    done = {r["metric"]["recipe"]: float(r["value"][1]) for r in found}
    now = status(Store.at(directory))
    assert done == {recipe.label: recipe.done for recipe in now.recipes}
    assert done["sgd epochs=20"] == 8
    assert now.driver is not None
    assert now.recipes[0].running == 0
    (accuracy,) = once_there(prometheus, 'ray_flatleak_test_accuracy{recipe="sgd epochs=20"}')
    assert 0.1 < float(accuracy["value"][1]) <= 1


def test_labels_do_not_grow_with_the_replicas(watched: tuple[str, Path]) -> None:
    prometheus, _ = watched
    for series in once_there(prometheus, '{__name__=~"ray_flatleak_.*"}'):
        assert set(series["metric"]) & {"trial", "seed", "block"} == set()
        assert series["metric"]["sweep"] == "watched"
