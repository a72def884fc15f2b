"""Ctrl+C and SIGTERM: both end a command in the same way, first softly where there is something to save.

SIGTERM is what Slurm, Kubernetes, systemd, ``timeout`` and spot instances send.
"""

from __future__ import annotations

import atexit
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

PASSED_ON = signal.SIGUSR2  # what the main thread gets instead of SIGTERM where Ray runs

CODES = (128 + signal.SIGINT, 128 + signal.SIGTERM)

_terminated = False


def install() -> None:
    """Let SIGTERM raise KeyboardInterrupt, as Ctrl+C does; to be called first of all by a command."""
    signal.signal(signal.SIGTERM, _interrupt)


def shield() -> None:
    """Keep SIGTERM from Ray, whose own handler prints a stack and aborts; before any thread is started.

    All threads block the signal. One waits for it and passes it on to the main thread under another name.
    Processes that are started later inherit the block, so a process in which somebody only calls a command
    keeps its signals: the shield is for one whose handler is ``install``'s.
    """
    if signal.getsignal(signal.SIGTERM) is not _interrupt:
        return
    signal.signal(PASSED_ON, _interrupt)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    main = threading.main_thread().ident
    assert main is not None

    def wait() -> None:
        while True:
            signal.sigwait({signal.SIGTERM})
            signal.pthread_kill(main, PASSED_ON)

    threading.Thread(target=wait, name="flatleak-sigterm", daemon=True).start()


def terminated() -> bool:
    """Return whether SIGTERM has come."""
    return _terminated


def signal_name() -> str:
    """Return what ended a command: ``SIGTERM`` or ``Ctrl+C``."""
    return "SIGTERM" if _terminated else "Ctrl+C"


def exit_code() -> int:
    """Return the shell's code of a command that a signal ended: 143 for SIGTERM, 130 for Ctrl+C."""
    return 128 + (signal.SIGTERM if _terminated else signal.SIGINT)


def how_to_go_on() -> str:
    """Say in a line that the same command goes on with what a signal ended."""
    command = shlex.join(["flatleak", *sys.argv[1:]])
    kept = "everything trained so far is kept; " if "run" in sys.argv[1:2] else ""
    return f"Stopped; {kept}go on with: {command}"


def leave(code: int) -> NoReturn:
    """End the process without waiting for threads that are in the middle of an audit.

    Args:
        code: Its exit code.
    """
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _interrupt(number: int, _: FrameType | None) -> None:
    _note(number)
    raise KeyboardInterrupt


def _note(number: int) -> None:
    global _terminated
    _terminated = _terminated or number in (signal.SIGTERM, PASSED_ON)


@contextmanager
def softly(stop: Callable[[], None]) -> Iterator[None]:
    """Call ``stop`` at the first Ctrl+C or SIGTERM inside; the second one interrupts at once.

    Tune's own handler of Ctrl+C is kept out. A command that a shell started in its background ignores
    Ctrl+C, and goes on to do so.
    """
    if threading.current_thread() is not threading.main_thread():  # only that one may set handlers
        yield
        return
    asked = False

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            _interrupt(number, frame)
        asked = True
        _note(number)
        stop()

    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
    signals = (signal.SIGINT, signal.SIGTERM, PASSED_ON)
    before: dict[int, Any] = {n: signal.getsignal(n) for n in signals}
    for number, handler in before.items():
        if callable(handler):
            signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def apart() -> Iterator[None]:
    """Start the processes of an embedded Ray in groups of their own, with SIGTERM as it was.

    A terminal and ``timeout`` send signals to a whole group; Ray must live until progress is saved.
    """
    if sys.platform != "linux":  # elsewhere Ray finds its processes by their group when it ends them
        yield
        return
    from ray._private import services

    original = services.ConsolePopen

    class Apart(original):  # type: ignore[misc, valid-type]
        def __init__(self, *arguments: Any, preexec_fn: Callable[[], None], **options: Any) -> None:
            def prepare() -> None:
                signal.signal(signal.SIGINT, signal.SIG_IGN)  # forgets one that came before the own group
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                signal.pthread_sigmask(signal.SIG_SETMASK, before - {signal.SIGTERM})
                preexec_fn()

            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                super().__init__(*arguments, preexec_fn=prepare, process_group=0, **options)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)

    services.ConsolePopen = Apart  # type: ignore[assignment, misc]
    try:
        yield
    finally:
        services.ConsolePopen = original  # type: ignore[misc]
