"""LiRA's risk of single examples: against loops that leave two replicas out, and without bias."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, norm

from analysis.attacks.left_out import lira_risk
from analysis.attacks.lira import FLOOR, lira
from analysis.attacks.ranks import risk_by_example
from analysis.audit.ensemble_audit import audit
from analysis.ensemble import ensemble_of
from tests.helpers.simulated_records import simulate
from trainables.data.subsets import Subsets, draw_members


def loops(margin: np.ndarray, members: np.ndarray, targets: np.ndarray, variance: str) -> np.ndarray:
    """Both densities anew for every pair, from all replicas but the two."""
    replicas, queries, n = margin.shape
    pooled = np.ones((queries, 2))
    for q in range(queries):
        for side in (0, 1):
            values = [margin[members[:, i] == side, q, i] for i in range(n)]
            squares = sum(((v - v.mean()) ** 2).sum() for v in values if len(v))
            pooled[q, side] = max(squares / max(1, sum(len(v) - 1 for v in values if len(v))), FLOOR**2)
    risks = np.full((len(targets), n), np.nan)
    for s, i in np.ndindex(risks.shape):
        won = []
        for a in np.flatnonzero(targets[s] & members[:, i]):
            for b in np.flatnonzero(targets[s] & ~members[:, i]):
                rest = ~np.isin(np.arange(replicas), (a, b))
                ratio = np.zeros(2)
                for q in range(queries):
                    for side, sign in ((0, -1), (1, 1)):
                        shadows = margin[rest & (members[:, i] == side), q, i]
                        spread = max(np.std(shadows), FLOOR) if len(shadows) else np.nan
                        spread = np.sqrt(pooled[q, side]) if variance == "pooled" else spread
                        centre = shadows.mean() if len(shadows) else np.nan
                        ratio += sign * norm.logpdf(margin[[a, b], q, i], centre, spread)
                if not np.isnan(ratio).any():
                    won.append((ratio[0] > ratio[1]) + 0.5 * (ratio[0] == ratio[1]))
        if won:
            risks[s, i] = np.mean(won)
    return risks


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:Degrees of freedom")
@pytest.mark.parametrize("variance", ["per_example", "pooled"])
@given(seed=st.integers(0, 10**6), replicas=st.integers(3, 9), queries=st.integers(1, 2))
@settings(max_examples=12, deadline=None)
def test_equals_the_loops(variance: str, seed: int, replicas: int, queries: int) -> None:
    rng = np.random.default_rng(seed)
    members = rng.random((replicas, 6)) < 0.5
    margin = rng.normal(size=(replicas, queries, 6)) * 3 + members[:, None]
    targets = np.stack([np.ones(replicas, bool), rng.random(replicas) < 0.6])
    expected = loops(margin, members, targets, variance)
    found = lira_risk(margin, members, targets, variance=variance)  # type: ignore[arg-type]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("variance", ["per_example", "pooled"])
@pytest.mark.parametrize("replicas", [16, 64])
def test_nothing_leaks_nothing_is_found(variance: str, replicas: int) -> None:
    """Of one pair of complements, each example's winner is a coin of its own; by the scores it is not."""
    members = draw_members(Subsets(), range(replicas), 3000)
    margin = np.random.default_rng(replicas).normal(size=members.shape)
    everyone = np.ones((1, replicas), bool)
    targets = np.concatenate([everyone, np.arange(replicas)[None] < 2])
    risk, pair = lira_risk(margin, members, targets, variance=variance)  # type: ignore[arg-type]
    assert set(np.unique(pair)) == {0, 1}
    assert binom.ppf(0.0005, 3000, 0.5) <= pair.sum() <= binom.ppf(0.9995, 3000, 0.5)
    assert risk.mean() == pytest.approx(0.5, abs=4 * risk.std() / np.sqrt(3000))
    scores = lira(margin, members, variance=variance)  # type: ignore[arg-type]
    assert risk_by_example(scores, members, everyone).mean() < 0.46


def test_it_is_the_risk_of_fresh_targets() -> None:
    """With leakage: the mean over examples is that over targets that no statistic has seen."""
    rng = np.random.default_rng(1)
    replicas, n, leak = 32, 1500, 1.0
    members = draw_members(Subsets(), range(replicas), n)
    margin = rng.normal(size=members.shape) + leak * members
    found = lira_risk(margin, members, np.ones((1, replicas), bool), variance="pooled")[0]
    centres = [np.where(members == side, margin, 0).sum(axis=0) / (replicas / 2) for side in (0, 1)]
    fresh = rng.normal(size=(2, 40, n)) + leak * np.array([0, 1])[:, None, None]
    scores = (fresh - centres[0]) ** 2 - (fresh - centres[1]) ** 2
    truth = (scores[1][:, None] > scores[0][None]).mean()
    assert found.mean() == pytest.approx(truth, abs=0.012)


def test_ties_are_half_and_lonely_examples_have_none() -> None:
    members = draw_members(Subsets(), range(8), 10)
    everyone = np.ones((1, 8), bool)
    assert (lira_risk(np.ones((8, 10)), members, everyone) == 0.5).all()
    lonely = np.zeros((5, 4), bool)
    lonely[0] = True
    assert np.isnan(
        lira_risk(np.random.default_rng(0).normal(size=(5, 4)), lonely, np.ones((1, 5), bool))
    ).all()
    separated = np.where(members, 3.0, -3.0)
    assert (lira_risk(separated, members, everyone) == 1).all()


def test_many_replicas_are_compared_with_some_of_the_others() -> None:
    rng = np.random.default_rng(2)
    members = draw_members(Subsets(), range(256), 300)
    leak = rng.exponential(size=300)
    margin = rng.normal(size=members.shape) + leak * members
    risk = lira_risk(margin, members, np.ones((1, 256), bool))[0]
    truth = norm.cdf(leak / np.sqrt(2))
    assert np.corrcoef(risk, truth)[0, 1] > 0.9
    assert risk.mean() == pytest.approx(truth.mean(), abs=0.02)


def test_an_audit_of_nothing_finds_no_one_at_risk() -> None:
    found = audit(ensemble_of(simulate(range(32), n=600, leak=0)), attacks=["lira"], resamples=20)
    risk = found.examples["risk_lira"]
    assert risk.mean() == pytest.approx(0.5, abs=4 * risk.std() / np.sqrt(600))
    assert found.row["lira_most_vulnerable"] == pytest.approx(0.5, abs=0.15)
