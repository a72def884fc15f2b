"""The state of a run as Tune reports it, and the terminal bar that shows it."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from ray.tune import Callback, Stopper
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
)
from rich.text import Text

from sweep.cluster import LEFT_OUT
from sweep.watch.console import animates
from trainables.block import Block
from trainables.trial import SaveRequests

RECENT = 300.0  # seconds that "now" looks back
LINE_EVERY = 30.0  # seconds between lines where the output is no terminal


class Tally:
    """What has happened to each block.

    ``replicas[i]``: trained ones of block i, fractions included. ``resumed[i]``: those of them that were
    trained before this run; no rate counts them.
    """

    def __init__(self, blocks: Sequence[Block], seconds: Mapping[str, float]) -> None:
        self.blocks = blocks
        self.started = time.monotonic()
        self.replicas = [0.0] * len(blocks)
        self.resumed: dict[int, float] = {}
        self.finished: set[int] = set()
        self.failed: set[int] = set()
        self._seen = deque([(self.started, 0.0)])
        self._cost = [seconds[block.address.recipe_id] for block in blocks]
        self.total = sum(len(block) for block in blocks)

    def report(self, block: int, replicas: float, resumed: float | None) -> None:
        """Note what a trial says of its block.

        Args:
            block: Its index.
            replicas: Trained ones, fractions included.
            resumed: As many as it went on from; None where that is not known yet. The first attempt of a run
                tells what an earlier run trained; a later attempt goes on from work of this one.
        """
        self.replicas[block] = replicas
        if resumed is not None:
            self.resumed.setdefault(block, resumed)

    @property
    def own(self) -> list[float]:
        """Replicas of each block that were trained in this run, fractions included."""
        return [max(r - self.resumed.get(i, 0.0), 0.0) for i, r in enumerate(self.replicas)]

    @property
    def trained(self) -> float:
        """Replicas trained in this run, unfinished ones by their share."""
        return sum(self.own)

    @property
    def rate(self) -> float:
        """Replicas a second since the start."""
        return self.trained / max(time.monotonic() - self.started, 1e-9)

    @property
    def rate_now(self) -> float:
        """Replicas a second in the last minutes."""
        now = time.monotonic()
        self._seen.append((now, self.trained))
        while now - self._seen[0][0] > RECENT and len(self._seen) > 2:
            self._seen.popleft()
        begin, trained = self._seen[0]
        return max(self.trained - trained, 0.0) / max(now - begin, 1e-9)

    @property
    def failures(self) -> int:
        """Replicas of the blocks that were given up."""
        return sum(len(self.blocks[i]) for i in self.failed)

    @property
    def time_left(self) -> float | None:
        """Seconds at the speed so far, recipes weighted by their cost; None before anything is known."""
        work = sum(c * r for c, r in zip(self._cost, self.own, strict=True))
        left = sum(
            c * (len(b) - r)
            for i, (c, b, r) in enumerate(zip(self._cost, self.blocks, self.replicas, strict=True))
            if i not in self.failed
        )
        return left * (time.monotonic() - self.started) / work if work else None


class LocalCallback(Callback):
    """A callback of this process alone. Tune pickles callbacks to restore them, which a sweep never does."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class Watch(LocalCallback, Stopper):
    """Keeps a Tally from Tune's events, and ends the run where going on is hopeless (no room, no storage)."""

    DEATHS = 10  # of a trial's processes, lost nodes aside, before it counts as its own fault
    GRACE = 10.0  # seconds that trials get to save their progress before a run stops
    LOOK_EVERY = 5.0  # seconds between looks for nodes that are drained

    def __init__(self, tally: Tally, give_up: Any, requests: SaveRequests) -> None:
        self.tally, self._give_up, self._requests = tally, give_up, requests
        self._stopping: float | None = None
        self._asked = False
        self._unsaved: set[int] = set()
        self._draining: set[str] = set()
        self._looked = 0.0
        self._actors: dict[int, str] = {}
        self._handles: dict[int, Any] = {}
        self._nodes: dict[str, str] = {}  # by actor
        self.died_on: dict[int, list[str]] = {}
        self.lost: set[int] = set()  # blocks that Tune gave up before they began, to hand out again
        self._begun: set[int] = set()
        self._not_begun: Counter[int] = Counter()
        self.fatal: str | None = None

    def __call__(self, _trial_id: str, _result: dict[str, Any]) -> bool:
        """Stop no single trial: Tune asks after every report."""
        return False

    def stop(self) -> None:
        """End the run once its trials have saved their progress, or after ``GRACE`` seconds."""
        self._stopping = time.monotonic()

    def stop_all(self) -> bool:
        """Return whether Tune must end the run: a fatal error, or all progress saved after `stop`."""
        return self.fatal is not None or self._saved

    @property
    def _saved(self) -> bool:
        if self._stopping is None:
            return False
        return not self._unsaved or time.monotonic() - self._stopping > self.GRACE

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Ask trials to save: all of them once the run stops, and those on nodes that are about to go."""
        if self._stopping is not None and not self._asked:
            self._asked = True
            self._requests.ask()
        if time.monotonic() - self._looked > self.LOOK_EVERY:
            self._looked = time.monotonic()
            for node in _draining_nodes() - self._draining:
                self._draining.add(node)
                self._requests.ask(node)

    def on_trial_result(self, *_: Any, **event: Any) -> None:
        """Note how far the block is, whether its progress is saved, and what failed."""
        block, result = block_of(event), event["result"]
        self.tally.report(block, result.get("replicas", 0.0), result.get("resumed"))
        (self._unsaved.discard if "saved" in result else self._unsaved.add)(block)
        self.fatal = result.get("fatal", self.fatal)
        if result.get("failed"):
            self.tally.failed.add(block)

    def on_trial_complete(self, *_: Any, **event: Any) -> None:
        """Count the block as finished."""
        self.tally.finished.add(block_of(event))
        self._unsaved.discard(block_of(event))

    def on_trial_start(self, *_: Any, **event: Any) -> None:
        """Note which actor trains the block, and where: Ray may not know that of one that died."""
        self._begun.add(block_of(event))
        actor = event["trial"].temporary_state.ray_actor
        self._actors[block_of(event)] = actor._actor_id.hex()
        self._handles[block_of(event)] = actor
        self.node_of(block_of(event))

    def on_trial_recover(self, *_: Any, **event: Any) -> None:
        """Note an attempt that failed, on a node that Ray may only later find to be lost."""
        block = block_of(event)
        self._unsaved.discard(block)
        self.tally.replicas[block] = 0.0
        if self._had_begun(block):
            self.died_on.setdefault(block, []).append(self.node_of(block))
        if self.deaths(block) >= self.DEATHS or self._not_begun[block] > self.DEATHS:
            event["trial"].max_failures = 0  # the next death is the last

    def _had_begun(self, block: int) -> bool:
        """Return whether the attempt that failed had begun, and count those that had not.

        Tune may hand a block to the process of an earlier one, whose node has just crashed.
        """
        if block in self._begun:
            self._begun.remove(block)
            return True
        self._not_begun[block] += 1
        return False

    def node_of(self, block: int) -> str:
        """Return the id of the node that trains a block; empty where Ray does not know.

        Args:
            block: Its index.
        """
        actor = self._actors.get(block, "")
        if not self._nodes.get(actor):
            self._nodes[actor] = _node_of(actor)
        return self._nodes[actor]

    def evict(self, node: str) -> None:
        """End the trials on a node that is left out; Tune starts them again elsewhere.

        Args:
            node: Its id.
        """
        import ray

        for block, handle in self._handles.items():
            if block not in self.tally.finished and self.node_of(block) == node:
                ray.kill(handle)

    def take_lost(self) -> list[int]:
        """Return the blocks to hand out again, once; none where the run ends early."""
        lost, self.lost = sorted(self.lost), set()
        return lost if self._stopping is None and self.fatal is None else []

    def deaths(self, block: int) -> int:
        """Return how often processes of this block died on nodes that live on and are good for trials."""
        import ray

        lost = LEFT_OUT.keys() | {node["NodeID"] for node in ray.nodes() if not node["Alive"]}
        return sum(node not in lost for node in self.died_on.get(block, []))

    def on_trial_error(self, *_: Any, **event: Any) -> None:
        """Give the block up; one that had not begun, which Tune may not retry, is for `take_lost`."""
        block, trial = block_of(event), event["trial"]
        if trial.max_failures and not self._had_begun(block) and self._not_begun[block] <= self.DEATHS:
            self.lost.add(block)
            return
        self.tally.failed.add(block)
        self.tally.finished.add(block)
        self._give_up(self.tally.blocks[block], latest_error(trial))


def block_of(event: Mapping[str, Any]) -> int:
    """Return the index of the block that one of Tune's events is about."""
    return int(event["trial"].config["block"])


