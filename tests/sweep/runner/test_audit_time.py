"""How long an audit will take, from a line through two sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from sweep.runner import audit_time
from sweep.runner.audit_time import SIZES, AuditTime, time_audits


@pytest.mark.parametrize(("fixed", "a_score"), [(2.0, 1e-5), (0.5, 3e-4)])
def test_the_line_is_that_through_both_times(
    fixed: float, a_score: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def seconds(size: Sequence[int], _: Mapping[str, Any]) -> float:
        return fixed + a_score * size[0] * size[1]

    monkeypatch.setattr(audit_time, "_seconds", seconds)
    found = time_audits({})
    scores = np.array([replicas * examples for replicas, examples in SIZES])
    slope, height = np.polyfit(scores, fixed + a_score * scores, 1)
    assert (found.fixed, found.a_score) == pytest.approx((height, slope))


def test_recipes_are_audited_side_by_side() -> None:
    found = AuditTime(1.0, 0.001)
    assert found.of(16, 1000) == pytest.approx(17)
    assert [found.of_sweep(5, 16, 1000, cores) for cores in (1, 2, 5, 64)] == pytest.approx([85, 51, 17, 17])


def test_what_is_timed_is_an_audit_with_attacks() -> None:
    from analysis import audit

    row = audit(audit_time._simulated(16, 200), resamples=10).row
    assert 0.5 < row["lira_auc"] < 0.9
