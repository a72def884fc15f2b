"""A bar that moves while a data set is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from sweep.watch.console import animates
from trainables.data.loading import Report


@contextmanager
def loading_bar(console: Console, doing: str) -> Iterator[Report]:
    """Show ``doing`` and how far it is, on a terminal or in a notebook, until the block ends.

    Yields:
        What to pass to ``load_dataset`` as ``progress``.
    """
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not animates(console)) as bar:
        task = bar.add_task(doing, total=None)

        def report(what: str, done: int, total: int) -> None:
            bar.update(task, description=f"{doing}: {what}", completed=done, total=total, refresh=True)

        yield report
