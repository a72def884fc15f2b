"""Keeps trials off nodes that are left out, also those trials that Tune already asked resources for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.air.execution import PlacementGroupResourceManager
from ray.tune.execution import tune_controller
from ray.util.placement_group import placement_group

from sweep.cluster import LEFT_OUT, elsewhere


class Placement(PlacementGroupResourceManager):
    """Asks for a trial's resources on any node that is not left out."""

    def __init__(self, update_interval_s: float = 0.1) -> None:
        super().__init__(update_interval_s)
        self._excluded = frozenset(LEFT_OUT)

    def request_resources(self, resource_request: Any) -> None:
        """Ask Ray for a trial's resources, as the base class does where no node is left out.

        Args:
            resource_request: Tune's.
        """
        if not LEFT_OUT:
            super().request_resources(resource_request)
            return
        bundles = resource_request.bundles
        group = placement_group(
            bundles, strategy=resource_request.strategy, bundle_label_selector=[elsewhere()] * len(bundles)
        )
        self._pg_to_request[group] = resource_request
        self._request_to_staged_pgs[resource_request].add(group)
        ready = group.ready()
        self._staging_future_to_pg[ready] = group
        self._pg_to_staging_future[group] = ready

    def has_resources_ready(self, resource_request: Any) -> bool:
        """Return whether a trial can start; what was asked before a node was left out is asked anew first.

        Args:
            resource_request: Tune's.
        """
        if self._excluded != LEFT_OUT.keys():
            self._excluded = frozenset(LEFT_OUT)
            for request in set(self._pg_to_request.values()):
                self._ask_anew(request)
        return bool(super().has_resources_ready(resource_request))

    def _ask_anew(self, request: Any) -> None:
        waiting = len(self._request_to_staged_pgs[request]) + len(self._request_to_ready_pgs[request])
        for _ in range(waiting):
            self.cancel_resource_request(request)
        for _ in range(waiting):
            self.request_resources(request)


@contextmanager
def placed() -> Iterator[None]:
    """Let Tune place trials so while the block lasts; it has no option for that."""
    name = PlacementGroupResourceManager.__name__
    setattr(tune_controller, name, Placement)
    try:
        yield
    finally:
        setattr(tune_controller, name, PlacementGroupResourceManager)
