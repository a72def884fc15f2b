"""Scores of all targets together: what is counted of them, against NumPy and plain sums."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.statistics.pooled import Pooled

R, N = 10, 150


@pytest.fixture(scope="module")
def made() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    members = rng.random((R, N)) < 0.4
    scores = np.round(rng.normal(size=(R, N)) + members, 2)
    scores[rng.random((R, N)) < 0.02] = np.nan
    scores[rng.random((R, N)) < 0.01] = np.inf
    scores[rng.random((R, N)) < 0.01] = -np.inf
    return scores, members


def test_groups_and_targets_hold_every_score_once(made: tuple[np.ndarray, np.ndarray]) -> None:
    scores, members = made
    pooled = Pooled(scores, members)
    known = ~np.isnan(scores)
    assert (len(pooled.by_group.ins), len(pooled.by_target.ins)) == (64, R)
    for side, by_target, by_group in (
        (members, pooled.by_target.ins, pooled.by_group.ins),
        (~members, pooled.by_target.outs, pooled.by_group.outs),
    ):
        np.testing.assert_array_equal(by_target.sum(0), by_group.sum(0))
        np.testing.assert_array_equal(by_target[:, -1], (known & side).sum(1))
        assert not by_target[:, 0].any(), "the first threshold is beyond every score"
    assert pooled.nonmembers == (known & ~members).sum()


def test_few_examples_are_groups_of_their_own(made: tuple[np.ndarray, np.ndarray]) -> None:
    scores, members = (part[:, :20] for part in made)
    pooled = Pooled(scores, members)
    assert sorted(pooled.by_group.ins[:, -1]) == sorted((members & ~np.isnan(scores)).sum(0))


def test_calls_are_the_scores_above_zero_and_all_there_are(made: tuple[np.ndarray, np.ndarray]) -> None:
    scores, members = made
    calls = Pooled(scores, members).calls
    for side, found in ((members, calls.ins), (~members, calls.outs)):
        expected = [
            [(row[m] > 0).sum(), (~np.isnan(row[m])).sum()] for row, m in zip(scores, side, strict=True)
        ]
        np.testing.assert_array_equal(found, expected)


def test_the_histogram_is_numpys(made: tuple[np.ndarray, np.ndarray]) -> None:
    scores, members = made
    pooled = Pooled(scores, members)
    edges = np.append(pooled.histogram["left"], pooled.histogram["right"][-1])
    finite = scores[np.isfinite(scores)]
    np.testing.assert_allclose(edges[[0, -1]], np.quantile(finite, [0.001, 0.999]))
    np.testing.assert_allclose(np.diff(edges), edges[1] - edges[0])
    for side, found in ((members, pooled.histogram["members"]), (~members, pooled.histogram["nonmembers"])):
        expected = np.histogram(scores[side & np.isfinite(scores)], edges)[0] / side.sum() / np.diff(edges)
        np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("value", [0.0, 3.0, np.inf])
def test_scores_that_are_all_alike_have_a_histogram_too(value: float) -> None:
    members = np.arange(8).reshape(2, 4) % 2 == 0
    histogram = Pooled(np.full((2, 4), value), members).histogram
    width = histogram["right"] - histogram["left"]
    assert (width > 0).all()
    assert (histogram["members"] * width).sum() == pytest.approx(float(np.isfinite(value)))


@pytest.mark.parametrize("members", [np.zeros((2, 3), bool), np.ones((2, 3), bool)])
def test_one_side_alone_defines_nothing(members: np.ndarray) -> None:
    assert not Pooled(np.random.default_rng(0).normal(size=(2, 3)), members).defined


def test_scores_and_members_stay_as_they_were(made: tuple[np.ndarray, np.ndarray]) -> None:
    before = [part.copy() for part in made]
    Pooled(*made)
    for part, was in zip(made, before, strict=True):
        np.testing.assert_array_equal(part, was)
