"""Signals against SciPy in float64 and mpmath with 50 digits, also where p rounds to 0 or 1."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import special, stats

from trainables.signals import entropy, log_p_true, modified_entropy, scaled_logit

LOGITS = arrays(np.float64, (3, 4, 5), elements=st.floats(-20, 20))
LABELS = np.array([0, 4, 2, 2])


@given(LOGITS)
def test_log_p_true_is_minus_cross_entropy(z: np.ndarray) -> None:
    expected = np.stack([special.log_softmax(r, axis=-1)[np.arange(4), LABELS] for r in z])
    np.testing.assert_allclose(log_p_true(z, LABELS), expected, atol=1e-12)


@given(LOGITS)
def test_entropy_is_scipys(z: np.ndarray) -> None:
    np.testing.assert_allclose(entropy(z), stats.entropy(special.softmax(z, axis=-1), axis=-1), atol=1e-12)


@given(LOGITS)
def test_scaled_logit_is_the_log_odds(z: np.ndarray) -> None:
    p = special.softmax(z, axis=-1)
    for r in range(3):
        for i, y in enumerate(LABELS):
            odds = np.log(p[r, i, y]) - np.log(np.delete(p[r, i], y).sum())
            assert scaled_logit(z, LABELS)[r, i] == pytest.approx(odds, abs=1e-9)


@given(LOGITS)
def test_modified_entropy_is_the_papers_sum(z: np.ndarray) -> None:
    got = modified_entropy(z, LABELS)
    for r in range(3):
        for i, y in enumerate(LABELS):
            with mpmath.workdps(50):
                e = [mpmath.exp(mpmath.mpf(v)) for v in z[r, i]]
                p = [v / sum(e) for v in e]
                others = [q for c, q in enumerate(p) if c != y]
                expected = -(1 - p[y]) * mpmath.log(p[y]) - sum(q * mpmath.log(1 - q) for q in others)
            assert got[r, i] == pytest.approx(float(expected), rel=1e-9, abs=1e-12)


def test_logits_far_apart_stay_finite_and_exact() -> None:
    z = np.array([[1000.0, 0.0, 0.0], [-1000.0, 0.0, 0.0]])
    labels = np.array([0, 0])
    np.testing.assert_allclose(scaled_logit(z, labels), [1000 - np.log(2), -1000 - np.log(2)])
    np.testing.assert_allclose(log_p_true(z, labels), [0.0, -1000 - np.log(2)])
    assert np.isfinite(modified_entropy(z, labels)).all()
    assert modified_entropy(z, labels)[0] == pytest.approx(0, abs=1e-12)


def test_float32_logits_lose_nothing_to_rounding_of_p() -> None:
    z = np.array([[30.0, 0.0]], dtype=np.float32)
    assert scaled_logit(z, [0])[0] == 30.0