def latest_error(trial: Any) -> str:
    """Return the latest error of a trial, of those that Tune appends to a file.

    The trial's own ``get_error`` looks where they are not copied yet.

    Args:
        trial: Tune's.
    """
    try:
        return Path(trial.error_file).read_text().rpartition("Failure # ")[2].partition("\n")[2].strip()
    except OSError as error:
        return f"unknown ({error})"


def _draining_nodes() -> set[str]:
    """Nodes that Ray was told will go, as after a spot warning."""
    from ray._private import state

    return set(state.state.get_draining_nodes())


def _node_of(actor: str | None) -> str:
    """Return the node that an actor ran on; empty where Ray does not know."""
    from ray._private import state

    found = state.actors(actor) if actor else {}
    return str(found["Address"]["NodeID"]) if found else ""


class _Speed(ProgressColumn):
    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self._tally = tally

    def render(self, task: Task) -> Text:  # noqa: ARG002
        return Text(summary(self._tally), style="cyan")


def summary(tally: Tally) -> str:
    """``"3.1 replicas/s, 0:41 left, 8 failed"``."""
    parts = [f"{tally.rate:.2g} replicas/s"]
    if tally.time_left is not None and len(tally.finished) < len(tally.blocks):
        parts.append(f"{clock(tally.time_left)} left")
    if tally.failures:
        parts.append(f"{tally.failures} failed")
    return ", ".join(parts)


