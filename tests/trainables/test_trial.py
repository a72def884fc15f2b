"""How a trial ends, and what it tells Tune."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.helpers.blocks import ADDRESS, job
from trainables import trial as module
from trainables.errors import Diverged, StorageFull
from trainables.failures import ATTEMPTS
from trainables.progress import Progress
from trainables.storage import Store
from trainables.trial import trial


@pytest.fixture
def fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs a trial whose training raises; gives what it reports."""
    pytest.importorskip("ray")
    from ray import tune

    reported: list[dict[str, Any]] = []
    monkeypatch.setattr(tune, "report", reported.append)
    monkeypatch.setattr(module, "_show", lambda _: None)
    monkeypatch.setattr(module, "_log_place", lambda: "a log")

    def run(error: BaseException) -> list[dict[str, Any]]:
        def train(*_: Any) -> None:
            raise error

        monkeypatch.setattr(module, "_train", train)
        trial({"block": 0}, job(tmp_path), None)
        return reported

    return run


def test_a_full_storage_ends_the_run(fails: Any, tmp_path: Path) -> None:
    (report,) = fails(StorageFull(errno.ENOSPC, "No space left on device", f"{tmp_path}/records/x.npz"))
    assert str(tmp_path) in report["fatal"]
    assert "is full" in report["fatal"]
    assert not list(tmp_path.rglob("*.json"))


def test_another_full_disk_is_an_attempt_that_failed(fails: Any, tmp_path: Path) -> None:
    error = OSError(errno.ENOSPC, "No space left on device", "/tmp/of-one-node")
    for _ in range(ATTEMPTS - 1):
        with pytest.raises(OSError, match="of-one-node"):
            fails(error)
    (report,) = fails(error)
    assert report["failed"] is True
    (failure,) = tmp_path.rglob("*.json")
    about = json.loads(failure.read_text())
    assert (about["attempts"], about["given_up"]) == (ATTEMPTS, True)
    assert "/tmp/of-one-node" in about["error"]


def test_what_diverges_is_given_up_at_once(fails: Any) -> None:
    (report,) = fails(Diverged("loss is nan"))
    assert report["reason"] == "Diverged"


@pytest.mark.parametrize(("saved", "resumed"), [(False, 0.0), (True, 2.5)])
def test_a_trial_tells_what_it_went_on_from(
    saved: bool, resumed: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    from ray import tune

    from trainables import training
    from trainables.engine import task

    def train(_: Any, seeds: list[int], *, progress: Progress, on_epoch: Any) -> Any:
        progress.load()
        on_epoch(2.5, 0.1)
        on_epoch(float(len(seeds)), 0.1)
        return SimpleNamespace(final_loss=np.zeros(4), test_accuracy=np.ones(4))

    reported: list[dict[str, Any]] = []
    monkeypatch.setattr(tune, "report", reported.append)
    monkeypatch.setattr(task, "Task", lambda *_: None)
    monkeypatch.setattr(training, "train_task", train)
    for name in ("_show", "write_record"):
        monkeypatch.setattr(module, name, lambda *_: None)
    if saved:
        Progress(Store.at(tmp_path), ADDRESS, 60.0).save({"state": np.zeros(1)})
    trial({"block": 0}, job(tmp_path), None)
    assert [(r["replicas"], r["resumed"], r["done"]) for r in reported] == [(4.0, resumed, True)]
