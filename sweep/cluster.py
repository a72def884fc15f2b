"""The Ray cluster that a sweep runs on: an existing one by address, else one embedded in this process."""

from __future__ import annotations

import logging
import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any

from sweep.runner import stopping
from sweep.runner.brief import brief
from sweep.runner.head import require_listening, require_welcome
from sweep.runner.head_watch import patience, watched
from trainables.errors import UserError

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing leaves the machine unless the user says so
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",  # Tune's own state is never restored: records are
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "1000000",
}


Demand = dict[str, float]  # of a trial: "cpu", "gpu" and custom resources by their names
RAY_NAMES = {"cpu": "CPU", "gpu": "GPU"}
LEFT_OUT: dict[str, str] = {}  # nodes that no trial is placed on, and why; Tune copies all but globals


@dataclass(frozen=True)
class Cluster:
    """A connection. What trials there is room for is asked each time: nodes join and leave."""

    url: str | None

    @property
    def _resources(self) -> list[Mapping[str, float]]:
        """What each node has, by Ray's names."""
        return [node["Resources"] for node in self.present()]

    def present(self) -> list[dict[str, Any]]:
        """Return the nodes that live and are not left out, as Ray describes them."""
        return [node for node in _alive() if node["NodeID"] not in LEFT_OUT]

    def slots(self, demand: Demand) -> int:
        """Return how many trials run at once, on all nodes."""
        return max(sum(_fit(node, demand) for node in self._resources), 1)

    def most_on_a_node(self, demand: Demand) -> int:
        """Return how many trials run at once on the node that takes the most."""
        return max((_fit(node, demand) for node in self._resources), default=0)

    def machines(self) -> list[dict[str, Any]]:
        """Describe the nodes: ``id``, ``name``, ``cpus``, ``gpus`` and what these are called, ``gpu``."""
        return [
            {
                "id": node["NodeID"],
                "name": node["NodeManagerAddress"],
                "cpus": node["Resources"].get("CPU", 0.0),
                "gpus": node["Resources"].get("GPU", 0.0),
                "gpu": _gpu_name(node["Resources"]),
            }
            for node in self.present()
        ]

    def nodes(self, demand: Demand) -> list[dict[str, Any]]:
        """Return the nodes that a trial fits on, as Ray describes them."""
        return [node for node in self.present() if _fit(node["Resources"], demand)]

    def hardware(self, demand: Demand) -> dict[str, Any]:
        """Describe the hardware for the manifest: this host's, the nodes, and how many trials fit at once."""
        return {**local_hardware(), "nodes": len(self._resources), "slots": self.slots(demand)}


