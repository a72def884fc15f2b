"""The noise of shared shadows: LiRA's intervals and p-values, by simulation."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from analysis import audit
from analysis.attacks.registry import ATTACKS, lira
from analysis.ensemble import ensemble_of
from analysis.statistics.intervals import resample
from analysis.statistics.pooled import Pooled
from analysis.statistics.shadow_noise import Half, halves_of, shared_noise
from tests.helpers.simulated_records import simulate
from tests.helpers.synthetic import covered_and_differing
from trainables.data.subsets import Subsets, draw_members

REPLICAS, N, RESAMPLES, PAIRS = 64, 150, 300, 120
CLUSTERS = np.arange(REPLICAS) // 2
lira_pooled = partial(lira, variance="pooled")


def draws_of(margin: np.ndarray, members: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """LiRA's AUC, its draws with the scores held fixed, and with the noise of the shadows."""
    pooled = Pooled(lira_pooled(margin, members), members)
    halves = []
    for rows in (CLUSTERS % 2 == 0, CLUSTERS % 2 == 1):
        scores = lira_pooled(margin[rows], members[rows])
        halves.append(Half(scores, members[rows], CLUSTERS[rows]))
    noise = shared_noise(halves, pooled.thinned.thresholds, RESAMPLES, 0)
    weights = resample(CLUSTERS, RESAMPLES, 0)
    fixed = pooled.by_target.bootstrap(weights, pooled.figures)[0]["auc"]
    return pooled.figures["auc"], fixed, fixed + noise.figures["auc"]


@pytest.mark.parametrize("leak", [0.0, 1.0])
def test_intervals_cover_and_equal_recipes_do_not_differ(leak: float) -> None:
    rng = np.random.default_rng(0)
    pairs = []
    for k in range(PAIRS):
        members = draw_members(Subsets(), range(k * REPLICAS, (k + 1) * REPLICAS), N)
        pairs.append([draws_of(rng.normal(size=members.shape) + leak * members, members) for _ in range(2)])
    covered, differing = covered_and_differing(pairs, 2, REPLICAS // 2)
    assert 0.92 <= covered <= 0.985, covered
    assert differing <= 0.1, differing
    if leak == 0:  # what the noise is for
        covered, differing = covered_and_differing(pairs, 1, REPLICAS // 2)
        assert covered <= 0.87
        assert differing >= 0.12


def test_independent_scores_have_little_shared_noise_and_the_same_draws_again() -> None:
    rng = np.random.default_rng(1)
    members = draw_members(Subsets(), range(REPLICAS), 400)
    scores = rng.normal(size=members.shape) + members
    pooled = Pooled(scores, members)
    halves = [
        Half(scores[rows], members[rows], CLUSTERS[rows]) for rows in (CLUSTERS % 2 == 0, CLUSTERS % 2 == 1)
    ]
    one, other = (shared_noise(halves, pooled.thinned.thresholds, 1000, 0).figures for _ in range(2))
    weights = resample(CLUSTERS, 1000, 0)
    fixed = pooled.by_target.bootstrap(weights, pooled.figures)[0]
    for figure in ("auc", "advantage", "tpr_at_10pct"):
        assert abs(one[figure].mean()) < 1e-9
        assert one[figure].std() < 0.5 * fixed[figure].std(), figure
        np.testing.assert_array_equal(one[figure], other[figure])


def test_few_clusters_missing_scores_and_canaries_are_audited() -> None:
    ensemble = ensemble_of(simulate(range(6)))
    assert halves_of("lira", ATTACKS["lira"], ensemble) == []
    for replicas, subsets in ((8, Subsets()), (4, Subsets(scheme="fraction", fraction=0.5))):
        found = audit(ensemble_of(simulate(range(replicas), canaries=3, subsets=subsets)), attacks=["lira"])
        assert np.isfinite(found.draws["lira_auc"]).all()
        assert found.row["lira_auc_low"] < found.row["lira_auc"] < found.row["lira_auc_high"]


def test_an_audit_widens_the_intervals_of_attacks_that_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble = ensemble_of(simulate(range(32), leak=0))
    wide = audit(ensemble, attacks=["lira", "rmia"])
    monkeypatch.setitem(ATTACKS, "lira", replace(ATTACKS["lira"], shadows=False))
    plain = audit(ensemble, attacks=["lira", "rmia"])
    assert wide.row["lira_auc"] == plain.row["lira_auc"]
    assert wide.draws["lira_auc"].std() > 1.2 * plain.draws["lira_auc"].std()
    assert wide.row["lira_advantage_low"] < plain.row["lira_advantage_low"]
    np.testing.assert_array_equal(wide.draws["rmia_auc"], plain.draws["rmia_auc"])
