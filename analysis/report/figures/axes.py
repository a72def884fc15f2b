"""Ticks of logarithmic axes; `page/scripts/axes.js` has the same rule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from analysis.report.figures.panel import MANTISSAS, Trace


def log_ticks(low: float, high: float) -> list[float]:
    """Choose at least three and at most seven ticks between two positive ends, as round as that allows.

    Plotly's own are the powers of ten alone, of which a narrow axis shows one or none.
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for skip in range(len(decades) // 7 + 1, 0, -1):
        for digits in MANTISSAS if skip == 1 else MANTISSAS[:1]:
            ticks = [float(f"{d}e{power}") for power in decades if power % skip == 0 for d in digits]
            inside = [tick for tick in ticks if low <= tick <= high]
            if len(inside) >= 3:
                return inside[:: math.ceil(len(inside) / 7)]
    return [float(f"{low + share * (high - low):.3g}") for share in (0, 0.5, 1)]


def with_log_ticks(traces: Sequence[Trace], layout: dict[str, Any]) -> dict[str, Any]:
    """Give logarithmic axes of a layout ticks: of their range, else of all that the traces reach."""
    out = dict(layout)
    for axis in ("x", "y"):
        own = layout.get(f"{axis}axis", {})
        if own.get("type") != "log":
            continue
        if "range" in own:
            low, high = (10.0**end for end in own["range"])
        else:
            reached = [end for trace in traces for end in _reach(trace, axis) if end > 0]
            if not reached:
                continue
            low, high = min(reached), max(reached)
            pad = (high / low) ** 0.06 if high > low else 2.0
            low, high = low / pad, high * pad
        ends = [math.log10(low), math.log10(high)]
        out[f"{axis}axis"] = {**own, "range": ends, "tickmode": "array", "tickvals": log_ticks(low, high)}
    return out


def _reach(trace: Trace, axis: str) -> list[float]:
    """Return a trace's values along an axis, and the ends of its error bars."""
    values = trace.get(axis, [])
    error = trace.get(f"error_{axis}", {})
    ends = [
        value + sign * bar
        for name, sign in (("array", 1), ("arrayminus", -1))
        for value, bar in zip(values, error.get(name) or [], strict=False)
        if value is not None and bar is not None
    ]
    return [value for value in values if value is not None] + ends
