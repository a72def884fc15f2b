"""A live page: what it counts, audits and says of the process that drives its sweep, and who may ask."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.audit.sweep_audit import Results
from analysis.report.serve import Driven, Live, LiveServer, count
from tests.helpers.simulated_results import simulate
from trainables.directory import DRIVER, require_manifest
from trainables.errors import UserError
from trainables.phase import note_phase
from trainables.storage import Store

FIGURES = {
    "nodes": [
        {"name": "10.0.0.1", "gpu": "H100", "gpus": 8.0, "trials": 16},
        {"name": "10.0.0.2", "gpu": "H100", "gpus": 4.0, "trials": 8},
        {"name": "10.0.0.3", "gpu": "GPU", "gpus": 0.0, "trials": 0},
    ],
    "trials_per_gpu": 2.0,
    "rate_now": 0.5,
    "rate": 0.25,
    "retries": {"node lost": 3, "process died": 0},
    "failures": {"Diverged": 1},
}


def test_the_driver_is_quoted_until_it_is_gone(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    driven = Driven(store)
    assert driven.words() == ""
    note_phase(store, "training")
    store.write(DRIVER, json.dumps({"figures": FIGURES}).encode())
    assert driven.words() == (
        "training, 3 nodes with 12 H100, 2 trials a GPU, 1,800 replicas an hour now, 900 on average, "
        "3 retries (node lost 3), 1 failure (Diverged 1)"
    )
    assert Driven(store, patience=-1).words() == "", "a lease that no longer changes is of a driver that died"
    store.delete(DRIVER)
    assert driven.words() == ""


def add_records(directory: Path, first: int, last: int) -> None:
    for recipe_id in json.loads((directory / "manifest.json").read_text())["recipes"]:
        file = directory / "records" / recipe_id / f"{'0' * 10}-{first}-{last}.npz"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")


def test_progress_counts_each_wanted_seed_once(tmp_path: Path) -> None:
    directory = simulate(tmp_path, 3)
    add_records(directory, 0, 15)
    add_records(directory, 8, 23)
    (directory / "records" / ("a" * 10)).mkdir()
    (directory / "records" / ("a" * 10) / f"{'0' * 10}-0-63.npz").write_bytes(b"")
    assert count(Store.at(directory)) == (3 * 24, 3 * 64)


def test_progress_counts_from_the_first_seed_of_the_sweep(tmp_path: Path) -> None:
    directory = simulate(tmp_path, 2)
    manifest = json.loads((directory / "manifest.json").read_text())
    (directory / "manifest.json").write_text(json.dumps(manifest | {"first_seed": 64, "seeds": 32}))
    add_records(directory, 0, 15)
    add_records(directory, 60, 79)
    assert count(Store.at(directory)) == (2 * 16, 2 * 32)


def _audited(store: Store) -> Results:
    """Results of an audit that found all but one recipe's artefacts."""
    audits: dict[str, Any] = {"a": None, "b": None}
    return Results({}, require_manifest(store), {}, audits=audits, audited=["sgd"])


def test_live_audits_only_when_records_landed(tmp_path: Path) -> None:
    directory = simulate(tmp_path, 3)
    told: list[str] = []
    live = Live(Store.at(directory), told.append, _audited)
    live.refresh()
    first = live.version
    assert first
    assert told == []
    table = pd.read_parquet(directory / "results/recipes.parquet").assign(replicas=16)
    table.to_parquet(directory / "results/recipes.parquet")
    live = Live(Store.at(directory), told.append, _audited)
    add_records(directory, 0, 31)
    live.refresh()
    live.refresh()
    assert told == ["audited 1 recipe (sgd), 1 was there"]
    assert live.version != first


def test_live_tells_a_failing_audit_and_lives_on(tmp_path: Path) -> None:
    directory = simulate(tmp_path, 2)
    (directory / "results/recipes.parquet").unlink()
    add_records(directory, 0, 3)

    def fail(_: Store) -> Results:
        raise RuntimeError("too few replicas")

    live = Live(Store.at(directory), audit=fail)
    live.refresh()
    assert "too few replicas" in live.note
    assert live.version == ""


def test_a_port_that_is_taken_is_named(sweep: Path) -> None:
    with LiveServer(sweep, 0) as server:
        port = int(server.url.rsplit(":", 1)[1].strip("/"))
        with pytest.raises(UserError, match=f"port {port}"):
            LiveServer(sweep, port)


def test_only_this_machine_may_ask(sweep: Path) -> None:
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    with LiveServer(sweep, 0) as server:
        assert json.load(urlopen(server.url + "version"))["total"] == 12 * 64
        with pytest.raises(HTTPError, match="403"):
            urlopen(Request(server.url + "payload", headers={"Host": "evil.example"}))
        with pytest.raises(HTTPError, match="404"):
            urlopen(server.url + "etc/passwd")


def test_a_directory_without_a_manifest_is_no_sweep(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a sweep"):
        LiveServer(tmp_path, 0)
