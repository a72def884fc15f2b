"""No trial is placed on a node that is left out."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from sweep.cluster import LEFT_OUT


@pytest.fixture(autouse=True)
def nobody_is_left_out() -> Iterator[None]:
    LEFT_OUT.clear()
    yield
    LEFT_OUT.clear()


@pytest.mark.usefixtures("ray_session")
def test_no_trial_is_placed_on_a_node_that_is_left_out() -> None:
    import ray
    from ray.tune import PlacementGroupFactory

    from sweep.runner.placement import Placement

    (node,) = (n["NodeID"] for n in ray.nodes() if n["Alive"])
    manager, request = Placement(update_interval_s=0.0), PlacementGroupFactory([{"CPU": 0.01}])
    LEFT_OUT[node] = "it lacks something"
    for _ in range(2):
        manager.request_resources(request)
    end = time.monotonic() + 1
    while time.monotonic() < end:
        assert not manager.has_resources_ready(request)
        time.sleep(0.05)
    LEFT_OUT.clear()  # what was asked before is asked anew
    end = time.monotonic() + 60
    while not manager.has_resources_ready(request):
        assert time.monotonic() < end
        time.sleep(0.05)
    manager.clear()
