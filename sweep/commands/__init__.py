"""The commands of ``flatleak``, a module for each group; each adds its own to the app, in this order."""

from __future__ import annotations

from sweep.commands import sweeping  # noqa: F401

# isort: split
from sweep.commands import planning  # noqa: F401

# isort: split
from sweep.commands import results, watching  # noqa: F401

# isort: split
from sweep.commands import upkeep  # noqa: F401
from sweep.commands.application import app, errors

__all__ = ["app", "errors"]
