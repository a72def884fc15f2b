"""Figures, thinned curves and counts from sorted keys against counting in plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from sklearn.metrics import roc_auc_score

from analysis.metrics import LEVELS, roc
from analysis.statistics.curves import Curves
from analysis.statistics.exact import figures, thinned
from analysis.statistics.ordered import MISSING, Ordered, cuts_of, keys_of, values_of
from analysis.statistics.pooled import Pooled

SCORES = st.one_of(
    st.floats(-3, 3, width=32), st.sampled_from([0.0, -0.0, 1.0, np.inf, -np.inf, np.nan, -1e300])
)


def plain_points(scores: np.ndarray, members: np.ndarray) -> list[tuple[float, float, float]]:
    """(threshold, FPR, TPR) of every distinct score, one after the other."""
    known = ~np.isnan(scores)
    ins, outs = scores[known & members], scores[known & ~members]
    points = [(np.inf, 0.0, 0.0)]
    for value in sorted(set(np.concatenate([ins, outs]).tolist()), reverse=True):
        points.append((value, float((outs >= value).mean()), float((ins >= value).mean())))
    return points


@settings(max_examples=150, deadline=None)
@given(arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=SCORES), st.data())
def test_figures_are_those_of_every_point_of_the_curve(scores: np.ndarray, data: st.DataObject) -> None:
    members = data.draw(arrays(bool, scores.shape))
    pooled = Pooled(scores, members)
    known = ~np.isnan(scores)
    assert pooled.defined == bool((known & members).any() and (known & ~members).any())
    if not pooled.defined:
        return
    points = plain_points(scores, members)
    finite = np.nan_to_num(scores, posinf=1e305, neginf=-1e305)
    assert pooled.figures["auc"] == pytest.approx(roc_auc_score(members[known], finite[known]), abs=1e-12)
    assert pooled.figures["advantage"] == pytest.approx(max(t - f for _, f, t in points), abs=1e-12)
    for name, level in LEVELS.items():
        assert pooled.figures[name] == pytest.approx(max(t for _, f, t in points if f <= level), abs=1e-12)
    # So few points are all kept.
    rates = list(zip(*pooled.thinned, strict=True))
    assert rates == [pytest.approx((f, t, cut)) for cut, f, t in points]
    for row, (ins, outs) in enumerate(zip(*pooled.by_target, strict=True)):
        for k, (cut, *_) in enumerate(points):
            reached = known[row] & (scores[row] >= cut) & (k > 0)
            assert (ins[k], outs[k]) == ((reached & members[row]).sum(), (reached & ~members[row]).sum())


def test_thinning_keeps_the_highest_point_of_each_number_of_false_positives_and_the_ends_of_jumps() -> None:
    rng = np.random.default_rng(0)
    scores, members = np.round(rng.normal(size=40_000), 4), rng.random(40_000) < 0.5
    scores[:500] = 0.3  # a block of ties that moves both rates
    curve, outs = roc(scores, members), int((~members).sum())
    wanted = [*range(64), *np.geomspace(64, outs, 1 + int(np.log(outs / 64) / np.log(1.01))).round()]
    kept = {0, len(curve.fpr) - 1}
    kept |= set((np.searchsorted(np.round(curve.fpr * outs), wanted, side="right") - 1).tolist())
    for k in range(1, len(curve.fpr)):
        if max(curve.fpr[k] - curve.fpr[k - 1], curve.tpr[k] - curve.tpr[k - 1]) > 1e-3:
            kept |= {k - 1, k}
    found = thinned(Ordered.of(keys_of(scores, members)))
    for values, expected in zip(found, (curve.fpr, curve.tpr, curve.thresholds), strict=True):
        np.testing.assert_allclose(values, expected[sorted(kept)], rtol=1e-15)


def test_units_of_rows_columns_and_single_scores_are_counted_alike() -> None:
    rng = np.random.default_rng(1)
    scores, members = rng.normal(size=(6, 50)), rng.random((6, 50)) < 0.4
    scores[0, :3] = np.nan
    thresholds = np.array([np.inf, 1.0, 0.2, -0.5, -9.0])
    columns, single = rng.permutation(50) % 7, rng.permutation(300).reshape(6, 50) % 7
    for units, labels in (
        (None, np.repeat(np.arange(6)[:, None], 50, axis=1)),
        (columns, np.broadcast_to(columns, (6, 50))),
        (single, single),
    ):
        found = Curves.of(scores, members, thresholds, units)
        for side, counts in ((members, found.ins), (~members, found.outs)):
            expected = [
                [0] + [int((side & (labels == u) & (scores >= cut)).sum()) for cut in thresholds[1:]]
                for u in range(labels.max() + 1)
            ]
            np.testing.assert_array_equal(counts, expected)


def test_keys_sort_like_scores_and_give_them_back() -> None:
    values = np.array([-np.inf, -2.5, -5e-324 * 4, 0.0, 5e-324 * 4, 1.0, np.inf])
    keys = keys_of(values, np.zeros(7, bool))
    assert (np.diff(keys) > 0).all()
    np.testing.assert_array_equal(values_of(keys), values)
    assert keys_of(-0.0, False) == keys_of(0.0, False) == cuts_of(0.0)
    assert keys_of(-np.float64("nan"), True) == keys_of(np.float64("nan"), False) == MISSING
    assert np.isnan(figures(Ordered.of(keys_of([1.0, 2.0], [True, True])))["auc"])
