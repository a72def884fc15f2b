"""ROC curves of many units, against scikit-learn and scores that are written out as often as they count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import roc_auc_score

from analysis.metrics import LEVELS, Roc, roc
from analysis.statistics.curves import Curves, Rates, decided, visible

R, N = 6, 80


def made(seed: int = 0, leak: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, members, and every score as a threshold, highest first."""
    rng = np.random.default_rng(seed)
    members = rng.random((R, N)) < 0.5
    scores = np.round(rng.normal(size=(R, N)) + leak * members, 1)
    return scores, members, np.append(np.inf, np.unique(scores)[::-1])


def by_hand(scores: np.ndarray, members: np.ndarray) -> dict[str, float]:
    """The metrics by trying every threshold."""
    ins, outs = scores[members], scores[~members]
    points = [(0.0, 0.0)]
    points += [(float((outs >= t).mean()), float((ins >= t).mean())) for t in np.unique(scores)]
    advantage = max(t - f for f, t in points)
    levels = {name: max(t for f, t in points if f <= level) for name, level in LEVELS.items()}
    best = {"advantage": advantage, "balanced_accuracy": (1 + advantage) / 2}
    return {"auc": float(roc_auc_score(members, scores)), **best, **levels}


def test_figures_of_each_unit_are_those_of_its_scores_alone() -> None:
    scores, members, thresholds = made()
    found = Curves.of(scores, members, thresholds).rates().figures()
    for row in range(R):
        expected = by_hand(scores[row], members[row])
        assert {name: values[row] for name, values in found.items()} == pytest.approx(expected, abs=1e-6)


@given(arrays(np.int64, R, elements=st.integers(0, 4)).filter(np.any))
def test_a_unit_that_counts_twice_is_its_scores_twice(often: np.ndarray) -> None:
    scores, members, thresholds = made()
    rates = Curves.of(scores, members, thresholds).rates(often[None].astype(np.float32))
    again = [part.repeat(often, axis=0).ravel() for part in (scores, members)]
    expected = by_hand(*again)
    assert {name: value[0] for name, value in rates.figures().items()} == pytest.approx(expected, abs=1e-6)


def test_redrawn_figures_are_those_of_redrawn_scores_less_the_bias_of_the_best_threshold() -> None:
    scores, members, thresholds = made()
    weights = np.random.default_rng(1).multinomial(R, np.full(R, 1 / R), 200).astype(np.float32)
    estimates = by_hand(scores.ravel(), members.ravel())
    draws, lower = Curves.of(scores, members, thresholds).bootstrap(weights, estimates)
    rows = [by_hand(*(p.repeat(w.astype(int), axis=0).ravel() for p in (scores, members))) for w in weights]
    for name, found in draws.items():
        expected = np.array([row[name] for row in rows])
        if name in ("advantage", "balanced_accuracy"):
            expected += 2 * (estimates[name] - expected.mean())
        np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(lower["balanced_accuracy"], (1 + lower["advantage"]) / 2)
    assert lower["advantage"].mean() < estimates["advantage"]


def test_tpr_at_any_fpr_is_interpolated_as_numpy_does() -> None:
    rng = np.random.default_rng(0)
    fpr = np.sort(rng.random((4, 9)), axis=1)
    fpr[:, 0], fpr[:, -1] = 0, 1
    tpr = np.sort(rng.random((4, 9)), axis=1)
    wanted = np.linspace(0, 1, 33)
    expected = [np.interp(wanted, f, t) for f, t in zip(fpr, tpr, strict=True)]
    np.testing.assert_allclose(Rates(tpr, fpr).tpr_at(wanted), expected, atol=1e-12)


def test_decided_counts_the_calls_of_redrawn_units() -> None:
    scores, members, _ = made()
    sides = [
        [[(row[m] > 0).sum(), m.sum()] for row, m in zip(scores, s, strict=True)] for s in (members, ~members)
    ]
    weights = np.array([[1, 1, 1, 1, 1, 1], [3, 0, 0, 1, 2, 0]], np.float32)
    found = decided(Curves(*(np.array(side, np.float32) for side in sides)), weights)
    for b, often in enumerate(weights.astype(int)):
        again = [part.repeat(often, axis=0) for part in (scores, members)]
        called = again[0] > 0
        assert found["tpr"][b] == pytest.approx(called[again[1]].mean(), abs=1e-6)
        assert found["fpr"][b] == pytest.approx(called[~again[1]].mean(), abs=1e-6)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=60).filter(
    lambda steps: all(map(any, zip(*steps, strict=True)))
))  # fmt: skip
def test_points_that_are_left_out_lie_on_the_lines_between_those_that_are_kept(
    steps: list[tuple[int, int]],
) -> None:
    fpr, tpr = (np.append(0, np.cumsum(side)) / sum(side) for side in zip(*steps, strict=True))
    kept = visible(Roc(fpr, tpr, np.arange(len(fpr), 0, -1.0)))
    assert kept[0] == 0
    assert kept[-1] == len(fpr) - 1
    for k in set(range(len(fpr))) - set(kept.tolist()):
        a, b = kept[kept < k].max(), kept[kept > k].min()
        on_line = tpr[a] + (tpr[b] - tpr[a]) * (fpr[k] - fpr[a]) / (fpr[b] - fpr[a])
        assert abs(on_line - tpr[k]) <= min(1e-3, 0.02 * tpr[k]) + 1e-9


def test_a_straight_line_is_its_two_ends() -> None:
    line = np.linspace(0, 1, 500)
    assert visible(Roc(line, line, line[::-1])).tolist() == [0, 499]


def test_thinned_roc_moves_no_point() -> None:
    rng = np.random.default_rng(0)
    members = rng.random(20_000) < 0.5
    for scores in (rng.normal(size=20_000) + members, np.round(rng.normal(size=20_000) + members)):
        curve = roc(scores, members)
        kept = visible(curve)
        moved = np.abs(np.interp(curve.fpr, curve.fpr[kept], curve.tpr[kept]) - curve.tpr)
        # Vertical steps: interpolation reads their upper end, and all of them are kept.
        top = np.append(np.diff(curve.fpr) > 0, True)
        assert moved[top].max() <= 1e-3 + 1e-9
        assert len(kept) < 1500
