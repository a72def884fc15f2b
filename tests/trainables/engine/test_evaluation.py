"""What rounding the margins does to an audit: a GPU's convolutions round what they multiply."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.attacks import lira
from analysis.metrics import auc, tpr_at_fpr

ROUNDING = 5e-4  # the median on an H100 against float32; 0.67 standard deviations of a normal error


@pytest.mark.parametrize("seed", range(3))
def test_rounded_margins_leave_the_audit_as_it_is(seed: int) -> None:
    """Margins of spread 2, members a little higher, as a network's; LiRA's AUC moves by less than 1e-4."""
    draw = np.random.default_rng(seed)
    replicas, n = 16, 4000
    half = draw.permuted(np.tile(np.arange(n) % 2 == 0, (replicas // 2, 1)), axis=1)
    members = np.stack([half, ~half], axis=1).reshape(replicas, n)
    margins = draw.normal(3, 2, n) + draw.normal(0, 1.0, (replicas, n)) + 0.8 * members
    rounded = margins + draw.normal(0, ROUNDING / 0.6745, margins.shape)
    found = []
    for values in (margins, rounded):
        scores = lira(values.astype(np.float32), members, variance="pooled")
        each = [(auc(s, m), tpr_at_fpr(s, m, 0.001)) for s, m in zip(scores, members, strict=True)]
        found.append(np.array(each))
    exact, moved = found
    assert abs(exact[:, 0].mean() - moved[:, 0].mean()) < 1e-4
    noise = exact[:, 1].std() / np.sqrt(replicas)
    assert abs(exact[:, 1].mean() - moved[:, 1].mean()) < noise