def clock(seconds: float) -> str:
    """``"1:02:03"`` or ``"2:03"``."""
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02}:{s:02}" if hours else f"{m}:{s:02}"


class Bar(LocalCallback):
    """Replicas done, replicas a second, time left, failures; a line now and then without a terminal."""

    def __init__(self, console: Console, tally: Tally, present: int) -> None:
        self._console, self._tally, self._present = console, tally, present
        self._last_line = time.monotonic()
        self._progress = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("replicas"),
            _Speed(tally),
            console=console,
            refresh_per_second=4,
            disable=not animates(console),
        )
        self._task = self._progress.add_task("training", total=present + tally.total)

    def __enter__(self) -> Bar:
        self._progress.start()
        self._update()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._update()
        self._progress.refresh()  # a notebook's is not drawn again when it stops
        self._progress.stop()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Move the bar; where the output is no terminal, print a line now and then."""
        self._update()
        if not animates(self._console) and time.monotonic() - self._last_line > LINE_EVERY:
            self._last_line = time.monotonic()
            done, total = self._done, self._present + self._tally.total
            self._console.print(f"{done}/{total} replicas, {summary(self._tally)}")

    def _update(self) -> None:
        self._progress.update(self._task, completed=self._done)

    @property
    def _done(self) -> int:
        return self._present + int(sum(self._tally.replicas))
