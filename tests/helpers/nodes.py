"""Nodes of a cluster that is not there, as Ray describes them."""

from __future__ import annotations

from typing import Any


def nodes(*resources: dict[str, float]) -> list[dict[str, Any]]:
    """One node for each mapping of resources."""
    return [
        {"NodeID": f"node{i}", "NodeManagerAddress": f"10.0.0.{i}", "Alive": True, "Resources": has}
        for i, has in enumerate(resources)
    ]
