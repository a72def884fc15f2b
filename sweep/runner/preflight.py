"""What is asked of every node of a cluster before it is used: has it what trials need?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from trainables.errors import UserError, first_line

ANSWER = 60.0  # seconds for a node to start a process and look around
SETTLE = 5.0  # seconds until a network file system shows a new file everywhere
PACKAGE = ("flatleak", "trainables")  # the distribution, and a module of it

Look = Callable[[str, str, Sequence[str], float, str], dict[str, Any]]


@dataclass(frozen=True)
class Check:
    """What every node must have: this release, this Python, the shared files, a device that works.

    Args:
        shared: Files that every node must see, by the option that names their folder.
        device: What trials train on.
        package: A distribution and a module of it, which nodes must have in the version that is here.
        settle: Seconds that a node waits for a file to appear.
    """

    shared: Mapping[str, Path]
    device: str = "cpu"
    package: tuple[str, str] = PACKAGE
    settle: float = SETTLE

    def ask(self, node: Mapping[str, Any]) -> Any:
        """Start a tiny task on a node that looks around there.

        Args:
            node: As ``ray.nodes()`` describes it.

        Returns:
            The task's reference, for `problem`.
        """
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        paths = [str(path) for path in self.shared.values()]
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        # The process has looked at all GPUs of the node; the next task gets one that has not.
        task = ray.remote(num_cpus=0, max_retries=0, max_calls=1)(_look()).options(
            scheduling_strategy=there, name="flatleak look at a node"
        )
        return task.remote(*self.package, paths, self.settle, self.device)

    @cached_property
    def here(self) -> dict[str, Any]:
        """What the driver has."""
        return _look()(*self.package, [], 0.0, "cpu")

    def problem(self, reference: Any) -> str | None:
        """Return what a node lacks, once its task has answered; None where nothing.

        Args:
            reference: Of the task.
        """
        return _problem(reference, self.here, self.shared)


def require_nodes(nodes: Sequence[Mapping[str, Any]], check: Check, *, answer: float = ANSWER) -> None:
    """Ask every node, by one tiny task each, for what trials need.

    Args:
        nodes: As ``ray.nodes()`` describes them.
        check: What each must have.
        answer: Seconds for all to answer.

    Raises:
        UserError: names the first node that lacks something, and what.
    """
    import ray

    asked = {check.ask(node): node for node in nodes}
    if not asked:
        return
    answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=answer)
    found = {
        node_name(node): check.problem(reference) if reference in answered else silent(answer)
        for reference, node in asked.items()
    }
    bad = {name: problem for name, problem in found.items() if problem}
    if bad:
        name, problem = next(iter(bad.items()))
        more = f" ({len(bad) - 1} more of {len(found)} nodes lack something)" if len(bad) > 1 else ""
        raise UserError(f"node {name}: {problem}{more}")


def silent(seconds: float) -> str:
    """Return what to say of a node that has not answered.

    Args:
        seconds: That it had.
    """
    return f"does not answer within {seconds:g} s"


def _look() -> Look:
    """Return the task; an inner function travels by value, so that a node without flatleak runs it, too."""

    def look(
        distribution: str, module: str, paths: Sequence[str], settle: float, device: str
    ) -> dict[str, Any]:
        import importlib
        import importlib.metadata
        import os
        import platform
        import time

        try:
            importlib.import_module(module)
            missing = None
        except Exception as error:  # whatever a broken installation raises
            missing = f"{type(error).__name__}: {error}"
        try:
            version = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:  # run from a checkout that is not installed
            version = None
        end = time.monotonic() + settle
        while (unseen := [p for p in paths if not os.path.exists(p)]) and time.monotonic() < end:
            time.sleep(0.2)
        useless = None
        if device.startswith("cuda") and missing is None:
            os.environ.pop("CUDA_VISIBLE_DEVICES", None)  # which Ray empties for a task without a GPU
            import torch

            if not torch.cuda.is_available():
                useless = f"torch {torch.__version__} finds no CUDA device there"
        python = ".".join(platform.python_version_tuple()[:2])
        return {
            "missing": missing,
            "version": version,
            "python": python,
            "unseen": unseen,
            "useless": useless,
        }

    return look


def node_name(node: Mapping[str, Any]) -> str:
    """Name a node for people: its address and the first letters of its id.

    Args:
        node: As ``ray.nodes()`` describes it.
    """
    return f"{node['NodeManagerAddress']} ({node['NodeID'][:8]})"


def _problem(reference: Any, here: Mapping[str, Any], shared: Mapping[str, Path]) -> str | None:
    """Return what a node lacks, from its answer."""
    import ray
    from ray.exceptions import RayError, TaskUnschedulableError

    try:
        there = ray.get(reference)
    except TaskUnschedulableError:  # it has left the cluster meanwhile
        return None
    except RayError as error:
        return f"cannot run a task ({first_line(error)})"
    if there["python"] != here["python"]:
        return f"its Ray runs Python {there['python']}, this is {here['python']}; expected the same"
    if there["missing"]:
        return (
            f"flatleak cannot be imported there ({there['missing']}); install it in the Python that runs Ray"
        )
    if there["version"] != here["version"]:
        return f"it has flatleak {there['version']}, this is {here['version']}; expected the same"
    if there.get("useless"):
        return f"{there['useless']}, and trials ask for a GPU; see `nvidia-smi` and the driver on that node"
    for option, path in shared.items():
        if str(path) in there["unseen"]:
            return (
                f"{option} {path.parent} is not seen there; expected a folder that all nodes share, or a URI "
                "such as s3://BUCKET/NAME"
            )
    return None
