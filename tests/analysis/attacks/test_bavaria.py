"""BaVarIA against plain loops over scipy.stats, and at the ends where it is another attack."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, spearmanr, t

from analysis.attacks.bavaria import FLOOR, Prior, bavaria, bavaria_risk, fit_prior
from analysis.attacks.lira import lira
from analysis.metrics import auc, tpr_at_fpr
from trainables.data.subsets import Subsets, draw_members


def given_prior(
    replicas: int, variance: float = 1, freedom: float = 0, gap: float = 0, trust: float = 1
) -> Prior:
    sides, each = np.ones((2, replicas)), np.ones(replicas)
    return Prior(variance * sides, freedom * sides, gap * each, trust * each)


def plain_loop(
    margin: np.ndarray,
    members: np.ndarray,
    online: bool,
    predictive: str,
    prior: Prior,
    last: bool = False,
) -> np.ndarray:
    """One target and one example after the other, from the posterior of normal-inverse-gamma priors.

    ``last``: only the last target, with its own number of shadows as the usual one.
    """
    replicas, n = margin.shape
    scores = np.full((replicas, n), np.nan)
    for target in range(replicas - 1 if last else 0, replicas):
        others = np.arange(replicas) != target
        for i in range(n):
            shadows = [margin[others & (members[:, i] == side), i] for side in (0, 1)]
            if not len(shadows[0]) or (online and not len(shadows[1])):
                continue
            a0, b0 = [
                prior.freedom[:, target] / 2,
                prior.freedom[:, target] / 2 * prior.variance[:, target],
            ]
            centres = [v.mean() if len(v) else np.nan for v in shadows]
            squares = [((v - v.mean()) ** 2).sum() if len(v) else 0 for v in shadows]
            if online:
                noise = [
                    max((2 * b0[s] + squares[s]) / (2 * a0[s] + len(v) - 1), FLOOR**2) / len(v)
                    for s, v in enumerate(shadows)
                ]
                own = centres[1] - centres[0]
                gap = prior.trust[target] * own + (1 - prior.trust[target]) * prior.gap[target]
                middle = (centres[0] * noise[1] + centres[1] * noise[0]) / sum(noise)
                centres = [
                    middle - gap * noise[0] / sum(noise),
                    middle + gap * noise[1] / sum(noise),
                ]
            logs = []
            for s in (0, 1) if online else (0,):
                count = len(shadows[s])
                if predictive == "gaussian":
                    width = np.sqrt(max((2 * b0[s] + squares[s]) / (2 * a0[s] + count), FLOOR**2))
                    density = norm(centres[s], width)
                else:
                    usual = count if last else (members[:, i] == s).sum() * (replicas - 1) / replicas
                    degrees = max(usual - 1, 0)
                    sampled = squares[s] / (count - 1) if count > 1 else b0[s] / a0[s]
                    a, b = a0[s] + degrees / 2, b0[s] + degrees * sampled / 2
                    density = t(2 * a, centres[s], np.sqrt(b / a * (1 + 1 / usual)))
                logs.append(
                    density.logpdf(margin[target, i]) if online else density.logcdf(margin[target, i])
                )
            scores[target, i] = logs[1] - logs[0] if online else logs[0]
    return scores


@pytest.mark.parametrize("online", [True, False])
@pytest.mark.parametrize("predictive", ["student", "gaussian"])
@given(seed=st.integers(0, 10**6), replicas=st.integers(3, 9), share=st.sampled_from([0.2, 0.5, 0.8]))
@settings(max_examples=8, deadline=None)
def test_equals_the_plain_loop(online: bool, predictive: str, seed: int, replicas: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    members = rng.random((replicas, 5)) < share
    margin = rng.normal(scale=3, size=members.shape) + 2 * members + 1000
    prior = Prior(
        rng.gamma(2, size=(2, replicas)),
        rng.gamma(2, size=(2, replicas)) + 0.5,
        rng.normal(size=replicas),
        rng.random(replicas),
    )
    expected = plain_loop(margin, members, online, predictive, prior)
    found = bavaria(margin, members, online=online, predictive=predictive, prior=prior)  # type: ignore[arg-type]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("predictive", ["student", "gaussian"])
@given(seed=st.integers(0, 10**6), replicas=st.integers(5, 6))
@settings(max_examples=3, deadline=None)
def test_the_risk_of_an_example_leaves_out_both_of_a_pair(predictive: str, seed: int, replicas: int) -> None:
    rng = np.random.default_rng(seed)
    members = rng.random((replicas, 4)) < 0.5
    margin = rng.normal(scale=3, size=members.shape) + 2 * members
    targets = np.stack([np.ones(replicas, bool), rng.random(replicas) < 0.7])
    prior = Prior(*(np.median(part, axis=-1, keepdims=True) for part in fit_prior(margin, members)))
    known = Prior(*(np.repeat(part, replicas, axis=-1) for part in prior))
    wins: dict[tuple[int, int], list[float]] = {}
    for a, b in np.argwhere(~np.eye(replicas, dtype=bool)):
        rest = np.setdiff1d(np.arange(replicas), (a, b))
        one, other = (
            plain_loop(margin[[*rest, t]], members[[*rest, t]], True, predictive, known, last=True)[-1]
            for t in (a, b)
        )
        for i in np.flatnonzero(members[a] & ~members[b] & ~np.isnan(one - other)):
            for s in np.flatnonzero(targets[:, [a, b]].all(axis=1)):
                wins.setdefault((s, i), []).append((1 + np.sign(one[i] - other[i])) / 2)
    found = bavaria_risk(margin, members, targets, predictive=predictive)  # type: ignore[arg-type]
    for s, i in np.ndindex(found.shape):
        if (s, i) in wins:
            assert found[s, i] == pytest.approx(np.mean(wins[s, i]))
        else:
            assert np.isnan(found[s, i])


@pytest.mark.parametrize("replicas", [16, 64])
def test_the_risk_of_an_example_is_a_coin_where_nothing_leaks(replicas: int) -> None:
    members = draw_members(Subsets(), range(replicas), 600)
    margin = np.random.default_rng(replicas).normal(size=members.shape)
    everyone = np.ones((1, replicas), bool)
    risk = bavaria_risk(margin, members, everyone)[0]
    assert risk.mean() == pytest.approx(0.5, abs=4 * risk.std() / np.sqrt(600))
    leaking = bavaria_risk(margin + members, members, everyone)[0]
    assert leaking.mean() == pytest.approx(norm.cdf(1 / np.sqrt(2)), abs=0.03)


@pytest.mark.parametrize("online", [True, False])
def test_the_gaussian_one_ends_in_lira(online: bool) -> None:
    rng = np.random.default_rng(0)
    members = draw_members(Subsets(), range(12), 40)
    margin = rng.normal(size=members.shape) * rng.gamma(2, size=40) + members
    weak = bavaria(margin, members, online=online, predictive="gaussian", prior=given_prior(12))
    np.testing.assert_allclose(weak, lira(margin, members, online=online), rtol=1e-6, atol=1e-9)

    pooled = np.empty((2, 12))  # of the residuals without the target
    for target in range(12):
        others = np.arange(12) != target
        for side in (0, 1):
            chosen = [margin[others & (members[:, i] == side), i] for i in range(40)]
            pooled[side, target] = np.mean(np.concatenate([v - v.mean() for v in chosen]) ** 2)
    strong = given_prior(12, freedom=np.inf)._replace(variance=pooled)
    expected = lira(margin, members, online=online, variance="pooled")
    for predictive in ("student", "gaussian") if online else ("gaussian",):
        prior = strong
        if predictive == "student":  # Student's t widens for the centre, and counts a side's usual shadows
            prior = strong._replace(variance=pooled / (1 + 1 / 5.5))
        found = bavaria(margin, members, online=online, predictive=predictive, prior=prior)  # type: ignore[arg-type]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_without_gaps_and_variances_of_their_own_examples_have_one_centre() -> None:
    """The other end: the score rises with the margin about the example's mean, as RMIA's does."""
    rng = np.random.default_rng(1)
    members = draw_members(Subsets(), range(16), 60)
    margin = rng.normal(size=members.shape) + members + 5 * rng.normal(size=60)
    found = bavaria(margin, members, prior=given_prior(16, freedom=np.inf, gap=1, trust=0))
    for target in range(16):
        others = np.arange(16) != target
        sides = [[margin[others & (members[:, i] == side), i].mean() for i in range(60)] for side in (0, 1)]
        counts = [(members[others] == side).sum(axis=0) for side in (0, 1)]
        centre = (counts[0] * sides[0] + counts[1] * sides[1]) / 15
        middle = centre + (counts[0] - counts[1]) / 30  # between the two centres of mean gap 1
        assert spearmanr(found[target], margin[target] - middle).statistic == pytest.approx(1)


def test_the_prior_is_found_again() -> None:
    rng = np.random.default_rng(2)
    n, replicas, freedom, variance, spread = 20_000, 16, 8.0, 2.5, 0.7
    members = draw_members(Subsets(), range(replicas), n)
    own = rng.normal(1.0, spread, size=n)
    deviation = np.sqrt(variance * freedom / rng.chisquare(freedom, size=(2, n)))
    centres = rng.normal(scale=4, size=n) + members * own
    margin = centres + rng.normal(size=members.shape) * np.where(members, deviation[1], deviation[0])
    found = fit_prior(margin, members)
    np.testing.assert_allclose(found.freedom, freedom, rtol=0.1)
    np.testing.assert_allclose(found.variance, variance, rtol=0.05)
    np.testing.assert_allclose(found.gap, 1.0, atol=0.05)
    noise = 2 * variance * freedom / (freedom - 2) / 7.5  # of two centres, of 7 or 8 shadows
    np.testing.assert_allclose(found.trust, spread**2 / (spread**2 + noise), atol=0.05)


def test_the_target_takes_no_part() -> None:
    rng = np.random.default_rng(3)
    members = draw_members(Subsets(), range(10), 50)
    margin = rng.normal(size=members.shape) + members
    moved = margin.copy()
    moved[4] = rng.normal(size=50) * 9
    for before, after in zip(fit_prior(margin, members), fit_prior(moved, members), strict=True):
        np.testing.assert_allclose(after[..., 4], before[..., 4], rtol=1e-9)


def test_few_shadows_zero_spreads_and_infinities() -> None:
    rng = np.random.default_rng(4)
    members = np.array([[1, 0, 1], [1, 0, 0], [1, 0, 0], [1, 0, 1]], bool)
    margin = rng.normal(size=members.shape)
    assert np.isnan(bavaria(margin, members)[:, :2]).all()
    assert np.isfinite(bavaria(margin, members)[:, 2]).all()
    assert np.isnan(bavaria(margin, members, online=False)[:, 0]).all()
    assert np.isfinite(bavaria(margin, members, online=False)[:, 1:]).all()
    members = draw_members(Subsets(), range(8), 20)
    for values in (np.ones((8, 20)), np.where(members, np.inf, -np.inf), members * 1.0):
        for online in (True, False):
            for predictive in ("student", "gaussian"):
                scores = bavaria(values, members, online=online, predictive=predictive)  # type: ignore[arg-type]
                assert np.isfinite(scores).all()
    assert auc(bavaria(np.where(members, np.inf, -np.inf), members), members) == 1
    assert np.isnan(bavaria(margin[:2], draw_members(Subsets(), [0, 1], 3))).all()


def test_order_scale_blocks_and_queries_do_not_show() -> None:
    rng = np.random.default_rng(5)
    members = draw_members(Subsets(), range(12), 300)
    margin = rng.normal(size=(12, 2, 300)) + members[:, None]
    whole = bavaria(margin, members)
    np.testing.assert_allclose(
        whole, np.mean([bavaria(margin[:, q], members) for q in (0, 1)], axis=0), rtol=1e-9
    )
    rows, columns = rng.permutation(12), rng.permutation(300)
    shuffled = bavaria(margin[rows][:, :, columns], members[rows][:, columns])
    np.testing.assert_allclose(shuffled, whole[rows][:, columns], rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(bavaria(5 * margin - 40, members), whole, rtol=1e-6, atol=1e-8)


def test_few_replicas_find_more_than_with_lira() -> None:
    """Variances that differ between examples, and eight replicas to learn them from."""
    rng = np.random.default_rng(6)
    members = draw_members(Subsets(), range(8), 6000)
    margin = rng.normal(size=members.shape) * rng.gamma(1, size=6000) + 2 * rng.gamma(1, size=6000) * members
    found = {
        "bavaria": bavaria(margin, members),
        "per_example": lira(margin, members),
        "pooled": lira(margin, members, variance="pooled"),
    }
    for name in ("per_example", "pooled"):
        assert auc(found["bavaria"], members) > auc(found[name], members)
        assert tpr_at_fpr(found["bavaria"], members, 0.01) > tpr_at_fpr(found[name], members, 0.01)


def test_wrong_input_is_named() -> None:
    with pytest.raises(ValueError, match="predictive 'normal'"):
        bavaria(np.zeros((4, 3)), np.zeros((4, 3), bool), predictive="normal")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="members have shape"):
        bavaria(np.zeros((4, 3)), np.zeros((4, 2), bool))
