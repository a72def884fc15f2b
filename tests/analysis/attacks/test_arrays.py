"""What every attack does to its input first."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from analysis.attacks.arrays import finite, masks, with_queries

SIGNALS = arrays(np.float32, (3, 4), elements=st.floats(width=32))


@given(SIGNALS)
def test_finite_signals_keep_their_order_and_their_values(values: np.ndarray) -> None:
    found = finite(values)
    assert not np.isinf(found).any()
    np.testing.assert_array_equal(np.isnan(found), np.isnan(values))
    np.testing.assert_array_equal(found[np.isfinite(values)], values[np.isfinite(values)])
    known = ~np.isnan(values)
    order = np.argsort(values[known], kind="stable")
    assert (np.diff(found[known][order]) >= 0).all(), "an infinity stays the largest"


@pytest.mark.parametrize(("largest", "limit"), [(3.0, 104.0), (-200.0, 200.0), (None, 104.0)])
def test_infinities_become_what_rounds_to_them_or_the_largest(largest: float | None, limit: float) -> None:
    values = np.array([np.inf, -np.inf] + ([] if largest is None else [largest]))
    assert finite(values)[:2].tolist() == [limit, -limit]
    assert np.isinf(values[:2]).all(), "the input stays as it was"
    assert np.exp(np.float32(-limit)) == 0


def test_whole_numbers_become_floats_and_floats_stay() -> None:
    assert finite([1, 2]).dtype == np.float64
    plain = np.ones(3, np.float32)
    assert finite(plain) is plain


def test_signals_get_an_axis_of_queries() -> None:
    values = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(with_queries(values), values[:, None])
    assert with_queries(values[:, None]).shape == (2, 1, 3)
    with pytest.raises(ValueError, match=r"expected a signal \[R, n\] or \[R, Q, n\], got shape \(6,\)"):
        with_queries(values.ravel())


def test_masks_are_checked_against_the_signal() -> None:
    assert masks([[1, 0], [0, 1]], 2, 2).tolist() == [[True, False], [False, True]]
    with pytest.raises(ValueError, match=r"members have shape \(2, 2\), the signal says \(2, 3\)"):
        masks(np.eye(2), 2, 3)
