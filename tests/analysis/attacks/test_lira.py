"""Closed-form leave-one-out LiRA against a double loop over scipy.stats."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from analysis.attacks.lira import FLOOR
from analysis.attacks.registry import lira
from analysis.metrics import auc
from trainables.data.subsets import Subsets, draw_members


def spread(values: np.ndarray) -> float:
    return max(FLOOR, float(np.std(values)))


def brute_force(margin: np.ndarray, members: np.ndarray, online: bool, variance: str) -> np.ndarray:
    replicas, n = margin.shape
    scores = np.full((replicas, n), np.nan)
    for t in range(replicas):
        shadows = [r for r in range(replicas) if r != t]
        sides = [[margin[[r for r in shadows if members[r, i] == s], i] for s in (0, 1)] for i in range(n)]
        residuals = [
            np.concatenate([v[s] - v[s].mean() for v in sides if len(v[s])] or [[0]]) for s in (0, 1)
        ]
        for i, (out, held) in enumerate(sides):
            if not len(out) or (online and not len(held)):
                continue
            sd = [
                spread(v if variance == "per_example" else residuals[s]) if len(v) else np.nan
                for s, v in enumerate((out, held))
            ]
            if online:
                scores[t, i] = norm.logpdf(margin[t, i], held.mean(), sd[1]) - norm.logpdf(
                    margin[t, i], out.mean(), sd[0]
                )
            else:
                scores[t, i] = norm.logcdf(margin[t, i], out.mean(), sd[0])
    return scores


@pytest.mark.parametrize("online", [True, False])
@pytest.mark.parametrize("variance", ["per_example", "pooled"])
@given(seed=st.integers(0, 10**6), replicas=st.integers(2, 9), share=st.sampled_from([0.1, 0.5, 0.8]))
@settings(max_examples=25, deadline=None)
def test_equals_the_double_loop(online: bool, variance: str, seed: int, replicas: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    members = rng.random((replicas, 6)) < share
    margin = rng.normal(scale=3, size=members.shape) + 2 * members + 1000
    expected = brute_force(margin, members, online, variance)
    found = lira(margin, members, online=online, variance=variance)  # type: ignore[arg-type]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


def test_queries_are_averaged_and_targets_are_rows() -> None:
    rng = np.random.default_rng(0)
    members = draw_members(Subsets(), range(10), 40)
    margin = rng.normal(size=(10, 3, 40)) + members[:, None]
    mean = np.mean([lira(margin[:, q], members) for q in range(3)], axis=0)
    np.testing.assert_allclose(lira(margin, members), mean)
    np.testing.assert_allclose(lira(margin, members, variance="pooled", targets=[7, 2]), lira(
        margin, members, variance="pooled")[[7, 2]])  # fmt: skip


def test_blocks_of_examples_do_not_show() -> None:
    rng = np.random.default_rng(1)
    members = rng.random((600, 700)) < 0.5  # more than one cache-sized block
    margin = rng.normal(size=members.shape)
    whole = lira(margin, members)
    np.testing.assert_allclose(whole[:, 300:320], lira(margin[:, 300:320], members[:, 300:320]))


def test_examples_without_shadows_on_a_side_are_nan() -> None:
    members = np.array([[1, 0, 1], [1, 0, 0], [1, 0, 0], [1, 0, 1]], bool)
    margin = np.random.default_rng(0).normal(size=members.shape)
    online, offline = lira(margin, members), lira(margin, members, online=False)
    assert np.isnan(online[:, :2]).all()
    assert np.isnan(offline[:, 0]).all()
    assert np.isfinite(offline[:, 1:]).all()
    assert np.isfinite(online[:, 2]).all()


def test_zero_spread_and_infinite_margins_stay_finite() -> None:
    members = draw_members(Subsets(), range(8), 20)
    for margin in (np.ones((8, 20)), np.where(members, np.inf, -np.inf), members * 1.0):
        for variance in ("per_example", "pooled"):
            for online in (True, False):
                scores = lira(margin, members, online=online, variance=variance)  # type: ignore[arg-type]
                assert np.isfinite(scores).all()
    assert auc(lira(np.where(members, np.inf, -np.inf), members), members) == 1


def test_two_complementary_replicas_cannot_be_audited() -> None:
    members = draw_members(Subsets(), [0, 1], 10)
    assert np.isnan(lira(np.random.default_rng(0).normal(size=members.shape), members)).all()


def test_replicas_and_examples_may_come_in_any_order_and_margins_on_any_scale() -> None:
    rng = np.random.default_rng(2)
    members = draw_members(Subsets(), range(12), 30)
    margin = rng.normal(size=members.shape) + members
    rows, columns = rng.permutation(12), rng.permutation(30)
    shuffled = lira(margin[rows][:, columns], members[rows][:, columns])
    np.testing.assert_allclose(shuffled, lira(margin, members)[rows][:, columns])
    np.testing.assert_allclose(lira(5 * margin - 40, members), lira(margin, members), rtol=1e-7, atol=1e-9)


def test_auto_looks_at_the_number_of_replicas_only() -> None:
    rng = np.random.default_rng(3)
    for replicas, variance in ((64, "pooled"), (66, "per_example")):
        members = draw_members(Subsets(), range(replicas), 10)
        margin = rng.normal(size=members.shape)
        chosen = lira(margin, members, variance="auto")
        np.testing.assert_array_equal(chosen, lira(margin, members, variance=variance))  # type: ignore[arg-type]


def test_no_leakage_gives_no_signal() -> None:
    """Leave-one-out must not turn the one missing shadow of exact halves into a signal."""
    members = draw_members(Subsets(), range(64), 1500)
    margin = np.random.default_rng(4).normal(size=members.shape)
    for online in (True, False):
        for variance in ("per_example", "pooled"):
            scores = lira(margin, members, online=online, variance=variance)  # type: ignore[arg-type]
            assert auc(scores, members) == pytest.approx(0.5, abs=0.01)


def test_wrong_input_is_named() -> None:
    with pytest.raises(ValueError, match="members have shape"):
        lira(np.zeros((4, 3)), np.zeros((4, 2), bool))
    with pytest.raises(ValueError, match="variance 'fixed'"):
        lira(np.zeros((4, 3)), np.zeros((4, 3), bool), variance="fixed")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="shape"):
        lira(np.zeros(4), np.zeros(4, bool))
