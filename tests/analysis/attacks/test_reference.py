"""Attacks by the loss of other models or other points, against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from analysis.attacks.reference import attack_p, attack_r, calibrated_loss
from tests.helpers.synthetic import losses
from trainables.data.subsets import Subsets, draw_members


def test_attack_r_ranks_the_target_among_out_shadows() -> None:
    x, members = losses(0)
    scores = attack_r(x, members)
    for t, i in np.ndindex(x.shape):
        shadows = [x[r, i] for r in range(len(x)) if r != t and not members[r, i]]
        if not shadows:
            assert np.isnan(scores[t, i])
            continue
        worse = np.sum(np.array(shadows) < x[t, i])
        assert worse / (len(shadows) + 1) <= scores[t, i] <= (worse + 1) / (len(shadows) + 1)


def test_attack_r_is_uniform_without_leakage_and_breaks_ties_evenly() -> None:
    members = draw_members(Subsets(), range(16), 400)
    for x in (np.random.default_rng(0).normal(size=members.shape), np.zeros(members.shape)):
        scores = attack_r(x, members)
        for side in (members, ~members):
            assert kstest(scores[side], "uniform").pvalue > 0.001


def test_attack_p_is_the_share_of_worse_population_points() -> None:
    x, members = losses(1)
    z = np.round(losses(2)[0], 1)
    x = np.round(x, 1)
    scores = attack_p(x, z)
    for t, i in np.ndindex(x.shape):
        assert scores[t, i] == pytest.approx(np.mean((z[t] < x[t, i]) + 0.5 * (z[t] == x[t, i])))
    assert scores.shape == members.shape


def test_calibrated_loss_subtracts_the_out_mean() -> None:
    x, members = losses(3)
    scores = calibrated_loss(x, members)
    for t, i in np.ndindex(x.shape):
        shadows = [x[r, i] for r in range(len(x)) if r != t and not members[r, i]]
        assert scores[t, i] == pytest.approx(x[t, i] - np.mean(shadows) if shadows else np.nan, nan_ok=True)


def test_attacks_by_rank_see_no_more_than_order() -> None:
    x, members = losses(5)
    z = losses(6)[0]
    np.testing.assert_array_equal(attack_r(x, members), attack_r(np.exp(x), members))
    np.testing.assert_array_equal(attack_p(x, z), attack_p(np.exp(x), np.exp(z)))
