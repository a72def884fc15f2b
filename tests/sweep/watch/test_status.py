"""What ``flatleak status`` says of a sweep directory, against counting by hand."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from rich.console import Console

from sweep.runner import lease
from sweep.runner.phases import note_stop, told
from sweep.runner.plan import take_stock
from sweep.watch.status import _sums, show, status
from trainables.errors import UserError
from trainables.phase import Phase, note_phase, write_phase
from trainables.records import PER_REPLICA, Address, Context, Record, Signals, content_id, write_record
from trainables.storage import Store

SGD, SAM = {"optimizer": "sgd"}, {"optimizer": "sam", "rho": 0.1}
SGD_ID, SAM_ID = content_id(SGD), content_id(SAM)
IDS = {SGD_ID: SGD, SAM_ID: SAM}
CONTEXT = Context(dataset={"name": "d"}, fingerprint="f", model={"name": "mlp"})


def write(store: Store, recipe_id: str, seeds: range, accuracy: float) -> None:
    k = len(seeds)
    one = np.zeros((k, 1, 2), np.float32)
    signals = Signals(one > 0, one, one, one, one)
    figures = {name: np.zeros(k) for name in PER_REPLICA} | {"test_accuracy": np.full(k, accuracy)}
    labels = np.zeros(2, np.int32)
    members = np.zeros((k, 2), bool)
    record = Record(
        IDS[recipe_id], CONTEXT, np.array(seeds), members, labels, labels, signals, signals, **figures
    )
    write_record(store, Address(recipe_id, CONTEXT.context_id, seeds[0], seeds[-1]), record)


def fail(store: Store, recipe_id: str, seeds: range, *, given_up: bool) -> None:
    about = {
        "block": "sam rho=0.1 seeds 4-7",
        "attempts": 3 if given_up else 1,
        "given_up": given_up,
        "error": "RuntimeError: [no] luck",
        "traceback": "...",
        "log": "/logs/worker-1.out on node-7",
    }
    path = f"failures/{Address(recipe_id, CONTEXT.context_id, seeds[0], seeds[-1]).stem}.json"
    store.write(path, json.dumps(about).encode())


@pytest.fixture(params=["disk", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    _sums.cache_clear()  # of another test's records at the same place
    made = (
        Store.at(tmp_path / "sweep")
        if request.param == "disk"
        else Store.at(request.getfixturevalue("s3").uri("sweep"))
    )
    manifest = {
        "name": "mine",
        "context_id": CONTEXT.context_id,
        "recipes": IDS,
        "seeds": 16,
        "first_seed": 0,
    }
    made.write("manifest.json", json.dumps(manifest).encode())
    write(made, SGD_ID, range(8), 0.5)
    write(made, SGD_ID, range(8, 12), 0.8)
    write(made, SAM_ID, range(4), 0.9)
    return made


def test_counts_means_and_failures(store: Store) -> None:
    fail(store, SAM_ID, range(4, 8), given_up=True)
    fail(store, SAM_ID, range(8, 12), given_up=False)
    fail(store, SGD_ID, range(8), given_up=True)  # trained since
    now = status(store)
    assert (now.done, now.total, now.driver, now.time_left) == (16, 32, None, None)
    counts = {r.label: (r.done, r.running, r.failed, r.missing) for r in now.recipes}
    assert counts == {"sgd": (12, 0, 0, 4), "sam rho=0.1": (4, 0, 4, 8)}
    assert [r.test_accuracy for r in now.recipes] == pytest.approx([(8 * 0.5 + 4 * 0.8) / 12, 0.9])
    (failure,) = now.failures
    assert (failure.seeds, failure.attempts, failure.log) == (4, 3, "/logs/worker-1.out on node-7")
    assert store.exists(failure.file)


def test_status_and_plan_read_no_signals(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose arrays are nearly all of a record."""
    read: set[str] = set()
    real = ZipFile.read

    def seen(archive: ZipFile, name: str) -> bytes:
        read.add(name.removesuffix(".npy"))
        return real(archive, name)

    monkeypatch.setattr(ZipFile, "read", seen)
    assert status(store).done == 16
    assert take_stock(store, list(IDS), CONTEXT.context_id, range(16)).missing == 16
    assert "test_accuracy" in read
    assert not {name for name in read if name.startswith(("train_", "test_")) and name not in PER_REPLICA}


def test_a_driver_adds_what_runs_and_the_time_left(store: Store) -> None:
    figures = {"recipes": {SGD_ID: {"running": 4}}, "rate": 2.0, "time_left": 75.0}
    with lease.hold(store) as held:
        held.publish(figures)
        note_phase(store, "training")
        held._write()
        now = status(store)
        assert [(r.running, r.missing) for r in now.recipes] == [(4, 0), (0, 12)]
        assert (now.rate, now.time_left) == (2.0, 75.0)
        out = io.StringIO()
        show(Console(file=out, width=200), store)
        assert "2 replicas/s, 1 min 15 s left; driven by process" in out.getvalue()
    assert status(store).recipes[0].running == 0


