"""The unfinished state of a trial and its failures, as they lie in the sweep directory; Tune runs trials."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trainables import trial as module
from trainables.directory import failure_path, progress_path
from trainables.engine.runtime import Runtime
from trainables.errors import Diverged, StorageFull
from trainables.records import Address, Context
from trainables.storage import Store
from trainables.trial import Block, Failures, Job, Progress, trial

ADDRESS = Address("a" * 10, "b" * 10, 4, 7)
BLOCK = Block({"optimizer": "sam", "rho": 0.1}, ADDRESS, "sam rho=0.1")
CONTEXT = Context(dataset={"name": "digits"}, fingerprint="0", model={"name": "mlp"})


def job(folder: Path, run_id: str = "first") -> Job:
    return Job(run_id, Store.at(folder), CONTEXT, (BLOCK,), Runtime(), 60.0)


def test_a_block_is_named_after_its_recipe_and_seeds() -> None:
    assert (BLOCK.name, len(BLOCK)) == ("sam rho=0.1 seeds 4-7", 4)


def test_progress_comes_back_as_it_was_saved_and_only_to_its_block(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    progress, other = (Progress(store, a, 60.0) for a in (ADDRESS, Address("a" * 10, "b" * 10, 8, 11)))
    assert progress.load() is None
    arrays = {"params/0": np.arange(6.0).reshape(2, 3), "epoch": np.array(3)}
    progress.save({"epoch": np.array(2)})
    progress.save(arrays)
    found = progress.load()
    assert found is not None
    assert found.keys() == arrays.keys()
    for name, value in arrays.items():
        np.testing.assert_array_equal(found[name], value)
    assert other.load() is None
    progress.clear()
    progress.clear()
    assert progress.load() is None
    assert [entry.path for entry in store.list()] == []


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"no archive", b"\x80\x04N."])
def test_progress_that_cannot_be_read_counts_as_none(tmp_path: Path, content: bytes) -> None:
    store = Store.at(tmp_path)
    store.write(progress_path(ADDRESS), content)
    assert Progress(store, ADDRESS, 60.0).load() is None


def test_an_urgent_save_comes_at_the_next_chance_and_is_told_once(tmp_path: Path) -> None:
    told: list[str] = []
    progress = Progress(Store.at(tmp_path), ADDRESS, 60.0, lambda: told.append("saved"))
    progress.save({})
    assert (progress.every, told) == (60.0, [])
    progress.urgent = True
    assert progress.every == 0.0
    progress.save({})
    progress.save({})
    assert (progress.every, told) == (60.0, ["saved"])


def failure(folder: Path) -> dict[str, Any]:

    return dict(json.loads(Store.at(folder).read(failure_path(ADDRESS))))


def test_a_block_is_given_up_after_as_many_attempts_as_a_run_has(tmp_path: Path) -> None:
    failures = Failures(job(tmp_path), BLOCK)
    for attempt in range(1, module.ATTEMPTS + 1):
        assert failures.count() == attempt - 1
        assert failures.add("ValueError: no", "Traceback", "log.txt") == attempt
        assert failure(tmp_path)["given_up"] is (attempt == module.ATTEMPTS)
    told = failure(tmp_path)
    assert (told["block"], told["recipe"], told["seeds"]) == (BLOCK.name, BLOCK.knobs, [4, 7])
    assert (told["error"], told["traceback"], told["log"]) == ("ValueError: no", "Traceback", "log.txt")


def test_the_next_run_counts_anew_and_success_leaves_nothing(tmp_path: Path) -> None:
    Failures(job(tmp_path), BLOCK).add("ValueError: no", "", "", last=True)
    assert failure(tmp_path)["given_up"] is True
    later = Failures(job(tmp_path, "second"), BLOCK)
    assert later.count() == 0
    assert later.add("ValueError: no", "", "") == 1
    later.clear()
    later.clear()
    assert later.count() == 0
    Store.at(tmp_path).write(failure_path(ADDRESS), b"{")
    assert later.count() == 0, "a note that was cut counts as none"


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
    for _ in range(module.ATTEMPTS - 1):
        with pytest.raises(OSError, match="of-one-node"):
            fails(error)
    (report,) = fails(error)
    assert report["failed"] is True
    (failure,) = tmp_path.rglob("*.json")
    about = json.loads(failure.read_text())
    assert (about["attempts"], about["given_up"]) == (module.ATTEMPTS, True)
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
