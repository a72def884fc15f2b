"""Audits as jobs: how many run side by side, and what a smaller sweep would have found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import audit
from analysis.audit import artefacts, jobs
from analysis.audit.jobs import Job, growth, in_threads
from analysis.ensemble import ensemble_of
from tests.helpers.simulated_records import simulate
from trainables.storage import Store

OPTIONS: dict[str, Any] = {"attacks": ["lira", "confidence"], "resamples": 20}


class Sized:
    """A job of so many scores that takes a known amount of memory."""

    def __init__(self, scores: int) -> None:
        self.scores = scores

    def memory(self, threads: int = 1) -> int:
        return (2 + threads) * self.scores


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=9), st.integers(1, 64))
def test_as_many_run_side_by_side_as_cores_and_memory_allow(scores: list[int], cores: int) -> None:
    made: list[Any] = [Sized(size) for size in scores]
    workers, threads = jobs._shared_out(made, cores)
    most = jobs._MEMORY
    assert 1 <= workers <= min(len(scores), cores)
    assert workers * threads <= cores
    taken = workers * (2 + threads) * max(scores)
    assert taken <= most or (workers, threads) == (1, 1), "the largest is audited whatever it takes"
    further = [(workers + 1, 1), (workers, threads + 1)]
    for more, each in further:
        fits = more <= min(len(scores), cores) and more * each <= cores
        assert not fits or more * (2 + each) * max(scores) > most, "no room for one more"


def test_a_recipe_of_256_replicas_and_60_000_examples_has_room_for_two_attacks() -> None:
    class Large:
        scores = 256 * 60_000
        memory = Job.memory

    made: list[Any] = [Large()] * 12
    assert jobs._shared_out(made, 2) == (1, 2)


def test_every_job_comes_back_with_the_audit_of_its_ensemble_and_keeps_it(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    ensembles = {name: ensemble_of(simulate(range(8), world=world)) for world, name in enumerate("ab")}
    made = [Job(e, OPTIONS, store, name, f"address of {name}") for name, e in ensembles.items()]
    found = {job.key: result for job, result in in_threads(made)}
    assert set(found) == set(ensembles)
    for name, result in found.items():
        assert result.row == pytest.approx(audit(ensembles[name], **OPTIONS).row, nan_ok=True)
        assert store.exists(artefacts.path_of(name))
    assert list(in_threads([])) == []


def test_nothing_is_kept_without_an_address(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    Job(ensemble_of(simulate(range(8))), OPTIONS, store, "a", None).run()
    assert store.list() == []


def test_growth_is_what_audits_of_the_first_replicas_find() -> None:
    ensemble = ensemble_of(simulate(range(20), n=300, leak=2))
    found = audit(ensemble, **OPTIONS)
    table = growth(ensemble, found, OPTIONS)
    assert table["replicas"].tolist() == [8, 16]
    for row in table.itertuples():
        part = audit(ensemble.restrict(ensemble.seeds[: row.replicas]), **OPTIONS).row
        assert row.test_accuracy == pytest.approx(part["test_accuracy"])
        assert row.leak == pytest.approx(part[row.risk])


def test_without_a_resolved_risk_nothing_grows() -> None:
    ensemble = ensemble_of(simulate(range(20)))
    found = audit(ensemble, **OPTIONS)
    unresolved = replace(found, row={"test_accuracy": found.row["test_accuracy"]})
    assert growth(ensemble, unresolved, OPTIONS).empty
    assert growth(ensemble, found, {"attacks": ["confidence"]}).empty, "the risk's attack is not among them"
