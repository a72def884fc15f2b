"""How far reading a data set is, for whoever wants to show it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
Report = Callable[[str, int, int], None]  # what is read, how much of it is done, of how much

_report: ContextVar[Report | None] = ContextVar("report", default=None)


@contextmanager
def reported_to(report: Report | None) -> Iterator[None]:
    """Have ``tell`` and ``watched`` call ``report`` inside the ``with``."""
    token = _report.set(report)
    try:
        yield
    finally:
        _report.reset(token)


def tell(what: str, done: int, total: int) -> None:
    """Say that ``done`` of ``total`` are read."""
    report = _report.get()
    if report is not None:
        report(what, done, total)


def watched(items: Iterable[T], what: str, total: int) -> Iterator[T]:
    """``items`` as they come, each counted; about a hundred reports in all."""
    every = max(1, total // 100)
    for done, item in enumerate(items, 1):
        yield item
        if done % every == 0 or done == total:
            tell(what, done, total)
