"""ROC figures against scikit-learn, the interval against statsmodels, ties and edge cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, precision_score, roc_auc_score, roc_curve
from statsmodels.stats.proportion import proportion_confint

from analysis.metrics import (
    advantage,
    auc,
    balanced_accuracy,
    clopper_pearson,
    operating_point,
    roc,
    tpr_at_fpr,
)


@st.composite
def scored(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Scores with many ties, and a truth that has both kinds."""
    n = draw(st.integers(2, 60))
    scores = draw(st.lists(st.integers(-4, 4), min_size=n, max_size=n))
    members = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    members[:2] = [True, False]
    return np.array(scores, float), np.array(members)


@given(scored())
@settings(deadline=None)
def test_roc_and_auc_equal_scikit_learn_with_ties(case: tuple[np.ndarray, np.ndarray]) -> None:
    scores, members = case
    fpr, tpr, thresholds = roc(scores, members)
    expected = roc_curve(members, scores, drop_intermediate=False)
    np.testing.assert_allclose(fpr, expected[0])
    np.testing.assert_allclose(tpr, expected[1])
    np.testing.assert_allclose(thresholds, expected[2])
    assert auc(scores, members) == pytest.approx(roc_auc_score(members, scores))


@given(scored(), st.sampled_from([0.0, 0.05, 0.1, 0.5, 1.0]))
@settings(deadline=None)
def test_best_threshold_and_fixed_fpr_by_trying_all(
    case: tuple[np.ndarray, np.ndarray], level: float
) -> None:
    scores, members = case
    best, highest = 0.5, 0.0
    for cut in np.unique(scores):
        called = scores >= cut
        best = max(best, balanced_accuracy_score(members, called))
        if called[~members].mean() <= level:
            highest = max(highest, called[members].mean())
    assert balanced_accuracy(scores, members) == pytest.approx(best)
    assert advantage(scores, members) == pytest.approx(2 * best - 1)
    assert tpr_at_fpr(scores, members, level) == pytest.approx(highest)


@given(scored(), st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_order_and_monotone_transforms_do_not_matter(
    case: tuple[np.ndarray, np.ndarray], random: st.DataObject
) -> None:
    scores, members = case
    shuffled = list(range(len(scores)))
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    curve, other = roc(scores, members), roc(np.exp(scores)[shuffled], members[shuffled])
    np.testing.assert_array_equal(curve.fpr, other.fpr)
    np.testing.assert_array_equal(curve.tpr, other.tpr)


def test_tied_scores_are_one_point_and_are_not_split() -> None:
    scores, members = [1, 1, 1, 1, 0, 0], [True, True, True, False, False, True]
    assert roc(scores, members).fpr.tolist() == [0, 0.5, 1]
    assert tpr_at_fpr(scores, members, 0.49) == 0
    assert tpr_at_fpr(scores, members, 0.5) == 0.75


def test_fpr_equal_to_the_level_counts() -> None:
    scores = np.arange(1000.0)
    members = np.arange(1000) % 2 == 0
    assert tpr_at_fpr(scores, members, 0.01) == pytest.approx(5 / 500)
    assert roc(scores, members).fpr[np.searchsorted(roc(scores, members).fpr, 0.01)] == 0.01


def test_nan_scores_are_left_out_and_infinite_ones_are_not() -> None:
    scores = np.array([[np.nan, np.inf], [-np.inf, 0.0]])
    members = np.array([[True, True], [False, False]])
    assert auc(scores, members) == 1
    assert np.isnan(auc([1.0, 2.0], [True, True]))
    assert np.isnan(tpr_at_fpr([np.nan, 1.0], [True, False], 0.5))
    assert auc(np.zeros(10), np.arange(10) < 5) == 0.5
    with pytest.raises(ValueError, match="one shape"):
        roc(np.zeros(3), np.zeros(4))


def test_operating_point_is_what_scores_above_zero_achieve() -> None:
    rng = np.random.default_rng(0)
    scores, members = rng.normal(size=200), rng.random(200) < 0.4
    point = operating_point(scores, members)
    assert point.accuracy == pytest.approx(balanced_accuracy_score(members, scores > 0))
    assert point.precision == pytest.approx(precision_score(members, scores > 0))
    assert point.fpr == pytest.approx((scores > 0)[~members].mean())
    assert np.isnan(operating_point(-np.ones(4), [True, False, True, False]).precision)


@given(st.integers(0, 50), st.integers(0, 50), st.sampled_from([0.9, 0.95, 0.99]))
@settings(deadline=None)
def test_clopper_pearson_equals_statsmodels(successes: int, failures: int, confidence: float) -> None:
    trials = successes + failures
    low, high = clopper_pearson(successes, trials, confidence=confidence)
    if trials == 0:
        assert (low, high) == (0, 1)
        return
    expected = proportion_confint(successes, trials, alpha=1 - confidence, method="beta")
    np.testing.assert_allclose((low, high), np.nan_to_num(expected), atol=1e-12)
