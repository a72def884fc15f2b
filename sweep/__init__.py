"""What to run, and running it: a spec, the plan of what is missing, Ray Tune, the ``flatleak`` command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.lazy import lazily

if TYPE_CHECKING:
    from sweep.runner.launch import run
    from sweep.spec.schema import SweepSpec

__all__ = ["SweepSpec", "run"]

__getattr__ = lazily(__name__, {"SweepSpec": "sweep.spec.schema", "run": "sweep.runner.launch"})