def test_the_table_names_recipes_failures_and_how_to_go_on(store: Store) -> None:
    fail(store, SAM_ID, range(4, 8), given_up=True)
    out = io.StringIO()
    show(Console(file=out, width=300), store)
    text = out.getvalue()
    for part in ("sam rho=0.1", "RuntimeError: [no] luck", "/logs/worker-1.out on node-7", "16/32 replicas"):
        assert part in text
    assert f"--out {store}`" in text


@pytest.mark.parametrize(("width", "columns"), [(60, 5), (80, 5), (101, 5), (102, 6), (107, 6), (108, 7)])
def test_the_table_fits_the_terminal(tmp_path: Path, width: int, columns: int) -> None:
    """Figures are whole at any width, recipes wrap between knobs, and what is needed least goes first."""
    store = Store.at(tmp_path)
    long = {"optimizer": "sam", "rho": 0.1, "grad_reg": 0.1, "noise": 3, "label_smoothing": 0.25}
    recipes = {SGD_ID: SGD, content_id(long): long}
    about = {"name": "mine", "context_id": CONTEXT.context_id, "recipes": recipes, "seeds": 4000}
    store.write("manifest.json", json.dumps(about).encode())
    write(store, SGD_ID, range(1234), 0.8765)
    out = io.StringIO()
    show(Console(file=out, width=width), store)
    header, sgd, *sam = out.getvalue().splitlines()[1:]
    names = ["done", "running", "failed", "missing", "test %", "train %", "loss"][:columns]
    assert re.split(r"\s{2,}", header.strip()) == ["recipe", *names]
    assert sgd.split() == ["sgd", "1234", "0", "0", "2766", "87.65", "0.00", "0"][: columns + 1]
    words = [word for line in sam for word in line.split()]
    assert [word for word in words if "=" in word] == [
        "rho=0.1",
        "grad_reg=0.1",
        "noise=3",
        "label_smoothing=0.25",
    ]
    assert max(map(len, [header, sgd, *sam])) <= width


def first_line(store: Store) -> str:
    out = io.StringIO()
    show(Console(file=out, width=300), store)
    return out.getvalue().splitlines()[0]


def test_the_phase_is_that_of_the_driver_or_how_it_ended(store: Store) -> None:
    assert status(store).phase.name == "incomplete"
    with lease.hold(store):
        assert status(store).phase.name == "starting"
        note_phase(store, "auditing", "sgd", 1, 2)
        assert "16/32 replicas, auditing 1/2 (sgd); driven by" in first_line(store)
    assert "crashed 1/2 (while auditing); nobody drives it" in first_line(store)
    write_phase(store, Phase(name="training", address="head:6379"))
    note_stop(store)
    line = first_line(store)
    assert "stopped (Ctrl+C while training); nobody drives it" in line
    assert line.endswith(f"--out {store} --address head:6379`")
    note_phase(store, "complete")
    assert status(store).phase.name == "incomplete", "recipes or records changed since"


def test_complete_means_that_the_report_is_there(store: Store) -> None:
    write(store, SGD_ID, range(12, 16), 0.8)
    write(store, SAM_ID, range(4, 16), 0.9)
    assert status(store).phase.name == "trained"
    store.write("report.html", b"")
    assert first_line(store) == "mine 32/32 replicas, complete"
    note_phase(store, "stopped", "SIGTERM while auditing")
    assert "stopped (SIGTERM while auditing)" in first_line(store)


def test_a_run_that_only_starts_is_known(tmp_path: Path) -> None:
    store = Store.at(tmp_path / "new")
    with lease.hold(store), told(store, None):
        note_phase(store, "starting", "loading dataset digits")
        assert "starting (loading dataset digits); driven by" in first_line(store)
    with pytest.raises(UserError), lease.hold(store), told(store, None):
        raise UserError("a mistake")
    assert status(store).phase.name == "crashed", "a mistake leaves the phase of the run before"


def test_a_truncated_record_does_not_stop_a_look(store: Store) -> None:
    path = next(entry.path for entry in store.list("records") if SAM_ID in entry.path)
    store.write(path, store.read(path)[:100])
    assert status(store).recipes[1].test_accuracy is None


def test_anything_else_is_not_a_sweep(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a sweep directory"):
        status(Store.at(tmp_path))


def test_looking_imports_neither_torch_nor_ray() -> None:
    script = "import sys, sweep.watch.status; sys.exit('torch' in sys.modules or 'ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=60).returncode == 0
