"""The stages of a run: what one does is shown while it lasts, and named in one line where it fails."""

from __future__ import annotations

import json
import re
import socket
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rich.console import Console
from rich.markup import escape

from trainables.directory import FAILURES, PROGRESS, RUN_FAILURE
from trainables.errors import RunError, UserError
from trainables.phase import note_phase
from trainables.storage import Store


@contextmanager
def stage(store: Store | None, console: Console, doing: str) -> Iterator[None]:
    """Show a stage of a run while it lasts, here and, as a start, in ``flatleak status``."""
    if store is not None:
        note_phase(store, "starting", doing)
    with named(store, doing), console.status(escape(doing)):
        yield


@contextmanager
def named(store: Store | None, doing: str) -> Iterator[None]:
    """Say what was being done where it fails. Without a store nothing is written.

    Raises:
        UserError: raised inside, here or in a task of Ray's, whose own text of it is a whole traceback.
        RunError: whatever else was raised; the traceback is kept in ``failures/run.json``.
    """
    try:
        yield
    except Exception as error:
        cause, says = _cause(error), reason(error)
        if isinstance(cause, UserError):
            raise cause from None
        if store is None:
            raise RunError(f"{doing}: {says}") from error
        kept = _keep(store, {"step": doing, "error": says, "traceback": _public(traceback.format_exc())})
        raise RunError(f"{doing}: {says.rstrip('.')}; {kept}") from error


def reason(error: BaseException) -> str:
    """Kind and first line of what was raised first."""
    cause = _cause(error)
    return _public(f"{type(cause).__name__}: {next(iter(str(cause).strip().splitlines()), 'no message')}")


def _cause(error: BaseException) -> BaseException:
    """Find what was raised first: in a task, which Ray wraps, or a callback, where Tune raises its text."""
    cause = getattr(error, "cause", None) or error
    while cause.__context__ is not None and str(cause).startswith("Traceback"):
        cause = cause.__context__
    return cause


def _keep(store: Store, about: dict[str, str]) -> str:
    failure = {**about, "host": socket.gethostname(), "time": time.time()}
    try:
        store.write(RUN_FAILURE, json.dumps(failure, indent=1).encode())
    except OSError:  # perhaps the very reason
        return f"{store} does not take its traceback"
    return f"its traceback is in {store}/{RUN_FAILURE}"


def _public(text: str) -> str:
    """Without the credentials of addresses, which errors of servers repeat."""
    return re.sub(r"(?<=://)[^/@\s]+@", "", text)


@contextmanager
def no_empty_folder(store: Store) -> Iterator[None]:
    """Take away the folders that were made inside for the sweep directory, where nothing is left in them."""
    made, folder = [], store.local
    while folder is not None and not folder.exists():
        made.append(folder)
        folder = folder.parent
    try:
        yield
    finally:
        with suppress(OSError):  # not made, or not empty
            for folder in made:
                folder.rmdir()


def tidy(store: Store) -> None:
    """Take away folders of unfinished and failed blocks that nothing is left in.

    Args:
        store: The sweep directory, which no trial writes to now.
    """
    if store.local is None:
        return
    for name in (PROGRESS, FAILURES):
        for folder in [*(store.local / name).glob("*/"), store.local / name]:
            with suppress(OSError):  # not there, or not empty
                folder.rmdir()


def clear(store: Store) -> None:
    """Forgets the failure of an earlier run."""
    if store.exists(RUN_FAILURE):
        store.delete(RUN_FAILURE)
