"""What a run answers with, what it refuses before it trains, and when results stay as they are."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from sweep import SweepSpec, run
from sweep.runner import launch, stopping
from sweep.runner.launch import Outcome, analyse_sweep, load, say_audited
from sweep.runner.outcome import Trained
from tests.helpers.small_sweeps import SAM, SGD, files, put, sweep
from trainables.block import Block
from trainables.directory import require_manifest, write_manifest
from trainables.errors import RunError, UserError
from trainables.records import Address
from trainables.storage import Store

BLOCK = Block({}, Address("a" * 10, "b" * 10, 0, 3), "sgd")


@pytest.mark.parametrize(
    ("trained", "code"),
    [
        (Trained(8, 4, 4), 0),
        (Trained(8, 0, 4, failed=(BLOCK,)), 1),
        (Trained(8, 0, 0, fatal="the disk is full"), 1),
        (Trained(8, 0, 4, interrupted=True), 130),
    ],
)
def test_the_exit_code_says_how_it_ended(trained: Trained, code: int) -> None:
    outcome = Outcome("runs/x", trained, 1.234)
    assert outcome.exit_code == code
    told = json.loads(json.dumps(outcome.to_json()))
    assert (told["exit_code"], told["seconds"]) == (code, 1.23)
    assert told["failed"] == [block.name for block in trained.failed]
    assert trained.replicas_there == told["present"] + told["trained"]


def test_sigterm_has_an_exit_code_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "exit_code", lambda: 143)
    assert Outcome("runs/x", Trained(8, 0, 4, interrupted=True), 1.0).exit_code == 143


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["audit.attacks=[lira]", "subsets.seeds=2"], "audit.attacks: lira with subsets.seeds 2"),
        (["audit.attacks=[lyra]"], "'lyra' is not known; did you mean 'lira'"),
        (["resources.cpu=4096"], "resources.cpu: 4096 asked for a trial, this machine has"),
    ],
)
def test_a_mistake_is_refused_before_anything_is_written(
    tmp_path: Path, assignments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(UserError, match=message):
        run(SweepSpec.load("smoke", assignments), tmp_path / "new", console=Console(file=io.StringIO()))
    assert not (tmp_path / "new").exists()


def absent() -> dict[str, Any]:
    raise LookupError("no data today")


def test_data_that_cannot_be_loaded_are_blamed_by_name(tmp_path: Path) -> None:
    spec, console = SweepSpec.load("smoke", [f"dataset={__name__}:absent"]), Console(file=io.StringIO())
    with pytest.raises(RunError, match=f"loading dataset {__name__}:absent: LookupError: no data today"):
        load(spec, Store.at(tmp_path), console)
    assert (tmp_path / "failures" / "run.json").exists()
    assert len(load(SweepSpec.load("smoke"), None, console).y_train)


def test_results_follow_from_records_manifest_and_release(tmp_path: Path) -> None:
    store = sweep(tmp_path, [SGD, SAM], range(4))
    states = [launch._state(store)]
    store.write("results/recipes.parquet", b"")
    store.write("phase.json", b"{}")
    assert launch._state(store) == states[0], "what is written beside the records is no cause"
    put(store, SAM, range(4, 8))
    states.append(launch._state(store))
    manifest = require_manifest(store)
    for change in ({"versions": {"flatleak": "99"}}, {"show_examples": False}, {"seeds": 8}):
        write_manifest(store, manifest.model_copy(update=change))
        states.append(launch._state(store))
    assert len(set(states)) == len(states)


def test_with_nothing_changed_nothing_is_audited_again(smoke_sweep: Path, tmp_path: Path) -> None:
    store = Store.at(shutil.copytree(smoke_sweep, tmp_path / "copy"))
    before = files(store)

    def never(*_: object) -> Any:
        raise AssertionError("audited")

    screen = io.StringIO()
    analyse_sweep(store, SimpleNamespace(), Console(file=screen, width=200), never)  # type: ignore[arg-type]
    assert files(store) == before
    assert "sam rho=0.1" in screen.getvalue(), "the front is shown"


def test_what_an_audit_left_out_is_said_once_a_recipe() -> None:
    notes = {"sgd [plain]": ["mine left out, it raised KeyError", "correctness: cannot resolve"], "sam": []}
    results: Any = SimpleNamespace(
        damaged=["audit x is damaged"], notes={"notes": notes}, done="audited 2 recipes"
    )
    screen = io.StringIO()
    say_audited(Console(file=screen, width=200), results)
    assert screen.getvalue().splitlines() == [
        "audit x is damaged",
        "sgd [plain]: mine left out, it raised KeyError",
        "audited 2 recipes",
    ]
