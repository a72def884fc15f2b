"""Nodes that join a run: asked for what trials need, and left out, with a line, where they lack it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sweep.cluster import LEFT_OUT, Cluster, Demand
from sweep.runner.preflight import ANSWER, Check, node_name, silent
from sweep.watch.tally import LocalCallback, Watch

LOOK_EVERY = 2.0  # seconds between looks for nodes and answers


@dataclass
class Asked:
    """A node that was asked, the reference of its answer, and since when it is awaited."""

    node: dict[str, Any]
    reference: Any
    since: float


class Joining(LocalCallback):
    """Looks for nodes that are new. It never waits: an answer is read once it is there.

    Args:
        cluster: Whose nodes.
        demand: Of a trial; nodes on which none fits are not asked.
        check: What a node must have.
        watch: Knows where trials run; those on a node that is left out start again elsewhere.
        say: Tells a line.
    """

    def __init__(
        self, cluster: Cluster, demand: Demand, check: Check, watch: Watch, say: Callable[[str], None]
    ) -> None:
        self._cluster, self._demand, self._check = cluster, demand, check
        self._watch, self._say = watch, say
        self._known = {node["NodeID"] for node in cluster.nodes(demand)}
        self._asked: list[Asked] = []
        self._looked = time.monotonic()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Ask nodes that are new, and hear those that have answered."""
        if time.monotonic() - self._looked < LOOK_EVERY:
            return
        self._looked = time.monotonic()
        for node in self._cluster.nodes(self._demand):
            if node["NodeID"] not in self._known:
                self._known.add(node["NodeID"])
                self._asked.append(Asked(node, self._check.ask(node), time.monotonic()))
        self._asked = [asked for asked in self._asked if not self._heard(asked)]

    def _heard(self, asked: Asked) -> bool:
        import ray

        if ray.wait([asked.reference], timeout=0)[0]:
            problem = self._check.problem(asked.reference)
        elif time.monotonic() - asked.since > ANSWER:
            problem = silent(ANSWER)
        else:
            return False
        if problem:
            LEFT_OUT[asked.node["NodeID"]] = f"{node_name(asked.node)}: {problem}"
            self._watch.evict(asked.node["NodeID"])
            self._say(f"left out: node {LEFT_OUT[asked.node['NodeID']]}")
        return True
