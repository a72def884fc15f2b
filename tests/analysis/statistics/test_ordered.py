"""Searches of many keys at once against one at a time."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.statistics.ordered import BEYOND, LOWEST, Ordered, Rows, below, cuts_of, keys_of, places


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 100])
def test_rows_are_counted_as_one_by_one(n: int) -> None:
    rng = np.random.default_rng(n)
    scores, members = rng.integers(-3, 4, (5, n)).astype(float), rng.random((5, n)) < 0.5
    cuts = np.array([BEYOND, *cuts_of([2.5, 1, 0, -1, -9]), LOWEST])
    rows = Rows.sorted(np.sort(keys_of(scores, members), axis=1))
    ins, outs = rows.above(cuts)
    for u in range(5):
        for k, least in enumerate([np.inf, 2.5, 1, 0, -1, -9, -np.inf]):
            reached = scores[u] >= least
            assert (ins[u, k], outs[u, k]) == ((reached & members[u]).sum(), (reached & ~members[u]).sum())
    units, at = np.divmod(np.arange(5 * len(cuts)), len(cuts))
    for found, expected in zip(rows.above_in(units, cuts[at]), (ins, outs), strict=True):
        np.testing.assert_array_equal(found, expected[units, at])


def test_missing_scores_are_in_no_count() -> None:
    scores = np.array([[1.0, np.nan, 2.0], [np.nan, np.nan, 0.0]])
    rows = Rows.sorted(np.sort(keys_of(scores, np.ones((2, 3), bool)), axis=1))
    ins, outs = rows.above(np.array([BEYOND, LOWEST]))
    assert ins.tolist() == [[0, 2], [0, 1]]
    assert not outs.any()


def test_places_are_those_of_searchsorted() -> None:
    rng = np.random.default_rng(0)
    values = np.sort(np.append(rng.integers(0, 9, 30), np.nan))
    queries = np.append(rng.integers(-1, 11, 50), [np.nan, np.inf, -np.inf])
    np.testing.assert_array_equal(below(values, queries), np.searchsorted(values, queries))
    for found, side in zip(places(values, queries), ("left", "right"), strict=True):
        np.testing.assert_array_equal(found, np.searchsorted(values, queries, side))  # type: ignore[call-overload]


@pytest.mark.parametrize("n", [1, 2, 3, 8, 50])
def test_the_nth_member_and_non_member(n: int) -> None:
    rng = np.random.default_rng(n)
    ordered = Ordered.of(keys_of(rng.integers(0, 5, n), rng.random(n) < 0.5))
    for side in (0, 1):
        expected = ordered.keys[ordered.keys & 1 == side]
        np.testing.assert_array_equal(ordered.nth(side, np.arange(len(expected))), expected)
