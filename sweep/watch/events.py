"""What a run has used and what went wrong in it: GPU seconds, retries and failures by reason, its nodes."""

from __future__ import annotations

import re
import time
from collections import Counter
from typing import Any

from sweep.cluster import LEFT_OUT, Cluster, Demand
from sweep.watch.tally import LocalCallback, Watch, block_of, latest_error

REASONS = ("process died", "node lost", "out of memory")  # each is shown as 0 before it happens


def reason(error: str) -> str:
    """Sorts an error by its reason.

    Args:
        error: Ray's text, or a traceback.

    Returns:
        One of ``REASONS``, else the kind of the exception that was raised last.
    """
    if "OutOfMemory" in error or "memory monitor" in error or "running low on memory" in error:
        return "out of memory"
    if "worker process has died" in error or "actor is temporarily unavailable" in error:
        return "process died"
    if "node" in error and re.search(r"node.{0,40}(died|dead|failed|terminated|lost)", error, re.IGNORECASE):
        return "node lost"
    if "ActorDied" in error or "actor died" in error.lower():
        return "process died"
    kinds = re.findall(r"^([\w.]*(?:Error|Exception|Diverged|Interrupt))\b", error, re.MULTILINE)
    return kinds[-1].rpartition(".")[2] if kinds else "unknown"


class Events(LocalCallback):
    """Counts from Tune's events. ``figures`` is what they add up to now.

    Args:
        watch: Knows where trials run.
        cluster: Knows the nodes.
        demand: Of one trial.
    """

    def __init__(self, watch: Watch, cluster: Cluster, demand: Demand) -> None:
        self._watch, self._cluster, self._demand = watch, cluster, demand
        self._retries: list[tuple[str, str]] = []  # node and reason
        self._failures: Counter[str] = Counter()
        self._running: set[int] = set()
        self._gpu_seconds, self._last = 0.0, time.monotonic()

    def on_trial_start(self, *_: Any, **event: Any) -> None:
        """Note that a trial begins to use its GPU."""
        self._account()
        self._running.add(block_of(event))

    def on_trial_complete(self, *_: Any, **event: Any) -> None:
        """Note that a trial ends."""
        self._account()
        self._running.discard(block_of(event))

    def on_trial_recover(self, *_: Any, **event: Any) -> None:
        """Note an attempt that failed; another follows."""
        self.on_trial_complete(**event)
        node = self._watch.died_on.get(block_of(event), [""])[-1]
        self._retries.append((node, reason(latest_error(event["trial"]))))

    def on_trial_error(self, *_: Any, **event: Any) -> None:
        """Note that the last attempt failed, or one of a block that is handed out again."""
        self.on_trial_complete(**event)
        why = reason(latest_error(event["trial"]))
        if block_of(event) in self._watch.lost:
            self._retries.append(("", why))
        else:
            self._failures[why] += 1

    def on_trial_result(self, *_: Any, **event: Any) -> None:
        """Note a block that its trial gave up, and why."""
        if event["result"].get("failed"):
            self._failures[event["result"].get("reason", "unknown")] += 1

    def figures(self) -> dict[str, Any]:
        """Return what there is to tell now.

        Returns:
            ``gpu_seconds``, ``retries`` and ``failures`` by reason, ``left_out`` (nodes, each with why,
            and the attempts that had begun there, which are no retries), ``nodes``, ``trials_per_gpu``.
        """
        self._account()
        nodes = self._nodes()
        alive, none = {node["id"] for node in nodes}, dict.fromkeys(REASONS, 0)
        retries = (self._latest(node, why, alive) for node, why in self._retries if node not in LEFT_OUT)
        moved = Counter(node for node, _ in self._retries)
        return {
            "gpu_seconds": self._gpu_seconds,
            "retries": none | Counter(retries),
            "failures": none | self._failures,
            "nodes_left_out": len(LEFT_OUT),
            "left_out": {why: moved[node] for node, why in LEFT_OUT.items()},
            "nodes": nodes,
            "trials_per_gpu": 1 / self._demand["gpu"] if "gpu" in self._demand else None,
        }

    @staticmethod
    def _latest(node: str, why: str, alive: set[str]) -> str:
        """Return the reason as it is known now: that a node was lost is found later."""
        return "node lost" if why == "process died" and node and node not in alive else why

    def _account(self) -> None:
        now = time.monotonic()
        self._gpu_seconds += len(self._running) * self._demand.get("gpu", 0.0) * (now - self._last)
        self._last = now

    def _nodes(self) -> list[dict[str, Any]]:
        trials = Counter(self._watch.node_of(block) for block in self._running)
        return [{**node, "trials": trials[node["id"]]} for node in self._cluster.machines()]
