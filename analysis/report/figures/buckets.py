"""Where accuracy is gained: typical test points, or those whose prediction rests on few training examples."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.report.figures.panel import Panel, Trace, short
from analysis.results import Tables


class BucketsInfo(NamedTuple):
    """Paired gain of accuracy over the reference in each bucket of influence entropy, with its interval."""

    bucket: NDArray[np.int64]
    gain: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    examples: NDArray[np.int64]


def buckets_info(tables: Tables, recipe_id: str) -> BucketsInfo | None:
    """Return the gains by bucket; None for the reference itself, and where influence was not computed."""
    rows = tables.of_recipe("buckets", recipe_id)
    if rows.empty or recipe_id == tables.reference or rows["gain"].isna().all():
        return None
    rows = rows.sort_values("bucket")
    gain, low, high = (rows[c].to_numpy(float) for c in ("gain", "gain_low", "gain_high"))
    return BucketsInfo(rows["bucket"].to_numpy(int), gain, low, high, rows["examples"].to_numpy(int))


def _traces(tables: Tables, recipe_id: str) -> list[Trace]:
    info = buckets_info(tables, recipe_id)
    if info is None:
        return []
    return [
        {
            "type": "scatter",
            "x": info.bucket.tolist(),
            "y": short(info.gain),
            "error_y": {
                "type": "data",
                "array": short(info.high - info.gain),
                "arrayminus": short(info.gain - info.low),
                "color": "@slot",
                "thickness": 1.5,
                "width": 5,
            },
            "mode": "lines+markers",
            "marker": {"color": "@slot", "size": 9},
            "line": {"color": "@slot-soft", "width": 2},
            "hovertemplate": "bucket %{x}<br>gain %{y:+.2%}<extra></extra>",
        }
    ]


PANEL = Panel(
    name="buckets",
    title="Where the accuracy comes from",
    about=(
        "Gain in test accuracy over the reference, with paired intervals, in five equal buckets of "
        "the test points by influence entropy. Bucket 1: predictions that rest on few training "
        "examples (atypical). Bucket 5: on many (typical), or on none that can be seen."
    ),
    layout={
        "xaxis": {
            "title": {"text": "Bucket, atypical to typical"},
            "dtick": 1,
            "range": [0.5, 5.5],
        },
        "yaxis": {
            "title": {"text": "Gain over the reference"},
            "tickformat": "+.1%",
            "zerolinecolor": "@muted",
        },
    },
    traces=_traces,
    of_reference="This is the reference itself, which gains nothing over itself: select another recipe.",
)
