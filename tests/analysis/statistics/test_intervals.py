"""Intervals against theory: they cover the truth as often as they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm, ttest_1samp
from statsmodels.stats.multitest import multipletests

from analysis.metrics import LEVELS, roc
from analysis.statistics import exact as exactly
from analysis.statistics.curves import Curves
from analysis.statistics.intervals import holm, interval, p_value, paired, resample
from analysis.statistics.ordered import Ordered, keys_of
from analysis.statistics.pooled import Pooled
from trainables.data.subsets import Subsets, draw_members


def truth_of(shift: float) -> dict[str, float]:
    return {
        "auc": norm.cdf(shift / np.sqrt(2)),
        "balanced_accuracy": norm.cdf(shift / 2),
        "tpr_at_10pct": norm.cdf(shift + norm.ppf(0.1)),
        "tpr_at_1pct": norm.cdf(shift + norm.ppf(0.01)),
    }


@pytest.mark.parametrize("halves", [False, True])
@pytest.mark.parametrize("shift", [1.0, 0.0])
def test_intervals_of_simulated_gaussians_cover_the_known_figures(shift: float, halves: bool) -> None:
    rng = np.random.default_rng(0)
    targets, n, simulations = 64, 100, 500
    clusters = np.arange(targets) // 2 if halves else np.arange(targets)
    weights = resample(clusters, 400, 0)
    truth = truth_of(shift)
    below, above = dict.fromkeys(truth, 0), dict.fromkeys(truth, 0)
    subsets = Subsets() if halves else Subsets(scheme="fraction", fraction=0.5)
    members = draw_members(subsets, range(targets), n)
    for _ in range(simulations):
        scores = (rng.normal(size=(targets, n)) + shift * members).astype(np.float32)
        exact = roc(scores, members)
        curve = exactly.thinned(Ordered.of(keys_of(scores, members)))
        units = Curves.of(scores, members, curve.thresholds)
        draws, lower = units.bootstrap(weights, exact.figures())
        for name, value in truth.items():
            ends = interval(draws[name], clusters.max() + 1)
            low = interval(lower.get(name, draws[name]), clusters.max() + 1)[0]
            assert low <= exact.figures()[name] <= ends[1]
            below[name] += value < low
            above[name] += value > ends[1]
    for name in truth:
        missed = (below[name] / simulations, above[name] / simulations)
        if shift == 0 and name == "balanced_accuracy":  # no estimate falls below chance
            assert missed[0] <= 0.045, missed
            assert missed[1] == 0
        else:
            # TPR in steps of one example and the best threshold err on the safe side.
            assert 0.93 <= 1 - sum(missed) <= (0.97 if name == "auc" else 0.98), (name, missed)


def test_intervals_over_examples_cover_figures_of_examples_that_leak_unequally() -> None:
    leaks = np.random.default_rng(99).exponential(size=400_000)
    truth = {"auc": norm.cdf(leaks / np.sqrt(2)).mean()}
    truth |= {
        name: norm.cdf(leaks + norm.ppf(level)).mean() for name, level in LEVELS.items() if level >= 0.01
    }
    rng = np.random.default_rng(1)
    covered = dict.fromkeys(truth, 0)
    members = draw_members(Subsets(), range(32), 200)
    weights = resample(np.arange(64), 400, 0)
    for _ in range(300):
        scores = rng.normal(size=members.shape) + members * rng.exponential(size=200)
        pooled = Pooled(scores, members)
        draws, _ = pooled.by_group.bootstrap(weights, pooled.figures)
        for name, value in truth.items():
            low, high = interval(draws[name], 64)
            covered[name] += low <= value <= high
    for name in truth:
        assert 0.92 <= covered[name] / 300 <= 0.98, (name, covered[name] / 300)


def test_paired_intervals_and_p_values_of_few_clusters() -> None:
    """Differences of eight pairs: coverage, and p-values that are uniform without a difference."""
    rng = np.random.default_rng(1)
    clusters = np.repeat(np.arange(8), 2)
    weights = resample(clusters, 400, 0)
    covered, p_values = 0, []
    for _ in range(500):
        shared = rng.normal(size=8)[clusters]
        difference = rng.normal(scale=0.5, size=16) + 0.1 * shared
        draws = weights @ difference / weights.sum(axis=1)
        low, high = interval(draws, 8)
        covered += low <= 0 <= high
        p_values.append(p_value(difference.mean(), draws, 8))
    assert 0.92 <= covered / 500 <= 0.975
    assert 0.03 <= np.mean(np.array(p_values) < 0.05) <= 0.075


def test_p_value_equals_a_t_test_on_clusters() -> None:
    values = np.random.default_rng(2).normal(0.3, size=30)
    weights = resample(np.arange(30), 40_000, 0)
    p = p_value(values.mean(), weights @ values / weights.sum(axis=1), 30)
    assert p == pytest.approx(ttest_1samp(values, 0).pvalue, rel=0.1)


def test_complementary_halves_are_redrawn_together() -> None:
    weights = resample([0, 0, 1, 1, 2, 2], 50, 3)
    np.testing.assert_array_equal(weights[:, ::2], weights[:, 1::2])
    assert (weights.sum(axis=1) == 6).all()
    np.testing.assert_array_equal(weights, resample([0, 0, 1, 1, 2, 2], 50, 3))


def test_one_cluster_has_no_interval() -> None:
    assert np.isnan(interval(np.ones(10), 1)).all()
    assert np.isnan(p_value(0.1, np.ones(10), 1))
    assert p_value(0.0, np.zeros(10), 4) == 1


def test_holm_equals_statsmodels_and_skips_nan() -> None:
    p = np.random.default_rng(0).random(12) ** 3
    expected = multipletests(p, method="holm")[1]
    np.testing.assert_allclose(holm(p), expected)
    mixed = np.insert(p, 5, np.nan)
    np.testing.assert_allclose(np.delete(holm(mixed), 5), expected)
    assert np.isnan(holm(mixed)[5])
    assert holm([]).shape == (0,)


def test_thinned_curves_keep_the_exact_figures() -> None:
    rng = np.random.default_rng(0)
    members = rng.random((20, 3000)) < 0.5
    smooth = rng.normal(size=members.shape) + members
    for scores in (smooth, np.round(smooth, 1), members * 1.0, np.floor(rng.random(members.shape) * 3)):
        exact = roc(scores, members)
        curve = exactly.thinned(Ordered.of(keys_of(scores, members)))
        units = Curves.of(scores, members, curve.thresholds)
        found = units.rates(np.ones((1, 20), np.float32)).figures()
        assert found["auc"][0] == pytest.approx(exact.auc, abs=2e-5)
        assert found["balanced_accuracy"][0] == pytest.approx(exact.balanced_accuracy, abs=2e-4)
        for name, level in LEVELS.items():
            assert found[name][0] == pytest.approx(exact.tpr_at_fpr(level), rel=0.01, abs=1e-12)


def test_what_an_ensemble_lacks_does_not_change_the_draws_of_what_it_has() -> None:
    whole = resample(np.repeat(np.arange(6), 2), 200, 3)
    np.testing.assert_array_equal(paired([4, 4, 5, 5, 9, 9, 11, 11, 12, 12, 20, 20], None, 200, 3), whole)
    part = paired([4, 4, 9, 9, 20, 20], [4, 5, 9, 11, 12, 20], 200, 3)
    drawn = whole[:, [0, 1, 4, 5, 10, 11]]
    some = drawn.any(axis=1)
    assert not some.all()
    np.testing.assert_array_equal(part[some], drawn[some])
    assert (part[~some].sum(axis=1) == 6).all()
