"""What the records mean: attacks, memorization, intervals and the Pareto front. No Ray, no torch."""

from __future__ import annotations

from analysis.audit import audit
from analysis.ensemble import load_sweep

__all__ = ["audit", "load_sweep"]
