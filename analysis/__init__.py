"""What the records mean: attacks, memorization, intervals and the Pareto front.

No Ray, and torch only where influence is computed on a GPU.
"""

from __future__ import annotations

from analysis.audit.ensemble_audit import audit
from analysis.ensemble import load_sweep

__all__ = ["audit", "load_sweep"]
