"""Retries and failures by reason, GPU seconds and nodes, against counting by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sweep import cluster
from sweep.cluster import Cluster
from sweep.watch import events
from sweep.watch.events import Events, reason
from tests.helpers.nodes import nodes
from trainables.pace import pace

DIED = (
    "ray.exceptions.ActorDiedError: The actor died unexpectedly before finishing this task.\n\tclass_name: "
    "ImplicitFunc\nThe actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR"
)
NODE = (
    "ray.exceptions.ActorDiedError: The actor died unexpectedly before finishing this task.\n"
    "The actor died because its node has died. Node Id: 1234"
)
MEMORY = (
    "ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory.\nMemory on the "
    "node was 62.1GB / 64GB (0.97), which exceeds the memory usage threshold of 0.95."
)
UNAVAILABLE = (
    "The actor 9ba2 is unavailable: The actor is temporarily unavailable: RpcError: RPC error: Socket closed "
    "rpc_code: 14. The task may or may not have been executed on the actor."
)
OWN = (
    'ray::ImplicitFunc.train() (pid=1)\nTraceback (most recent call last):\n  File "trial.py", line 1\n'
    "ValueError: no\n\nThe above exception was the direct cause of the following exception:\n\n"
    "mine.errors.FuseError: the fuse was lit"
)


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (DIED, "process died"),
        (NODE, "node lost"),
        (MEMORY, "out of memory"),
        (OWN, "FuseError"),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", "out of memory"),
        (UNAVAILABLE, "process died"),
        ("", "unknown"),
    ],
)
def test_the_reason_of_an_error(error: str, why: str) -> None:
    assert reason(error) == why


def trial(block: int, error: str, folder: Path) -> dict[str, Any]:
    file = folder / f"error-{block}.txt"
    file.write_text(f"Failure # 1 (occurred at 2026-01-01)\nold\nFailure # 2 (occurred later)\n{error}\n")
    return {"trial": SimpleNamespace(config={"block": block}, error_file=str(file))}


def test_what_happened_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(events, "time", SimpleNamespace(monotonic=lambda: clock.now))
    there = nodes({"CPU": 8.0, "GPU": 2.0, "accelerator_type:H100": 1.0}, {"CPU": 4.0})
    monkeypatch.setattr(cluster, "_alive", lambda: there)
    watch: Any = SimpleNamespace(died_on={0: ["node0"], 1: ["node1"]}, lost=set(), node_of=lambda _: "node0")
    watched = Events(watch, Cluster(None), {"cpu": 1.0, "gpu": 0.5})
    first, second = trial(0, DIED, tmp_path), trial(1, DIED, tmp_path)
    watched.on_trial_start(**first)
    clock.now = 10
    watched.on_trial_start(**second)
    clock.now = 20
    watched.on_trial_recover(**first)
    watched.on_trial_recover(**second)
    clock.now = 30
    watched.on_trial_start(**first)
    clock.now = 40
    found = watched.figures()
    assert found["gpu_seconds"] == pytest.approx(0.5 * (20 + 10 + 10))
    assert (found["retries"]["process died"], found["retries"]["node lost"]) == (2, 0)
    assert [(n["gpu"], n["gpus"], n["trials"]) for n in found["nodes"]] == [("H100", 2, 1), ("GPU", 0, 0)]
    del there[1]  # which Ray finds only now
    watched.on_trial_result(**first, result={"failed": True, "reason": "Diverged"})
    watched.on_trial_error(**trial(1, OWN, tmp_path))
    found = watched.figures()
    assert (found["retries"]["process died"], found["retries"]["node lost"]) == (1, 1)
    assert {why: n for why, n in found["failures"].items() if n} == {"Diverged": 1, "FuseError": 1}
    assert pace(found) == [
        "1 node with 2 H100",
        "2 trials a GPU",
        "2 retries (process died 1, node lost 1)",
        "2 failures (Diverged 1, FuseError 1)",
    ]
    monkeypatch.setitem(cluster.LEFT_OUT, "node1", "10.0.0.1 (node1): it has flatleak 0.9")
    monkeypatch.setitem(cluster.LEFT_OUT, "node2", "10.0.0.2 (node2): its Ray runs Python 3.9")
    assert pace(watched.figures())[-4:] == [
        "1 retry (process died 1)",
        "2 failures (Diverged 1, FuseError 1)",
        "left out: node 10.0.0.1 (node1): it has flatleak 0.9 (1 trial started again elsewhere)",
        "left out: node 10.0.0.2 (node2): its Ray runs Python 3.9",
    ]


def test_a_block_that_is_handed_out_again_is_a_retry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_alive", lambda: nodes({"CPU": 1.0}))
    watch: Any = SimpleNamespace(died_on={}, lost={0}, node_of=lambda _: "node0")
    watched = Events(watch, Cluster(None), {"cpu": 1.0})
    watched.on_trial_error(**trial(0, DIED, tmp_path))
    found = watched.figures()
    assert (sum(found["retries"].values()), sum(found["failures"].values())) == (1, 0)
