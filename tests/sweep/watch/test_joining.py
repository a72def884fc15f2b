"""A node that joins is asked; one that lacks something is left out, said, and no trial is placed on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sweep import cluster
from sweep.cluster import LEFT_OUT, Cluster
from sweep.watch import joining
from sweep.watch.joining import Joining
from tests.helpers.nodes import nodes


@pytest.fixture(autouse=True)
def nobody_is_left_out() -> Iterator[None]:
    LEFT_OUT.clear()
    yield
    LEFT_OUT.clear()


class Check:
    """Answers of nodes that are not there."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers

    def ask(self, node: dict[str, Any]) -> Any:
        return self.answers[node["NodeID"]]

    def problem(self, reference: Any) -> str | None:
        import ray

        return ray.get(reference)


class Watch:
    """Notes which nodes are to be left."""

    def __init__(self) -> None:
        self.left: list[str] = []

    def evict(self, node: str) -> None:
        self.left.append(node)


@pytest.mark.usefixtures("ray_session")
def test_nodes_that_join_are_asked_and_bad_ones_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    never = ray.remote(lambda: None).options(resources={"of no node": 1}).remote()
    answers = {"node1": ray.put(None), "node2": ray.put("it has flatleak 0.9"), "node3": never}
    there = nodes({"CPU": 1.0})
    monkeypatch.setattr(cluster, "_alive", lambda: there)
    monkeypatch.setattr(joining, "LOOK_EVERY", -1.0)
    said: list[str] = []
    watch: Any = Watch()
    check: Any = Check(answers)
    watched = Joining(Cluster(None), {"cpu": 1.0}, check, watch, said.append)
    watched.on_step_end()
    there[:] = nodes(*4 * [{"CPU": 1.0}], {"CPU": 0.5})
    watched.on_step_end()
    assert said == ["left out: node 10.0.0.2 (node2): it has flatleak 0.9"]
    monkeypatch.setattr(joining, "ANSWER", -1.0)
    watched.on_step_end()
    watched.on_step_end()
    assert said[1:] == ["left out: node 10.0.0.3 (node3): does not answer within -1 s"]
    assert {"node2", "node3"} == set(LEFT_OUT)
    assert watch.left == ["node2", "node3"]
    assert [node["NodeID"] for node in Cluster(None).nodes({"cpu": 1.0})] == ["node0", "node1"]
    ray.cancel(never)
