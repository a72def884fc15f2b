"""Thresholds learnt on the others, against trying every threshold for every target."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.attacks.registry import threshold
from analysis.metrics import operating_point
from trainables.data.subsets import Subsets, draw_members


def brute_force(
    signal: np.ndarray, members: np.ndarray, groups: np.ndarray, clusters: np.ndarray | None = None
) -> np.ndarray:
    scores = np.full(signal.shape, np.nan)
    clusters = np.arange(len(signal)) if clusters is None else clusters
    for t in range(len(signal)):
        others = clusters != clusters[t]
        for group in np.unique(groups):
            values, truth = (
                signal[others][:, groups == group].ravel(),
                members[others][:, groups == group].ravel(),
            )
            if truth.all() or not truth.any():
                continue
            distinct = np.unique(values)[::-1].astype(float)
            cuts = np.append(distinct[0], (distinct[1:] + distinct[:-1]) / 2)
            # Integers, so that equally good thresholds are exactly equal.
            gains = [
                (values[truth] > c).sum() * (~truth).sum() - (values[~truth] > c).sum() * truth.sum()
                for c in cuts
            ]
            scores[t, groups == group] = signal[t, groups == group] - cuts[int(np.argmax(gains))]
    return scores


@given(
    seed=st.integers(0, 10**6),
    replicas=st.integers(2, 7),
    ties=st.booleans(),
    leak=st.sampled_from([0, 1, -1]),
)
@settings(max_examples=80, deadline=None)
def test_equals_trying_all_thresholds(seed: int, replicas: int, ties: bool, leak: int) -> None:
    rng = np.random.default_rng(seed)
    members = rng.random((replicas, rng.integers(1, 40))) < rng.random()
    labels = rng.integers(0, 3, members.shape[1])
    signal = rng.normal(size=members.shape) * 2 + leak * members
    signal = np.round(signal) if ties else signal
    found = threshold(signal, members, labels)
    np.testing.assert_allclose(found, brute_force(signal, members, labels), atol=1e-12)
    found = threshold(signal, members, labels, per_class=False)
    np.testing.assert_allclose(found, brute_force(signal, members, 0 * labels), atol=1e-12)
    clusters = rng.integers(0, 4, replicas)
    found = threshold(signal, members, labels, clusters=clusters)
    np.testing.assert_allclose(found, brute_force(signal, members, labels, clusters), atol=1e-12)


def test_a_search_of_many_levels_equals_trying_all() -> None:
    rng = np.random.default_rng(0)
    members = rng.random((5, 400)) < 0.5
    for leak in (0, 0.05, 1):
        signal = rng.normal(size=members.shape) + leak * members
        found = threshold(signal, members, np.zeros(400))
        np.testing.assert_allclose(found, brute_force(signal, members, np.zeros(400)), atol=1e-12)


def test_the_target_has_no_part_in_its_threshold() -> None:
    rng = np.random.default_rng(1)
    members, labels = draw_members(Subsets(), range(8), 50), rng.integers(0, 3, 50)
    signal = rng.normal(size=members.shape)
    other, flipped = signal.copy(), members.copy()
    other[3], flipped[3] = rng.normal(size=50), ~members[3]
    used = signal[3] - threshold(signal, members, labels)[3]
    np.testing.assert_allclose(other[3] - threshold(other, flipped, labels)[3], used)


def test_correctness_says_member_exactly_when_right() -> None:
    rng = np.random.default_rng(2)
    members = draw_members(Subsets(), range(10), 100)
    right = rng.random(members.shape) < np.where(members, 0.95, 0.6)
    scores = threshold(right, members, np.zeros(100))
    np.testing.assert_array_equal(scores, np.where(right, 0.5, -0.5))
    assert operating_point(scores, members).tpr == pytest.approx(right[members].mean())


def test_useless_signals_call_nobody_a_member() -> None:
    members = draw_members(Subsets(), range(4), 10)
    assert (threshold(np.ones((4, 10)), members, np.zeros(10)) == 0).all()
    scores = threshold(np.where(members, -np.inf, np.inf), members, np.zeros(10))
    assert np.isfinite(scores).all()
    assert not (scores > 0).any()


def test_a_class_without_members_or_non_members_has_no_threshold() -> None:
    members = np.zeros((4, 6), bool)
    members[:, :3] = True
    labels = np.array([0, 0, 0, 1, 1, 1])
    assert np.isnan(threshold(np.ones((4, 6)), members, labels)).all()
    assert np.isfinite(threshold(np.ones((4, 6)), members, labels, per_class=False)).all()
