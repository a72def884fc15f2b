"""A recipe's audit as a job: what it reads, what it leaves, and how jobs are run side by side."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from analysis.attacks import registry
from analysis.audit import artefacts
from analysis.audit.buckets import influence_table
from analysis.audit.ensemble_audit import audit, side_by_side
from analysis.audit.outcome import Audit
from analysis.audit.proxies import proxy_table
from analysis.ensemble import Ensemble
from analysis.results import front_risk
from analysis.statistics import exact
from analysis.statistics.ordered import Ordered, keys_of
from trainables.storage import Store

SMALLEST_GROWTH = 8  # replicas
_MEMORY = 2 << 30  # bytes that the audits of a sweep may take in one process
# Measured: what an audit holds for each replica and example, and what each attack side by side adds.
_BYTES_A_SCORE = 45
_BYTES_AN_ATTACK = 40


@dataclass(frozen=True)
class Job:
    """The audit of one recipe, for any process that reaches the records.

    Args:
        ensemble: the replicas; a copy that is sent elsewhere reads its signals from the records.
        options: those of `analysis.audit`.
        store: the sweep directory, where the finished audit is kept.
        key: its name there: the recipe_id, or that of a pair.
        address: what it follows from; see `analysis.audit.artefacts`. None keeps nothing.
        among: the ``cluster_ids`` of all recipes, with which bootstrap draws are paired.
    """

    ensemble: Ensemble
    options: Mapping[str, Any]
    store: Store
    key: str
    address: str | None
    among: NDArray[Any] | None = None

    @property
    def label(self) -> str:
        """The recipe's."""
        return self.ensemble.label

    @property
    def scores(self) -> int:
        """Replicas times examples: what time and memory follow."""
        return self.ensemble.replicas * len(self.ensemble.labels_train)

    @property
    def attacks(self) -> int:
        """How many attacks could run side by side."""
        return len(registry.select(self.options.get("attacks")))

    def memory(self, threads: int = 1) -> int:
        """Return the bytes that the audit takes with so many attacks side by side."""
        return (_BYTES_A_SCORE + _BYTES_AN_ATTACK * threads) * self.scores

    def run(self, threads: int = 1) -> Audit:
        """Audit, and keep what was found beside the results.

        Args:
            threads: attacks side by side; no figure depends on it.
        """
        ensemble = self.ensemble.kept()
        with side_by_side(threads) as pool:
            influence = pool.submit(self._influence, ensemble)
            correlations = pool.submit(self._correlations, ensemble)
            found = audit(ensemble, **self.options, pool=pool, among=self.among)
            found = replace(
                found,
                correlations=correlations.result(),
                influence=influence.result(),
                growth=growth(ensemble, found, self.options),
            )
        if self.address:
            artefacts.save(self.store, self.key, self.address, found)
        return found

    def _influence(self, ensemble: Ensemble) -> pd.DataFrame:
        return influence_table(ensemble) if len(ensemble.labels_test) else pd.DataFrame()

    def _correlations(self, ensemble: Ensemble) -> pd.DataFrame:
        bootstrap = {k: v for k, v in self.options.items() if k in ("confidence", "resamples", "seed")}
        return proxy_table(ensemble, **bootstrap) if self.attacks else pd.DataFrame()


Execute = Callable[[Sequence[Job]], Iterable[tuple[Job, Audit]]]
"""Runs jobs and gives each with its audit as soon as it is there, in any order."""


def in_threads(jobs: Sequence[Job]) -> Iterator[tuple[Job, Audit]]:
    """Run jobs in threads of this process, as many as its cores and ``_MEMORY`` allow."""
    if not jobs:
        return
    workers, threads = _shared_out(jobs, os.cpu_count() or 1)
    with side_by_side(workers) as pool:
        running = {pool.submit(job.run, threads): job for job in jobs}
        for done in as_completed(running):
            yield running[done], done.result()


def _shared_out(jobs: Sequence[Job], cores: int) -> tuple[int, int]:
    """Return how many audits run side by side, and how many attacks in each."""
    largest = max(jobs, key=lambda job: job.scores)
    workers = max(1, min(len(jobs), cores, _MEMORY // largest.memory()))
    threads = max(1, cores // workers)
    while threads > 1 and workers * largest.memory(threads) > _MEMORY:
        threads -= 1
    return workers, threads


def growth(ensemble: Ensemble, found: Audit, options: Mapping[str, Any]) -> pd.DataFrame:
    """Return what a smaller sweep would have found of the default risk: after 8, 16, 32 ... replicas.

    Returns:
        ``replicas, test_accuracy, risk, leak``; no row where no risk is resolved.
    """
    risk = front_risk(pd.DataFrame([found.row]))
    attack = registry.select(options.get("attacks")).get(risk.attack) if risk else None
    rows, size = [], SMALLEST_GROWTH
    while risk and attack and size < ensemble.replicas:
        part = ensemble.restrict(ensemble.seeds[:size]).drawn()
        scores = registry.run(risk.attack, attack, part)
        leak = exact.figures(Ordered.sorting(keys_of(scores, part.members)))[risk.metric]
        rows.append((size, part.per_replica("test_accuracy").mean(), risk.column, leak))
        size *= 2
    return pd.DataFrame(rows, columns=["replicas", "test_accuracy", "risk", "leak"])
