"""The noise of what BaVarIA learns from all examples: halves against the attack itself, and by simulation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from analysis import audit
from analysis.attacks.registry import ATTACKS, bavaria
from analysis.ensemble import ensemble_of
from analysis.metrics import auc, roc
from analysis.statistics.intervals import interval, resample
from analysis.statistics.pooled import Pooled
from analysis.statistics.prior_noise import SPLITS, Rerun
from tests.helpers.simulated_records import simulate
from tests.helpers.synthetic import make_ensemble

CANARIES = np.arange(10)


def test_halves_are_those_of_the_attack_on_half_of_the_replicas() -> None:
    ensemble = ensemble_of(simulate(range(16)))
    rerun = Rerun("bavaria", ATTACKS["bavaria"], ensemble, [None, CANARIES], 0)
    margin, members = ensemble.signal("train", "margin"), ensemble.members
    for split, first in enumerate(rerun.first):
        assert first.sum() == 8
        assert (first[::2] == first[1::2]).all()
        for side, rows in enumerate((first, ~first)):
            scores = bavaria(margin[rows], members[rows])
            for which, columns in enumerate((slice(None), CANARIES)):
                figures, curve = rerun._halves[which][split][side]
                part, own = scores[:, columns], members[rows][:, columns]
                assert figures["auc"] == pytest.approx(auc(part, own))
                exact = roc(part, own)
                assert (curve.tpr - curve.fpr).max() == pytest.approx((exact.tpr - exact.fpr).max(), abs=0.02)


def test_draws_have_the_variance_that_held_scores_lack() -> None:
    ensemble = ensemble_of(simulate(range(32), leak=0))
    rerun = Rerun("bavaria", ATTACKS["bavaria"], ensemble, [None], 0)
    scores = bavaria(ensemble.signal("train", "margin"), ensemble.members)
    pooled = Pooled(scores, ensemble.members)
    noise, again = (rerun.noise(pooled.by_target, pooled.thinned.thresholds, 4000) for _ in range(2))
    differences = [(one["auc"] - other["auc"]) / 2 for (one, _), (other, _) in rerun._halves[0]]
    held = [
        (auc(scores[rows], ensemble.members[rows]) - auc(scores[~rows], ensemble.members[~rows])) / 2
        for rows in rerun.first
    ]
    lacking = np.mean(np.square(differences)) - np.mean(np.square(held))
    assert len(differences) == SPLITS
    expected = max(lacking, 0) * SPLITS / (SPLITS - 2)  # of Student's t
    assert noise.figures["auc"].var() == pytest.approx(expected, rel=0.15, abs=1e-6)
    np.testing.assert_array_equal(noise.figures["auc"], again.figures["auc"])


def test_intervals_hold_the_mean_where_nothing_leaks() -> None:
    """All examples have one spread, so that the prior is noise which all share."""
    replicas, n, worlds = 64, 60, 24
    clusters = np.arange(replicas) // 2
    weights = resample(clusters, 300, 0)
    estimates, ends = [], []
    for world in range(worlds):
        margin = np.random.default_rng(world).normal(size=(replicas, n))
        ensemble = make_ensemble({"optimizer": "sgd"}, replicas, n, 0, train_margin=margin)
        pooled = Pooled(bavaria(margin, ensemble.members), ensemble.members)
        noise = Rerun("bavaria", ATTACKS["bavaria"], ensemble, [None], 0).noise(
            pooled.by_target, pooled.thinned.thresholds, 300
        )
        draws = pooled.by_target.bootstrap(weights, pooled.figures)[0]["auc"] + noise.figures["auc"]
        estimates.append(pooled.figures["auc"])
        ends.append(interval(draws, replicas // 2))
    held = sum(low <= np.mean(estimates) <= high for low, high in ends)
    assert held >= binom.ppf(0.001, worlds, 0.95)


def test_an_audit_with_few_clusters_or_canaries_has_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    for replicas in (6, 8):
        ensemble = ensemble_of(simulate(range(replicas), canaries=3))
        row = audit(ensemble, attacks=["bavaria"], resamples=50).row
        assert row["bavaria_auc_low"] < row["bavaria_auc"] < row["bavaria_auc_high"]
    ensemble = ensemble_of(simulate(range(32), leak=0))
    wide = audit(ensemble, attacks=["bavaria"], resamples=200)
    monkeypatch.setitem(ATTACKS, "bavaria", replace(ATTACKS["bavaria"], prior=False))
    plain = audit(ensemble, attacks=["bavaria"], resamples=200)
    assert wide.row["bavaria_auc"] == plain.row["bavaria_auc"]
    assert wide.draws["bavaria_auc"].std() > 1.2 * plain.draws["bavaria_auc"].std()
