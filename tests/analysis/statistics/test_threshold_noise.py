"""The noise of shared thresholds: halves against the attack itself, intervals and p-values by simulation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from analysis import audit
from analysis.attacks.registry import ATTACKS, threshold
from analysis.ensemble import ensemble_of
from analysis.metrics import operating_point, roc
from analysis.statistics.curves import CLOSE, CLOSE_OF_ALL, decided
from analysis.statistics.intervals import interval, resample
from analysis.statistics.pooled import Pooled
from analysis.statistics.threshold_noise import Relearnt
from tests.helpers.simulated_records import simulate
from tests.helpers.synthetic import covered_and_differing
from trainables.data.subsets import Subsets, draw_members

REPLICAS, RESAMPLES = 64, 200
CLUSTERS = np.arange(REPLICAS) // 2


@pytest.mark.parametrize(("leak", "ties"), [(0, True), (1, True), (1, False)])
def test_halves_are_those_of_the_attack_on_half_of_the_replicas(leak: int, ties: bool) -> None:
    rng = np.random.default_rng(leak)
    members, labels = draw_members(Subsets(), range(REPLICAS), 90), rng.integers(0, 3, 90)
    members[:, labels == 2] = True  # a class that has no threshold
    signal = rng.normal(size=members.shape) * (1 + labels) + leak * members
    signal = np.clip(np.round(signal), -3, 3) if ties else signal
    relearnt = Relearnt(signal, members, labels, CLUSTERS, 0)
    some = np.arange(0, 90, 2)
    for columns in (None, some):
        tables = relearnt._tables(columns)
        for split in range(5):
            for rows in (relearnt.first[split], ~relearnt.first[split]):
                assert rows.sum() == REPLICAS // 2
                assert (rows[::2] == rows[1::2]).all()
                scores = threshold(signal[rows], members[rows], labels, clusters=CLUSTERS[rows])
                part = slice(None) if columns is None else columns
                expected = roc(scores[:, part], members[rows][:, part]).figures()
                found = relearnt._roc(tables, split, rows).figures()
                for name in ("auc", "advantage", "tpr_at_10pct", "tpr_at_1pct"):
                    close = 1e-12 if ties else 0.01
                    assert found[name] == pytest.approx(expected[name], abs=close), (name, split)


def audited(signal: np.ndarray, members: np.ndarray, labels: np.ndarray) -> dict[str, tuple]:
    """By figure: the estimate, its draws with thresholds held, and its draws with their noise."""
    clusters = np.arange(len(members)) // 2
    pooled = Pooled(threshold(signal, members, labels, clusters=clusters), members)
    estimates = pooled.figures | operating_point(pooled.scores, members)._asdict()
    weights = resample(clusters, RESAMPLES, 0)
    fixed = pooled.by_target.bootstrap(weights, pooled.figures)[0] | decided(pooled.calls, weights)
    relearnt = Relearnt(signal, members, labels, clusters, 0)
    noise = relearnt.noise(pooled.by_target, pooled.calls, pooled.thinned.thresholds, RESAMPLES)
    return {
        figure: (estimates[figure], drawn, drawn + noise.figures[figure]) for figure, drawn in fixed.items()
    }


def test_intervals_cover_and_equal_recipes_do_not_differ() -> None:
    """Of two classes: TPR at 10 % FPR and TPR of what is called a member, which depend most on where their
    thresholds lie."""
    rng = np.random.default_rng(0)
    replicas, labels = 32, np.arange(100) % 2
    pairs: dict[str, list] = {"tpr_at_10pct": [], "tpr": []}
    for k in range(24):
        members = draw_members(Subsets(), range(k * replicas, (k + 1) * replicas), len(labels))
        found = [
            audited(rng.normal(size=members.shape) * (1 + labels) + members, members, labels) for _ in "ab"
        ]
        for figure, of_figure in pairs.items():
            of_figure.append([one[figure] for one in found])
    for figure, of_figure in pairs.items():
        covered, differing = covered_and_differing(of_figure, 2, replicas // 2)
        assert covered >= 0.88, (figure, covered)
        assert differing <= 0.12, (figure, differing)
        covered, differing = covered_and_differing(of_figure, 1, replicas // 2)  # what the noise is for
        assert covered <= 0.75, (figure, covered)
        assert differing >= 0.15, (figure, differing)


def test_an_audit_widens_the_intervals_of_threshold_attacks(monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble = ensemble_of(simulate(range(32), canaries=10))
    wide, again = (audit(ensemble, attacks=["confidence", "attack_p"]) for _ in range(2))
    monkeypatch.setitem(ATTACKS, "confidence", replace(ATTACKS["confidence"], rule=None))
    plain = audit(ensemble, attacks=["confidence", "attack_p"])
    np.testing.assert_array_equal(wide.draws["confidence_auc"], again.draws["confidence_auc"])
    np.testing.assert_array_equal(wide.draws["attack_p_auc"], plain.draws["attack_p_auc"])
    for figure, wider in (("auc", 1.1), ("tpr_at_10pct", 1.05), ("canary_auc", 1.02)):
        name = f"confidence_{figure}"
        assert wide.row[name] == plain.row[name]
        assert wide.draws[name].std() > wider * plain.draws[name].std(), name


@pytest.mark.parametrize("replicas", [6, 8, 10])
def test_few_clusters_have_intervals(replicas: int) -> None:
    found = audit(ensemble_of(simulate(range(replicas))), attacks=["correctness", "loss"])
    assert found.row["loss_auc_low"] < found.row["loss_auc"] < found.row["loss_auc_high"]
    assert np.isfinite(found.draws["correctness_advantage"]).all()


def test_one_threshold_for_all_classes_is_seldom_above_chance_where_nothing_leaks() -> None:
    """As the loss attack: by the allowance for thresholds of single classes it would be so too often."""
    rng, replicas, n, trials = np.random.default_rng(0), 128, 80, 30
    clusters, difficulty = np.arange(replicas) // 2, rng.normal(1, 1.5, size=n)
    weights = resample(clusters, RESAMPLES, 0)
    labels = np.zeros(n, int)
    above = {CLOSE: 0, CLOSE_OF_ALL: 0}
    for k in range(trials):
        members = draw_members(Subsets(), range(k * replicas, (k + 1) * replicas), n)
        common = rng.normal(scale=0.2, size=(replicas, 1))
        signal = -np.log1p(np.exp(-difficulty - common - rng.normal(size=members.shape)))
        pooled = Pooled(threshold(signal, members, labels, clusters=clusters), members)
        relearnt = Relearnt(signal, members, labels, clusters, 0)
        noise = relearnt.noise(pooled.by_target, pooled.calls, pooled.thinned.thresholds, RESAMPLES)
        assert noise.close == CLOSE_OF_ALL
        for close in above:
            lower = pooled.by_target.bootstrap(weights, pooled.figures, noise.gap, close)[1]["advantage"]
            above[close] += interval(lower, replicas // 2)[0] > 0
    assert above[CLOSE_OF_ALL] <= binom.ppf(0.999, trials, 0.05)
    assert above[CLOSE_OF_ALL] <= above[CLOSE]
    two = Relearnt(signal, members, np.arange(n) % 2, clusters, 0)
    assert two.noise(pooled.by_target, pooled.calls, pooled.thinned.thresholds, 10).close == CLOSE
