"""What a run waits for is said at once, once a minute, and in the sweep directory."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from sweep import cluster
from sweep.cluster import Cluster
from sweep.watch import waiting
from sweep.watch.waiting import Sayer, Waiting, lacking
from tests.helpers.nodes import nodes
from trainables.phase import read_phase
from trainables.storage import Store


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that the test turns."""
    made = SimpleNamespace(now=0.0)
    monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=lambda: made.now))
    return made


def test_what_no_node_has_is_told_from_what_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_alive", lambda: nodes({"CPU": 2.0}, {"CPU": 8.0}))
    assert lacking(Cluster(None), {"cpu": 2}) == "for a node to be free; a trial asks for cpu 2"
    none = "for a node that a trial fits on: cpu 2, gpu 1; none has that now"
    assert lacking(Cluster(None), {"cpu": 2, "gpu": 1}) == none


def test_waiting_is_said_once_a_minute_until_a_trial_runs(tmp_path: Path, clock: SimpleNamespace) -> None:
    store, out, fits = Store.at(tmp_path), io.StringIO(), False
    watch = Waiting(store, Sayer(store, Console(file=out, width=200), lambda: "for luck"), lambda: fits)

    def phase() -> str:
        noted = read_phase(store)
        return str(noted)

    def lines(at: float) -> int:
        clock.now = at
        watch.on_step_end()
        return out.getvalue().count("waiting for luck")

    assert [lines(at) for at in (1, 6, 30, 65.9, 66.1)] == [0, 1, 1, 1, 2]
    assert phase() == "waiting (for luck)"
    trial = SimpleNamespace(trial_id="t")
    watch.on_trial_start(trial=trial)
    assert phase() == "training"
    assert lines(500) == 2
    watch.on_trial_recover(trial=trial)
    fits = True  # a process may only be starting
    assert [lines(at) for at in (510, 529, 531)] == [2, 2, 3]
