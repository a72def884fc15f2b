"""What Ray says of its nodes and workers, in a line each: its tracebacks and dumps fill a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LONGEST = 160  # letters of a line


def line_of(message: str, said: set[str]) -> str | None:
    """Return what is shown of a message.

    Args:
        message: Ray's, of any length.
        said: The lines that were shown before; a new one is added.

    Returns:
        Its first line, cut; None for a traceback, which a failure's own file has, and for what was said.
    """
    line = next((part.strip() for part in message.splitlines() if part.strip()), "")
    line = line if len(line) <= LONGEST else f"{line[:LONGEST]}..."
    if not line or line.startswith(("Traceback", "ray.exceptions", "[")) or line[:60] in said:
        return None
    said.add(line[:60])
    return line


@contextmanager
def brief() -> Iterator[None]:
    """Show of what Ray's raylets tell the driver only new first lines, while the block lasts."""
    from ray._private import worker

    original, said = worker.print_to_stdstream, set[str]()

    def print_briefly(data: dict[str, Any], *arguments: Any, **options: Any) -> None:
        if data.get("pid") != "raylet":
            original(data, *arguments, **options)
            return
        for line in filter(None, (line_of(message, said) for message in data["lines"])):
            original({**data, "lines": [line]}, *arguments, **options)

    worker.print_to_stdstream = print_briefly
    try:
        yield
    finally:
        worker.print_to_stdstream = original
