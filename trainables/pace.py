"""A run's machines, pace, retries and failures in words: the same ones in the terminal and on the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

# What a driver publishes of it.
PACE = ("nodes", "trials_per_gpu", "rate_now", "rate", "retries", "failures", "left_out", "gpu_seconds")


def pace(figures: Mapping[str, Any]) -> list[str]:
    """Return words for the figures that a driver publishes.

    Args:
        figures: With any of ``nodes`` (``name``, ``gpu``, ``gpus`` and ``trials`` of each),
            ``trials_per_gpu``, ``rate_now`` and ``rate`` (replicas a second), ``retries`` and ``failures``
            (counts by reason), ``left_out`` (attempts that had begun there, by node and reason).

    Returns:
        Parts of a line, such as ``2 nodes with 8 NVIDIA-H100``; none for what is not there.
    """
    parts = []
    nodes = figures.get("nodes") or []
    if nodes:
        gpus: Counter[str] = Counter()
        for node in nodes:
            gpus[node["gpu"]] += node["gpus"]
        named = " and ".join(f"{count:g} {name}" for name, count in gpus.items() if count)
        parts.append(_count(len(nodes), "node") + (f" with {named}" if named else ""))
    if figures.get("trials_per_gpu"):
        trials = figures["trials_per_gpu"]
        parts.append(f"{trials:.3g} {'trial' if trials == 1 else 'trials'} a GPU")
    if figures.get("rate_now") is not None:
        now, mean = (3600 * (figures.get(key) or 0.0) for key in ("rate_now", "rate"))
        parts.append(f"{_number(now)} replicas an hour now, {_number(mean)} on average")
    for key, one in (("retries", "retry"), ("failures", "failure")):
        reasons = {reason: n for reason, n in (figures.get(key) or {}).items() if n}
        if reasons:
            why = ", ".join(f"{reason} {n}" for reason, n in reasons.items())
            parts.append(f"{_count(sum(reasons.values()), one)} ({why})")
    for why, attempts in (figures.get("left_out") or {}).items():
        moved = f" ({_count(attempts, 'trial')} started again elsewhere)" if attempts else ""
        parts.append(f"left out: node {why}{moved}")
    return parts


def _count(number: int, one: str) -> str:
    many = f"{one[:-1]}ies" if one.endswith("y") else f"{one}s"
    return f"{number} {one if number == 1 else many}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
