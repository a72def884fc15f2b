"""Logarithmic axes: their ticks, and how far they reach."""

from __future__ import annotations

import pytest

from analysis.report.figures.axes import log_ticks, with_log_ticks


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (1e-4, 1),
        (9.5, 13),
        (0.5, 40),
        (3.1, 3.2),
        (1e-5, 1e7),
        (0.011, 0.9),
        (2, 4),
        (99, 1001),
        (1.2e-4, 8e-4),
    ],
)
def test_log_axes_have_three_to_seven_ticks(low: float, high: float) -> None:
    ticks = log_ticks(low, high)
    assert 3 <= len(ticks) <= 7
    assert all(low * 0.99 <= tick <= high * 1.01 for tick in ticks)
    assert ticks == sorted(set(ticks))


def test_log_axes_reach_over_the_error_bars() -> None:
    trace = {"x": [10.0, 12.0], "error_x": {"array": [5.0, None], "arrayminus": [2.0, None]}}
    axis = with_log_ticks([trace], {"xaxis": {"type": "log"}, "yaxis": {}})["xaxis"]
    assert 10 ** axis["range"][0] < 8
    assert 10 ** axis["range"][1] > 15
