"""Where progress is shown: a terminal, a notebook's cell, or lines in a log."""

from __future__ import annotations

from importlib.util import find_spec

from rich.console import Console


def standard_console() -> Console:
    """Write to standard error; in a notebook to the cell's output, where ipywidgets can move a bar."""
    console = Console(stderr=True)
    if console.is_jupyter and find_spec("ipywidgets") is None:
        return Console(stderr=True, force_jupyter=False)
    return console


def animates(console: Console) -> bool:
    """Return whether a bar moves there; a file gets lines instead."""
    return console.is_terminal or console.is_jupyter
