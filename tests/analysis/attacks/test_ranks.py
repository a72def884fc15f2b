"""Ranks among OUT replicas, against plain loops and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

from analysis.attacks import ranks
from analysis.attacks.ranks import out_ranks, risk_by_example
from tests.helpers.synthetic import losses


def test_risk_of_an_example_is_its_auc_over_targets() -> None:
    x, members = losses(4, replicas=12)
    x = np.round(x, 1)
    x[3] = np.nan
    targets = np.stack([np.ones(12, bool), np.arange(12) % 3 > 0, np.zeros(12, bool)])
    risks = risk_by_example(x, members, targets)
    for (s, i), risk in np.ndenumerate(risks):
        known = ~np.isnan(x[:, i]) & targets[s]
        both = members[known, i].any() and not members[known, i].all()
        expected = roc_auc_score(members[known, i], x[known, i]) if both else np.nan
        assert risk == pytest.approx(expected, nan_ok=True)


@given(
    arrays(np.float64, (6, 5), elements=st.sampled_from([-1.0, -0.0, 0.0, 0.5, 2.0])), arrays(bool, (6, 5))
)
def test_ranks_count_the_out_values_below_and_up_to_each(values: np.ndarray, outs: np.ndarray) -> None:
    below, up_to = out_ranks(values, outs)
    for (r, i), x in np.ndenumerate(values):
        column = values[outs[:, i], i]
        assert (below[r, i], up_to[r, i]) == ((column < x).sum(), (column <= x).sum())


def test_ranks_are_those_of_scipy_and_blocks_do_not_show(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values, _ = losses(7, 9, 50)
    below, up_to = out_ranks(values, np.ones(values.shape, bool))
    np.testing.assert_array_equal(up_to, rankdata(values, axis=0))
    np.testing.assert_array_equal(below, up_to - 1)
    monkeypatch.setattr(ranks, "_CHUNK", 20)
    for found, whole in zip(out_ranks(values, np.ones(values.shape, bool)), (below, up_to), strict=True):
        np.testing.assert_array_equal(found, whole)
