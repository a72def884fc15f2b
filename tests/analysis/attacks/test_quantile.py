"""Quantile regression: the share of non-members that it calls members."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.attacks.registry import ATTACKS, run
from analysis.ensemble import ensemble_of
from analysis.metrics import auc
from tests.helpers.simulated_records import simulate


def test_quantile_regression_holds_its_false_positive_rate() -> None:
    ensemble = ensemble_of(simulate(range(12), n=300, m=900, leak=3))
    scores = run("quantile", ATTACKS["quantile"], ensemble)
    assert auc(scores, ensemble.members) > 0.7
    assert (scores > 0)[~ensemble.members].mean() == pytest.approx(0.05, abs=0.04)


def test_quantile_regression_without_out_shadows_is_nan() -> None:
    record = simulate(range(4))
    for members in (np.ones_like(record.members), np.eye(4, 120, dtype=bool) | (np.arange(4) > 0)[:, None]):
        record.members[:] = members
        scores = run("quantile", ATTACKS["quantile"], ensemble_of(record))
        assert np.isnan(scores[0]).all()
