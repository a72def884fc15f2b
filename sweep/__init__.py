"""What to run, and running it: a spec, the plan of what is missing, Ray Tune, the ``flatleak`` command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sweep.runner.launch import run
    from sweep.spec.schema import SweepSpec

__all__ = ["SweepSpec", "run"]


def __getattr__(name: str) -> Any:
    """Imports on first use: looking at a sweep must wait neither for torch nor for Ray."""
    if name == "SweepSpec":
        from sweep.spec.schema import SweepSpec

        return SweepSpec
    if name == "run":
        from sweep.runner.launch import run

        return run
    raise AttributeError(f"module 'sweep' has no attribute {name!r}")