@contextmanager
def connected(address: str | None, on_lost: Callable[[], None] = lambda: None) -> Iterator[Cluster]:
    """Connect to Ray, or start it here; what was started here is stopped at the end.

    ``on_lost`` is called, from a thread, where the head stays silent; soon after, Ray ends this process. What
    Ray prints meanwhile, as of nodes that died, goes to standard error: output is for answers.

    Raises:
        UserError: no cluster answers at ``address``, or it wants another token.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import ray

    mine = not ray.is_initialized()
    LEFT_OUT.clear()
    require_head(address)
    with redirect_stdout(sys.stderr), brief():
        try:
            if mine:
                _start(chosen_address(address), _source(address))
            with watched(ray.get_runtime_context().gcs_address, patience(), on_lost):
                yield Cluster(_dashboard())
        finally:
            if mine:
                ray.shutdown()


def chosen_address(address: str | None) -> str:
    """Choose the cluster: the option, else what ``ray job submit`` and users set, else one in here.

    Raises:
        UserError: a ``ray://`` address, behind which Tune would run in another process than what watches it;
            any other URL.
    """
    meant = address or os.environ.get("RAY_ADDRESS") or "local"
    if meant.startswith("ray://"):
        raise UserError(
            f"{_source(address)} {meant!r}: Ray's client cannot drive a sweep; run "
            "this on the head with --address auto, or send it there with `ray job submit`"
        )
    if "://" in meant:
        raise UserError(
            f"{_source(address)} {meant!r}: is a URL; expected auto or the host:port of a Ray head"
        )
    return meant


def require_head(address: str | None) -> None:
    """Refuse, within seconds, a cluster that cannot be connected to; for before anything else is loaded.

    A process that is connected to it already asks nothing.

    Args:
        address: ``--address``; where it is None, RAY_ADDRESS is meant, and without that no cluster.

    Raises:
        UserError: nothing listens there, it is no head, or it wants another token or version.
    """
    named = os.environ.get("RAY_ADDRESS")
    meant, source = chosen_address(address), _source(address)
    if named and address in (None, "", "auto"):  # which Ray then takes
        meant, source = named, "RAY_ADDRESS"
    import ray

    connected_to = ray.get_runtime_context().gcs_address if ray.is_initialized() else None
    if meant in ("local", connected_to) or (connected_to and meant == "auto"):
        return
    require_listening(meant, source)
    require_welcome(meant, source)


def _source(address: str | None) -> str:
    return "--address" if address else "RAY_ADDRESS"


def _start(address: str, source: str) -> None:
    import ray

    embedded: dict[str, Any] = {}
    if address == "local":
        embedded = {"include_dashboard": True, "dashboard_host": "127.0.0.1"}
    try:
        with stopping.apart():
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **embedded)
    except (ConnectionError, RuntimeError, ValueError) as error:
        if not embedded:
            why = " ".join(str(error).split())  # Ray names versions that differ in lines of their own
            raise UserError(f"{source} {address!r}: cannot be connected to ({why})") from error
        raise


def _dashboard() -> str | None:
    import ray

    url = ray.get_runtime_context().gcs_address and ray._private.worker.get_dashboard_url()
    return f"http://{url}" if url else None


def _alive() -> list[dict[str, Any]]:
    import ray

    return [node for node in ray.nodes() if node["Alive"]]


def elsewhere() -> dict[str, str]:
    """Return the label selector of nodes that are not left out; empty where none is.

    Nodes are excluded, never listed, so that a cluster may still grow by what waits.
    """
    return {"ray.io/node-id": f"!in({','.join(sorted(LEFT_OUT))})"} if LEFT_OUT else {}


def _gpu_name(resources: Mapping[str, float]) -> str:
    """Return what Ray calls the GPUs of a node, such as ``H100``; ``GPU`` where it does not know."""
    mark = "accelerator_type:"
    return next((name.removeprefix(mark) for name in resources if name.startswith(mark)), "GPU")


def _fit(node: Mapping[str, float], demand: Demand) -> int:
    """Trials with this demand that fit on one node."""
    return min(int(node.get(name, 0) / amount + 1e-9) for name, amount in bundle(demand).items())


def bundle(demand: Demand) -> dict[str, float]:
    """Return the demand by Ray's names."""
    return {RAY_NAMES.get(name, name): amount for name, amount in demand.items()}


def options(demand: Demand) -> dict[str, Any]:
    """Return the demand as options of a task or an actor."""
    custom = {name: amount for name, amount in demand.items() if name not in RAY_NAMES}
    return {"num_cpus": demand.get("cpu", 0), "num_gpus": demand.get("gpu", 0), "resources": custom}


def require_local(demand: Demand) -> None:
    """Refuse, before anything starts, a trial that this machine alone can never run."""
    has = {"cpu": float(_cpus())}
    if "gpu" in demand:
        import torch

        has["gpu"] = float(torch.cuda.device_count())
    for name, amount in demand.items():
        if amount > has.get(name, 0.0):
            raise UserError(
                f"resources.{name}: {amount:g} asked for a trial, this machine has {has.get(name, 0.0):g}; "
                f"lower it with --set resources.{name}=..., or give a cluster with --address"
            )


def _cpus() -> int:
    from ray._private.utils import get_num_cpus

    return int(get_num_cpus())


def local_hardware() -> dict[str, Any]:
    """Describe this machine, without its name or address."""
    return {"machine": platform.machine(), "processor": _processor(), "cpus": os.cpu_count()}


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as info:
            names = [line.partition(":")[2].strip() for line in info if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor()
