"""The empirical epsilon against mechanisms whose epsilon is known."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from analysis.epsilon import empirical_epsilon


def test_randomized_response_is_bounded_tightly_and_hardly_ever_exceeded() -> None:
    """Answers that are flipped with probability 1/(1+e) are exactly 1-differentially private."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(300):
        members = rng.random((8, 1000)) < 0.5
        flipped = rng.random(members.shape) < 1 / (1 + np.e)
        found.append(empirical_epsilon(members ^ flipped, members, delta=0))
    assert np.mean(np.array(found) <= 1) >= 0.95
    assert np.median(found) > 0.85


def test_the_gaussian_mechanism_is_not_exceeded() -> None:
    shift, delta = 1.0, 1e-5
    truth = brentq(
        lambda e: norm.cdf(shift / 2 - e / shift) - np.exp(e) * norm.cdf(-shift / 2 - e / shift) - delta,
        0,
        20,
    )
    rng = np.random.default_rng(1)
    found = []
    for _ in range(100):
        members = rng.random((8, 2000)) < 0.5
        found.append(
            empirical_epsilon(rng.normal(size=members.shape) + shift * members, members, delta=delta)
        )
    assert np.max(found) < truth
    assert np.median(found) > 0.8


def test_no_leakage_and_too_little_data_prove_nothing() -> None:
    rng = np.random.default_rng(2)
    members = rng.random((8, 300)) < 0.5
    scores = rng.normal(size=members.shape)
    assert empirical_epsilon(scores, members) == 0
    assert np.isnan(empirical_epsilon(scores[:1], members[:1]))
    assert np.isnan(empirical_epsilon(scores[:2], members[:2], clusters=[0, 0]))
    assert empirical_epsilon(np.full(scores.shape, np.nan), members) == 0


def test_a_perfect_attack_is_limited_by_the_number_of_trials() -> None:
    members = np.arange(2000).reshape(4, 500) % 2 == 0
    few, many = (empirical_epsilon(m * 1.0, m) for m in (members[:, :50], members))
    assert 2 < few < many < np.log(1000)


def test_unequal_shares_of_members_prove_nothing_by_themselves() -> None:
    """Models that trained on more score every example higher: pooled error rates differ without leakage."""
    rng = np.random.default_rng(3)
    share = np.array([0.1, 0.1, 0.9, 0.9] * 2)[:, None]
    members = rng.random((8, 2000)) < share
    scores = rng.normal(size=members.shape) + 3 * share
    assert empirical_epsilon(scores, members) == 0
    assert empirical_epsilon(scores + 10 * members, members) > 0
