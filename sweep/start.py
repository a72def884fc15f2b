"""The steps before the first trial: each is shown while it lasts, and named in one line where it fails."""

from __future__ import annotations

import json
import socket
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape

from trainables.registry import RunError, UserError
from trainables.storage import Store

FILE = "failures/start.json"


@contextmanager
def step(store: Store, console: Console, doing: str) -> Iterator[None]:
    """Shows ``doing`` while it lasts.

    Raises:
        UserError: raised inside, here or in a task of Ray's, whose own text of it is a whole traceback.
        RunError: whatever else was raised; the traceback is kept in ``FILE``.
    """
    try:
        with console.status(escape(doing)):
            yield
    except Exception as error:
        cause = getattr(error, "cause", None) or error
        if isinstance(cause, UserError):
            raise cause from None
        says = f"{type(cause).__name__}: {next(iter(str(cause).strip().splitlines()), 'no message')}"
        about = {"step": doing, "error": says, "traceback": traceback.format_exc()}
        failure = {**about, "host": socket.gethostname(), "time": time.time()}
        store.write(FILE, json.dumps(failure, indent=1).encode())
        raise RunError(f"{doing}: {says.rstrip('.')}; its traceback is in {store}/{FILE}") from error


def clear(store: Store) -> None:
    """Forgets the failure of an earlier run."""
    if store.exists(FILE):
        store.delete(FILE)
