"""The empirical epsilon against mechanisms whose epsilon is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import binom, binomtest, norm

from analysis.epsilon import canary_guesses, empirical_epsilon, one_run_epsilon


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


@given(
    guesses=st.integers(1, 400), share=st.floats(0, 1), confidence=st.sampled_from([0.5, 0.9, 0.95, 0.999])
)
def test_one_run_without_delta_is_clopper_pearsons_lower_bound(
    guesses: int, share: float, confidence: float
) -> None:
    right = round(share * guesses)
    test = binomtest(right, guesses, alternative="greater")
    low = test.proportion_ci(confidence, method="exact").low
    found = one_run_epsilon(right, guesses, guesses + 7, delta=0, confidence=confidence)
    assert found == pytest.approx(max(0, np.log(low / (1 - low)) if low > 0 else 0), abs=1e-6)


def test_one_run_is_where_the_tail_probability_crosses() -> None:
    """Theorem 5.2 written as loops, on a fine grid of epsilons."""
    for right, guesses, canaries, delta in ((60, 80, 100, 1e-4), (95, 100, 1000, 1e-5), (40, 50, 60, 1e-3)):
        rejected = 0.0
        for epsilon in np.arange(0, 4, 0.01):
            success = np.exp(epsilon) / (1 + np.exp(epsilon))
            pmf = list(binom.pmf(range(guesses + 1), guesses, success))
            slope = max(sum(pmf[right - i : right]) / i for i in range(1, right + 1))
            if sum(pmf[right:]) + 2 * canaries * delta * slope < 0.05:
                rejected = epsilon
        assert one_run_epsilon(right, guesses, canaries, delta) == pytest.approx(rejected, abs=0.011)


def test_one_run_rises_with_right_guesses_and_falls_with_delta_and_confidence() -> None:
    bounds = [one_run_epsilon(v, 100, 200) for v in range(101)]
    assert bounds[0] == bounds[50] == 0
    assert bounds[100] > 3
    assert np.isfinite(bounds).all()
    assert (np.diff(bounds) >= 0).all()
    assert one_run_epsilon(90, 100, 200, delta=1e-3) < one_run_epsilon(90, 100, 200, delta=0)
    assert one_run_epsilon(90, 100, 200, confidence=0.99) < one_run_epsilon(90, 100, 200, confidence=0.9)
    assert one_run_epsilon(90, 100, 200, delta=1) == 0


@pytest.mark.parametrize("epsilon", [0.0, 0.5, 2.0])
def test_one_run_on_randomized_response_exceeds_the_truth_as_seldom_as_it_says(epsilon: float) -> None:
    rng = np.random.default_rng(0)
    right = rng.binomial(200, np.exp(epsilon) / (1 + np.exp(epsilon)), size=2000)
    bounds = {v: one_run_epsilon(int(v), 200, 200, delta=0) for v in np.unique(right)}
    found = np.array([bounds[v] for v in right])
    exceeding = int((found > epsilon).sum())
    assert exceeding <= binom.ppf(0.999, 2000, 0.05)
    if epsilon:  # the mechanism is the worst of its epsilon: the bound is not idle
        assert exceeding >= binom.ppf(0.001, 2000, 0.02)
        assert np.median(found) > 0.5 * epsilon


@pytest.mark.parametrize("sigma", [0.5, 2.0])
def test_one_run_on_gaussian_mechanisms_stays_below_their_epsilon(sigma: float) -> None:
    """Each canary's coin plus noise is released: the epsilon at delta is known (Balle and Wang 2018)."""
    delta, canaries, guessed = 1e-5, 400, 50

    def spent(epsilon: float) -> float:
        near, far = 1 / (2 * sigma) - epsilon * sigma, -1 / (2 * sigma) - epsilon * sigma
        return float(norm.cdf(near) - np.exp(epsilon) * norm.cdf(far) - delta)

    truth = brentq(spent, 0, 50)
    rng = np.random.default_rng(1)
    found = []
    for _ in range(300):
        coins = rng.random(canaries) < 0.5
        order = np.argsort(coins + sigma * rng.normal(size=canaries))
        right = coins[order[-guessed:]].sum() + (~coins[order[:guessed]]).sum()
        found.append(one_run_epsilon(int(right), 2 * guessed, canaries, delta))
    exceeding = int((np.array(found) > truth).sum())
    assert exceeding <= binom.ppf(0.999, 300, 0.05)
    assert np.mean(found) > 0.1 * truth


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((5, 4, 10), "5 right of 4 guesses"),
        ((1, 4, 3), "on 3 canaries"),
        ((-1, 4, 5), "-1 right"),
        ((1, 2, 3, 2.0), "delta 2.0"),
        ((1, 2, 3, 0.0, 1.0), "confidence 1.0"),
    ],
)
def test_one_run_says_what_cannot_be(arguments: tuple[float, ...], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        one_run_epsilon(*arguments)  # type: ignore[arg-type]


def test_guesses_on_canaries_are_the_outer_quarters_of_each_replica() -> None:
    rng = np.random.default_rng(2)
    scores, members = rng.normal(size=(5, 21)), rng.random((5, 21)) < 0.5
    right = 0
    for x, own in zip(scores, members, strict=True):
        ranked = sorted(zip(x, own, strict=True))
        right += sum(not inside for _, inside in ranked[:5]) + sum(inside for _, inside in ranked[-5:])
    assert canary_guesses(scores, members) == (right, 50)
    assert canary_guesses(scores[:, :3], members[:, :3]) == (0, 0)
    assert one_run_epsilon(0, 0, 15) == 0
