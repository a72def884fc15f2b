"""RMIA by sorting against the n x m comparison written out."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.attacks.registry import rmia
from analysis.attacks.rmia import choose_a
from analysis.metrics import auc
from trainables.data.subsets import Subsets, draw_members


def brute_force(
    p: np.ndarray, members: np.ndarray, z: np.ndarray, gamma: float, online: bool, a: float
) -> np.ndarray:
    replicas, n = p.shape
    scores = np.full((replicas, n), np.nan)
    for t in range(replicas):
        shadows = np.arange(replicas) != t
        p_z = z[shadows].mean(axis=0)
        if not online:
            p_z = ((1 + a) * p_z + (1 - a)) / 2
        for i in range(n):
            ins, outs = p[shadows & members[:, i], i], p[shadows & ~members[:, i], i]
            if not len(outs) or (online and not len(ins)):
                continue
            p_x = (ins.mean() + outs.mean()) / 2 if online else ((1 + a) * outs.mean() + (1 - a)) / 2
            ratio = (p[t, i] / p_x) / (z[t] / p_z)
            scores[t, i] = (ratio > gamma).mean()
    return scores


def case(seed: int, replicas: int = 6) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    members = rng.random((replicas, 15)) < 0.5
    return rng.beta(3 + 2 * members, 1), members, rng.beta(3, 1, size=(replicas, 11))


@pytest.mark.parametrize("gamma", [0.7, 1.0, 2.0])
@pytest.mark.parametrize("online", [True, False])
@pytest.mark.parametrize("a", [0.0, 0.3, 1.0])
def test_equals_comparing_every_pair(gamma: float, online: bool, a: float) -> None:
    for seed in range(5):
        p, members, z = case(seed)
        found = rmia(p, members, z, gamma=gamma, online=online, a=a)
        np.testing.assert_allclose(found, brute_force(p, members, z, gamma, online, a))


def test_equal_evidence_does_not_beat() -> None:
    p = np.full((4, 3), 0.5)
    assert (rmia(p, np.arange(12).reshape(4, 3) % 2 == 0, np.full((4, 7), 0.5)) == 0).all()


def test_certain_and_impossible_predictions_stay_finite() -> None:
    members = draw_members(Subsets(), range(6), 10)
    for p in (np.zeros((6, 10)), np.ones((6, 10)), members * 1.0):
        for online in (True, False):
            scores = rmia(p, members, np.concatenate([p, 1 - p], axis=1), online=online)
            assert ((scores >= 0) & (scores <= 1)).all()


def test_nan_where_a_side_that_the_score_needs_has_no_shadow() -> None:
    p, members, z = case(0)
    members[:, 0], members[:, 1] = True, False
    offline, online = rmia(p, members, z, online=False), rmia(p, members, z)
    assert np.isnan(offline[:, 0]).all()
    assert np.isfinite(offline[:, 1]).all()
    assert np.isnan(online[:, :2]).all()


def test_a_is_chosen_without_the_target() -> None:
    rng = np.random.default_rng(0)
    members = draw_members(Subsets(), range(12), 300)
    p = rng.beta(2 + 4 * members, 1 + rng.random(300))
    chosen = choose_a(p, members)
    other = p.copy()
    other[5] = rng.random(300)
    assert choose_a(other, members)[5] == chosen[5]
    assert set(np.round(chosen, 1)) <= set(np.round(np.linspace(0, 1, 11), 1))
    assert (choose_a(p[:2], members[:2]) == 0.3).all()
    each = np.stack([rmia(p, members, p, online=False, a=a)[t] for t, a in enumerate(chosen)])
    np.testing.assert_allclose(rmia(p, members, p, online=False, a=chosen), each)


def test_leakage_is_seen_and_its_absence_too() -> None:
    rng = np.random.default_rng(1)
    members = draw_members(Subsets(), range(32), 800)
    noise, z = rng.normal(size=members.shape), rng.normal(size=(32, 400))
    sigmoid = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
    for online in (True, False):
        assert auc(rmia(sigmoid(noise), members, sigmoid(z), online=online), members) == pytest.approx(
            0.5, abs=0.015
        )
        assert auc(rmia(sigmoid(noise + 2 * members), members, sigmoid(z), online=online), members) > 0.8


def test_a_member_lacks_one_in_shadow_without_being_given_away() -> None:
    """AUC with seven shadows as with six in whole pairs; a mean over all seven makes it 0.02 more."""
    rng = np.random.default_rng(2)
    found, expected = [], []
    for draw in range(60):
        members = draw_members(Subsets(), range(8 * draw, 8 * draw + 8), 400)
        p = 1 / (1 + np.exp(-rng.normal(size=members.shape) - 1.5 * members))
        z = 1 / (1 + np.exp(-rng.normal(size=(8, 200))))
        found.append(auc(rmia(p, members, z), members))
        pairs = np.empty(p.shape)
        for t in range(8):
            kept = np.arange(8) // 2 != t // 2
            ratio_z = z[t] / z[kept].mean(axis=0)
            pairs[t] = (p[t] / p[kept].mean(axis=0) > ratio_z[:, None]).mean(axis=0)
        expected.append(auc(pairs, members))
    assert np.mean(found) == pytest.approx(np.mean(expected), abs=0.006)
