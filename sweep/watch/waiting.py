"""Says what a run waits for while none of its trials runs: in its terminal and in ``flatleak status``."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console

from sweep.cluster import Cluster, Demand
from sweep.watch.tally import LocalCallback
from trainables.phase import note_phase
from trainables.storage import Store

SOON = 5.0  # seconds without a trial until one that fits nowhere counts as waiting
LATER = 30.0  # and one that a node could take, whose process may only be starting
AGAIN = 60.0  # seconds between lines


def lacking(cluster: Cluster, demand: Demand) -> str:
    """Return what a trial waits for.

    Args:
        cluster: Where it would run.
        demand: Of one trial.

    Returns:
        That no node has it, or that other work holds it.
    """
    needed = ", ".join(f"{name} {amount:g}" for name, amount in demand.items())
    if cluster.most_on_a_node(demand):
        return f"for a node to be free; a trial asks for {needed}"
    return f"for a node that a trial fits on: {needed}; none has that now"


class Sayer:
    """Says at once, and once a minute, what is waited for.

    Args:
        store: The sweep directory, which notes it, too.
        console: Where lines go.
        why: What is waited for now.
    """

    def __init__(self, store: Store, console: Console, why: Callable[[], str]) -> None:
        self._store, self._console, self._why = store, console, why
        self._said = float("-inf")

    def say(self) -> None:
        """Say it, unless that was done in the last minute."""
        if time.monotonic() - self._said < AGAIN:
            return
        self._said = time.monotonic()
        why = self._why()
        note_phase(self._store, "waiting", why)
        self._console.print(f"waiting {why}", highlight=False, markup=False, soft_wrap=True)

    def reset(self) -> None:
        """Nothing is waited for; the next time is said at once."""
        self._said = float("-inf")


class Waiting(LocalCallback):
    """Follows Tune's events and notes whether trials run or are waited for.

    Args:
        store: The sweep directory.
        sayer: Says what is waited for.
        fits: Whether there is a node that a trial fits on.
    """

    def __init__(self, store: Store, sayer: Sayer, fits: Callable[[], bool]) -> None:
        self._store, self._sayer, self._fits = store, sayer, fits
        self._running: set[str] = set()
        self._since = time.monotonic()
        self._phase = ""

    def on_trial_start(self, *_: Any, **event: Any) -> None:
        """Note that a trial runs."""
        self._running.add(event["trial"].trial_id)
        self._sayer.reset()
        self._note("training")

    def on_trial_complete(self, *_: Any, **event: Any) -> None:
        """Note that a trial runs no more."""
        self._running.discard(event["trial"].trial_id)
        self._since = time.monotonic()

    on_trial_error = on_trial_recover = on_trial_complete

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Say what is waited for, where nothing has run for a while."""
        idle = time.monotonic() - self._since
        if not self._running and idle > SOON and (idle > LATER or not self._fits()):
            self._phase = "waiting"
            self._sayer.say()

    def _note(self, phase: str) -> None:
        if phase != self._phase:
            self._phase = phase
            note_phase(self._store, phase)
